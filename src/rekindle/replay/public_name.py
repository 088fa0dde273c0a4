"""The public name: where it leads, and whether it is answered there."""

import http.client
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from rekindle.aws import objects
from rekindle.aws.clients import Clients
from rekindle.environment import switch_key
from rekindle.errors import GateFailed
from rekindle.inventory import Inventory, Stores
from rekindle.progress import Tell
from rekindle.replay.serving import FIRST_SERVER_ERROR, addresses
from rekindle.replay.situation import Answer

PROBE_SECONDS = 3.0
POLL_SECONDS = 0.5
SWITCH_SECONDS = 300.0  # Route 53: three failed checks 30 s apart, then the record's TTL, and as much again


@dataclass(frozen=True)
class PublicName:
    """A name that clients use, asked as they ask: an ordinary resolver, plain HTTP."""

    name: str
    port: int = 80
    resolve: Callable[[str], frozenset[str]] = addresses
    sleep: Callable[[float], None] = time.sleep

    def ask(self) -> Answer:
        """One request to each address of the name at once; what answers with an error of its own does not serve."""
        try:
            found = sorted(addresses(self.name))
        except OSError as error:
            return Answer(is_serving=False, is_known=False, said=f"its address cannot be found out: {error}")
        if not found:
            return Answer(is_serving=False, said="no answer: the name leads to no address")
        with ThreadPoolExecutor(len(found)) as pool:
            answers = list(pool.map(self._ask_at, found))
        return _worst(answers)

    def _ask_at(self, address: str) -> Answer:
        connection = http.client.HTTPConnection(address, self.port, timeout=PROBE_SECONDS)
        try:
            connection.request("GET", "/", headers={"Host": self.name})
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            return Answer(is_serving=False, said=f"no answer: {error or type(error).__name__}")
        finally:
            connection.close()
        return Answer(is_serving=status < FIRST_SERVER_ERROR, said=f"answered {status}")

    def leads_to(self, other: str) -> bool:
        """Whether both names have an address in common now; not while that cannot be found out."""
        try:
            return bool(self.resolve(self.name) & self.resolve(other))
        except OSError:
            return False


def _worst(answers: Sequence[Answer]) -> Answer:
    """Of several answers the one that forbids most: it serves, it cannot be told, it does not."""
    return max(reversed(answers), key=lambda answer: (answer.is_serving, not answer.is_known))


def switch(clients: Clients, stores: Stores, environment: str, recovery: str) -> None:
    """The object that the public name's health check looks for is there: the recovery environment has taken over.

    Data plane only: no record is changed, since us-east-1 carries Route 53's control plane. It is empty,
    because everybody may read it. The lost environment's own goes, so that its region cannot take the
    name back when it returns.
    """
    client = clients.s3(stores.region)
    objects.put(client, stores.switch_bucket, switch_key(recovery), b"", "text/plain")
    objects.delete(client, stores.switch_bucket, switch_key(environment))


def await_switched(
    name: PublicName,
    inventory: Inventory,
    tell: Tell,
    *,
    timeout: float = SWITCH_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """The name leads to this environment's load balancer, and is answered; GateFailed when time is up."""
    target, deadline = inventory.load_balancer or "", clock() + timeout
    answer = Answer(is_serving=False, said="it was not asked")
    while clock() < deadline:
        if not name.leads_to(target):
            tell(f"{name.name} does not lead to {target} yet ({deadline - clock():.0f} s left)")
        else:
            answer = name.ask()
            if answer.is_serving:
                return
            tell(f"{name.name} leads to {target}: {answer.said}")
        name.sleep(POLL_SECONDS)
    raise GateFailed(
        f"{name.name} does not answer from {target} after {timeout:.0f} s: {answer.said}",
        next_step="See its health checks and failover records in the foundation, then run the same replay again.",
    )
