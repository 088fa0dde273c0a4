"""The switch: what turning it leaves, by its kind, and how long a name is waited for."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from rekindle.errors import GateFailed, Unreachable
from rekindle.inventory import Inventory, Ssh, Stores, SwitchAlarm, SwitchBucket
from rekindle.replay import switch as module
from rekindle.replay.public_name import PublicName
from rekindle.replay.situation import Answer
from rekindle.replay.switch import SWITCH_SECONDS, TURN_SECONDS, await_switched, switch_of

INVENTORY = Inventory(
    environment="dev-dr", region="us-west-2", cluster_name="dev", hosts=(), ssh=Ssh(user="a"), load_balancer="lb"
)
ALARM, BUCKET = SwitchAlarm(kind="alarm", namespace="Rekindle/x"), SwitchBucket(kind="bucket", name="switch")


def stores(switch: SwitchAlarm | SwitchBucket) -> Stores:
    return Stores(
        region="us-west-2",
        journal_bucket="j",
        mirror_bucket="m",
        artifacts_bucket="a",
        switch=switch,
        kms_key_arn="k",
    )


@dataclass
class Account:
    """CloudWatch and S3 of a region, with what was put there."""

    region: str = ""
    points: dict[str, list[float]] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)

    meta = SimpleNamespace(config=SimpleNamespace(retries={"total_max_attempts": 1}))

    def cloudwatch(self, region: str) -> "Account":
        self.region = region
        return self

    s3 = unsigned_s3 = cloudwatch

    def put_metric_data(self, Namespace: str, MetricData: list[dict[str, Any]]) -> None:
        assert Namespace == "Rekindle/x"
        for datum in MetricData:
            assert datum["MetricName"] == "TakenOver"
            (dimension,) = datum["Dimensions"]
            assert dimension["Name"] == "Environment"
            self.points.setdefault(dimension["Value"], []).append(datum["Value"])

    def describe_alarms(self, AlarmNames: list[str]) -> dict[str, Any]:
        states = {f"Rekindle/x/{name}": "ALARM" if values[-1] else "OK" for name, values in self.points.items()}
        return {"MetricAlarms": [{"StateValue": states[name]} for name in AlarmNames if name in states]}

    def put_object(self, Bucket: str, Key: str, Body: bytes, ContentType: str) -> None:
        self.objects[f"{Bucket}/{Key}"] = Body

    def delete_object(self, Bucket: str, Key: str) -> None:
        self.objects.pop(f"{Bucket}/{Key}", None)

    def head_object(self, Bucket: str, Key: str, **_: Any) -> dict[str, Any]:
        if f"{Bucket}/{Key}" in self.objects:
            return {}
        raise ClientError({"Error": {"Code": "404", "Message": ""}}, "HeadObject")


def test_an_alarms_switch_is_turned_by_one_data_point_for_each_environment() -> None:
    account = Account()
    module.switch(account, stores(ALARM), "dev", "dev-dr")  # type: ignore[arg-type]
    assert (account.points, account.objects) == ({"dev-dr": [1.0], "dev": [0.0]}, {})
    assert account.region == "us-west-2"


def test_a_buckets_switch_is_an_empty_object_and_the_lost_environments_goes() -> None:
    account = Account(objects={"switch/dev/active": b""})
    module.switch(account, stores(BUCKET), "dev", "dev-dr")  # type: ignore[arg-type]
    assert (account.points, account.objects) == ({}, {"switch/dev-dr/active": b""})
    assert account.region == "us-west-2"


@pytest.mark.parametrize("kind", [ALARM, BUCKET])
def test_it_tells_who_has_taken_over(kind: SwitchAlarm | SwitchBucket) -> None:
    account = Account()
    switch = switch_of(account, stores(kind))  # type: ignore[arg-type]
    assert not switch.is_turned_to("dev-dr")
    switch.turn(to="dev-dr", away_from="dev")
    assert (switch.is_turned_to("dev-dr"), switch.is_turned_to("dev")) == (True, False)
    switch.turn(to="dev", away_from="dev-dr")
    assert (switch.is_turned_to("dev-dr"), switch.is_turned_to("dev")) == (False, True)


@pytest.mark.parametrize(
    ("kind", "said"),
    [(ALARM, "the names stay where they are"), (BUCKET, "the names lead back until s3://switch/dev-dr/active can be")],
)
def test_it_says_what_its_silence_means(kind: SwitchAlarm | SwitchBucket, said: str) -> None:
    assert switch_of(Account(), stores(kind)).without_answer("dev-dr").startswith(said)  # type: ignore[arg-type]


@dataclass
class Route:
    """A name whose balancer and whose answer change as time passes; the clock that passes."""

    moves_at: float = 0.0
    answers_at: float = 0.0
    now: float = 0.0
    told: list[str] = field(default_factory=list)
    turned_at: list[float] = field(default_factory=list)
    fails_to_turn: int = 0

    def name(self) -> PublicName:
        made = SimpleNamespace(name="orders", leads_to=self.leads_to, ask=self.ask, sleep=self.sleep)
        return made  # type: ignore[return-value]

    def leads_to(self, target: str) -> bool:
        return target == "lb" and self.now >= self.moves_at

    def ask(self) -> Answer:
        is_serving = self.now >= self.answers_at
        return Answer(is_serving=is_serving, said="answered 200" if is_serving else "answered 503")

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds

    def turn(self) -> None:
        self.turned_at.append(self.now)
        if len(self.turned_at) <= self.fails_to_turn:
            raise Unreachable("no answer", where="AWS monitoring in us-west-2")

    def wait(self) -> None:
        await_switched(self.name(), INVENTORY, self.told.append, self.turn, clock=lambda: self.now)


@pytest.mark.parametrize(
    ("moves_at", "answers_at", "ends_at"), [(0, 0, 0), (10, 0, 10), (0, 10, 10), (10, 30, 30), (299, 299, 299)]
)
def test_it_is_over_when_the_name_leads_here_and_is_answered(
    moves_at: float, answers_at: float, ends_at: float
) -> None:
    route = Route(moves_at, answers_at)
    route.wait()
    assert route.now == ends_at


@pytest.mark.parametrize(
    ("moves_at", "answers_at", "said", "last"),
    [
        (1000, 0, "it was not asked", "orders does not lead to lb yet (0 s left)"),
        (10, 1000, "answered 503", "orders leads to lb: answered 503"),
    ],
)
def test_a_name_that_does_not_move_or_is_not_answered_is_a_gate_that_failed(
    moves_at: float, answers_at: float, said: str, last: str
) -> None:
    route = Route(moves_at, answers_at)
    with pytest.raises(GateFailed, match=f"orders does not answer from lb after 300 s: {said}") as failed:
        route.wait()
    assert route.now == SWITCH_SECONDS
    assert route.told[-1] == last
    assert "run the same replay again" in failed.value.next_step


def test_the_switch_is_turned_again_while_the_name_leads_elsewhere_and_no_more_then() -> None:
    route = Route(moves_at=50, answers_at=120)
    route.wait()
    assert route.turned_at == [TURN_SECONDS, 2 * TURN_SECONDS]


def test_what_fails_to_turn_again_is_told_and_tried_later() -> None:
    route = Route(moves_at=50, fails_to_turn=1)
    route.wait()
    assert route.turned_at == [TURN_SECONDS, 2 * TURN_SECONDS]
    assert "the switch could not be turned again: AWS monitoring in us-west-2: no answer" in route.told


def test_an_environment_without_a_balancer_is_led_to_by_no_name() -> None:
    route = Route()
    with pytest.raises(GateFailed):
        await_switched(
            route.name(),
            INVENTORY.model_copy(update={"load_balancer": None}),
            route.told.append,
            route.turn,
            clock=lambda: route.now,
        )
