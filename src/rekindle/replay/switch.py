"""The switch: what says, on the recovery side, which environment the public names lead to.

Data plane only: no record is changed, since us-east-1 carries Route 53's control plane. Which kind it is, and what
each kind can and cannot promise, is in docs/adr/0012-failover-records.md.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from rekindle.aws import metrics, objects
from rekindle.aws.clients import Clients
from rekindle.environment import SWITCH_DIMENSION, SWITCH_METRIC, switch_alarm, switch_key
from rekindle.errors import GateFailed, RekindleError
from rekindle.inventory import Inventory, Stores, SwitchAlarm
from rekindle.progress import Tell
from rekindle.replay.public_name import PublicName
from rekindle.replay.situation import Answer

POLL_SECONDS = 0.5
TURN_SECONDS = 20.0  # a data point of a minute in which an earlier one said otherwise may not count
SWITCH_SECONDS = 300.0  # a metric's minute, CloudWatch's and Route 53's next look, the record's TTL, and half as much


class Switch(Protocol):
    """Held by a person's decision: nothing but `turn` moves the names."""

    def turn(self, *, to: str, away_from: str) -> None:
        """The names lead to one environment, and not to the other even when its region returns; repeatable."""

    def is_turned_to(self, environment: str) -> bool:
        """Whether this recovery environment has taken over; a RekindleError when that cannot be told."""

    def without_answer(self, environment: str) -> str:
        """What it means for the names that `is_turned_to` cannot be told."""


@dataclass(frozen=True)
class ByAlarm:
    """A data point of a metric: the health check keeps what it last saw."""

    clients: Clients
    region: str
    namespace: str

    def turn(self, *, to: str, away_from: str) -> None:
        client = self.clients.cloudwatch(self.region)
        metrics.put(client, self.namespace, SWITCH_METRIC, SWITCH_DIMENSION, {to: 1.0, away_from: 0.0})

    def is_turned_to(self, environment: str) -> bool:
        return metrics.is_in_alarm(self.clients.cloudwatch(self.region), switch_alarm(self.namespace, environment))

    def without_answer(self, environment: str) -> str:
        return "the names stay where they are"


@dataclass(frozen=True)
class ByBucket:
    """An object that everybody may read, so it is empty: the health check takes one it cannot read for absent."""

    clients: Clients
    region: str
    bucket: str

    def turn(self, *, to: str, away_from: str) -> None:
        client = self.clients.s3(self.region)
        objects.put(client, self.bucket, switch_key(to), b"", "text/plain")
        objects.delete(client, self.bucket, switch_key(away_from))

    def is_turned_to(self, environment: str) -> bool:
        unsigned = self.clients.unsigned_s3(self.region)  # as the health checkers ask
        return objects.head(unsigned, self.bucket, switch_key(environment)) is not None

    def without_answer(self, environment: str) -> str:
        return f"the names lead back until s3://{self.bucket}/{switch_key(environment)} can be read by everybody"


def switch_of(clients: Clients, stores: Stores) -> Switch:
    """The switch that the foundation was built with."""
    if isinstance(stores.switch, SwitchAlarm):
        return ByAlarm(clients, stores.region, stores.switch.namespace)
    return ByBucket(clients, stores.region, stores.switch.name)


def switch(clients: Clients, stores: Stores, environment: str, recovery: str) -> None:
    """The names lead to the recovery environment, and not to the lost one even when its region returns."""
    switch_of(clients, stores).turn(to=recovery, away_from=environment)


def await_switched(
    name: PublicName,
    inventory: Inventory,
    tell: Tell,
    turn: Callable[[], None],
    *,
    timeout: float = SWITCH_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """The name leads to this environment's load balancer, and is answered; GateFailed when time is up.

    Turns the switch again and again until the name leads here, though it was turned once before.
    """
    target, began = inventory.load_balancer or "", clock()
    answer, turned = Answer(is_serving=False, said="it was not asked"), began
    while (now := clock()) < began + timeout:
        if name.leads_to(target):
            answer = name.ask()
            if answer.is_serving:
                return
            tell(f"{name.name} leads to {target}: {answer.said}")
        else:
            tell(f"{name.name} does not lead to {target} yet ({began + timeout - now:.0f} s left)")
            turned = _turned_again(turn, tell, turned, now)
        name.sleep(POLL_SECONDS)
    raise GateFailed(
        f"{name.name} does not answer from {target} after {timeout:.0f} s: {answer.said}",
        next_step="See its health checks and failover records in the foundation, then run the same replay again.",
    )


def _turned_again(turn: Callable[[], None], tell: Tell, turned: float, now: float) -> float:
    """When it was turned last; what fails is told and tried later, since the names may move by what went before."""
    if now < turned + TURN_SECONDS:
        return turned
    try:
        turn()
    except RekindleError as error:
        tell(f"the switch could not be turned again: {error.located()}")
    return now
