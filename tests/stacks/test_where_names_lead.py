"""Where the public names lead, whatever happens on the recovery side, before and after a takeover.

The foundation's own records, checks and alarms, as Pulumi's mocks are told of them; the stage's evaluators, whose
rules are those of the Route 53 and CloudWatch guides; and the product's own switch between them.
"""

import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from program import Recorder, config, declared_foundation

from components.iam import HostRolesArgs, policy
from components.names import TTL_SECONDS
from components.switch import PERIOD_SECONDS
from rehearsal.dns import health_checks
from rehearsal.dns.alarms import Alarm, Datum, Metric, State, state
from rehearsal.dns.health_checks import HealthCheck, HealthChecks, Watch
from rehearsal.dns.records import RecordSet, Resolver, Zone
from rekindle.environment import parse_foundation
from rekindle.errors import InputError
from rekindle.inventory import Role, Stores, parse
from rekindle.replay.switch import SWITCH_SECONDS, TURN_SECONDS, switch

NAMES = {
    "orders.example.test": {"primary": "dev", "secondary": "dev-dr"},
    "audit.example.test": {"primary": "dev-dr", "secondary": "dev"},
}
CHECK, RECORD = "aws:route53/healthCheck:HealthCheck", "aws:route53/record:Record"
ALARM, BUCKET = "aws:cloudwatch/metricAlarm:MetricAlarm", "aws:s3/bucket:Bucket"
LOOK_SECONDS, DAY = 10, 86_400


def declared(kind: str | None) -> tuple[Recorder, dict[str, Any]]:
    """The foundation with two names, and its outputs."""
    values = config("foundation")["rekindle:foundation"] | {"names": NAMES, **({"switch": kind} if kind else {})}
    return declared_foundation(**{"rekindle:foundation": values})


@pytest.fixture(scope="module")
def built() -> dict[str, tuple[Recorder, dict[str, Any]]]:
    return {kind: declared(kind) for kind in ("alarm", "bucket")}


@dataclass
class Recovery:
    """The recovery region: what is kept there, and which of its services answer."""

    now: float = 1_000_000.0
    is_s3_up: bool = True
    is_cloudwatch_up: bool = True
    objects: set[str] = field(default_factory=set)
    data: dict[Metric, list[Datum]] = field(default_factory=dict)

    meta = SimpleNamespace(config=SimpleNamespace(retries={"total_max_attempts": 1}))

    def s3(self, region: str) -> "Recovery":
        return self

    cloudwatch = s3

    def put_object(self, Key: str, **_: Any) -> None:
        self.objects.add(Key)

    def delete_object(self, Key: str, **_: Any) -> None:
        self.objects.discard(Key)

    def put_metric_data(self, Namespace: str, MetricData: list[dict[str, Any]]) -> None:
        for datum in MetricData:
            dimensions = frozenset((d["Name"], d["Value"]) for d in datum["Dimensions"])
            metric = Metric(namespace=Namespace, name=datum["MetricName"], dimensions=dimensions)
            self.data.setdefault(metric, []).append(Datum(self.now, datum["Value"]))

    def stream(self, alarm: Alarm) -> State:
        assert alarm.region == "us-west-2"
        if not self.is_cloudwatch_up:
            return State.INSUFFICIENT_DATA
        return state(alarm, self.data.get(alarm.metric, []), self.now)

    def probe(self, check: HealthCheck, address: str) -> tuple[bool, str]:
        if not self.is_s3_up:
            raise OSError("no answer")
        return check.path.lstrip("/") in self.objects, "asked"


@dataclass
class World:
    """A foundation, its recovery region, and Route 53."""

    recorder: Recorder
    stores: Stores
    recovery: Recovery = field(default_factory=Recovery)
    watches: list[Watch] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.checks = HealthChecks(lambda name: ["192.0.2.1"], self.recovery.stream, self.watches.append)
        self.checks.apply(self._check(f"{name}-id", made) for name, made in self.recorder.of(CHECK).items())

    def _check(self, id: str, made: dict[str, Any]) -> HealthCheck:
        return HealthCheck(
            id=id,
            type=made["type"],
            name=made.get("fqdn"),
            path=made.get("resourcePath", "/"),
            threshold=made.get("failureThreshold", 3),
            inverted=made.get("invertHealthcheck", False),
            alarm=self._alarm(made),
            without_data=made.get("insufficientDataHealthStatus", "LastKnownStatus"),
        )

    def _alarm(self, check: dict[str, Any]) -> Alarm | None:
        for made in self.recorder.of(ALARM).values():
            if made["name"] == check.get("cloudwatchAlarmName"):
                assert made["evaluationPeriods"] == 1
                metric = Metric(
                    namespace=made["namespace"],
                    name=made["metricName"],
                    dimensions=frozenset(made["dimensions"].items()),
                )
                return Alarm(
                    name=made["name"],
                    region=check["cloudwatchAlarmRegion"],
                    metric=metric,
                    statistic=made["statistic"],
                    comparison=made["comparisonOperator"],
                    threshold=made["threshold"],
                    period=made["period"],
                    missing=made["treatMissingData"],
                )
        return None

    def turn(self, to: str, away_from: str) -> None:
        switch(self.recovery, self.stores, away_from, to)  # type: ignore[arg-type]

    def passes(self, seconds: float) -> None:
        """Time, in which Route 53 looks."""
        end = self.recovery.now + seconds
        while self.recovery.now < end:
            for watch in self.watches:
                watch.look()
            self.recovery.now += LOOK_SECONDS if end - self.recovery.now <= 600 else 600

    def happens(self, event: str) -> None:
        what, _, how = event.rpartition(" ")
        if event in {"dev-dr", "dev"}:
            self.turn(event, "dev" if event == "dev-dr" else "dev-dr")
        if what in {"S3", "region"}:
            self.recovery.is_s3_up = how == "up"
        if what in {"CloudWatch", "region"}:
            self.recovery.is_cloudwatch_up = how == "up"
        self.passes(DAY if event == "a day" else 60)

    def leads_to(self, name: str) -> str:
        """The environment whose own name a public name is an alias of."""
        records = [self._record(made) for made in self.recorder.of(RECORD).values()]
        zone = Zone(name="example.test.", records=tuple(records))
        resolver = Resolver(zones=[zone], vpc=None, is_healthy=self.checks.is_healthy, elsewhere=lambda _: None)
        (answer,) = resolver.resolve(f"{name}.example.test", "CNAME")
        return answer.value.removesuffix(".example.test")

    def _record(self, made: dict[str, Any]) -> RecordSet:
        return RecordSet(
            name=f"{made['name']}.",
            type=made["type"],
            values=tuple(made["records"]),
            failover=made["failoverRoutingPolicies"][0]["type"],
            health_check=made.get("healthCheckId"),
        )


def world(built: Any, kind: str, monkeypatch: pytest.MonkeyPatch) -> World:
    recorder, outputs = built[kind]
    document = {**outputs["foundation"]["stores"], "artifacts_bucket": "a", "kms_key_arn": "k"}
    inventory = {
        "environment": "dev-dr",
        "region": "us-west-2",
        "cluster_name": "dev",
        "hosts": [],
        "ssh": {"user": "a"},
    }
    stores = parse({**inventory, "stores": document}, where="test").stores
    assert stores
    made = World(recorder, stores)
    monkeypatch.setattr(health_checks, "probe", made.recovery.probe)
    return made


EVENTS = [  # with an alarm, with a bucket
    ((), "dev", "dev"),
    (("a day",), "dev", "dev"),
    (("S3 down",), "dev", "dev"),
    (("CloudWatch down",), "dev", "dev"),
    (("region down",), "dev", "dev"),
    (("region down", "a day", "region up"), "dev", "dev"),
    (("dev-dr",), "dev-dr", "dev-dr"),
    (("dev-dr", "a day"), "dev-dr", "dev-dr"),
    (("dev-dr", "S3 down"), "dev-dr", "dev"),  # the weakness of a bucket: docs/adr/0012-failover-records.md
    (("dev-dr", "S3 down", "S3 up"), "dev-dr", "dev-dr"),
    (("dev-dr", "CloudWatch down"), "dev-dr", "dev-dr"),
    (("dev-dr", "CloudWatch down", "a day"), "dev-dr", "dev-dr"),
    (("dev-dr", "CloudWatch down", "a day", "CloudWatch up"), "dev-dr", "dev-dr"),
    (("dev-dr", "region down", "a day"), "dev-dr", "dev"),
    (("dev-dr", "region down", "a day", "region up"), "dev-dr", "dev-dr"),
    (("dev-dr", "dev"), "dev", "dev"),
    (("dev-dr", "a day", "dev"), "dev", "dev"),
    (("dev-dr", "a day", "dev", "region down"), "dev", "dev"),
    (("dev-dr", "dev", "a day", "dev-dr", "a day"), "dev-dr", "dev-dr"),
]


@pytest.mark.parametrize("kind", ["alarm", "bucket"])
@pytest.mark.parametrize(("events", "by_alarm", "by_bucket"), EVENTS)
def test_where_a_name_leads(built, monkeypatch, kind, events, by_alarm, by_bucket):
    happening = world(built, kind, monkeypatch)
    happening.passes(60)
    for event in events:
        happening.happens(event)
    assert happening.leads_to("orders") == (by_alarm if kind == "alarm" else by_bucket)


@pytest.mark.parametrize("kind", ["alarm", "bucket"])
def test_a_lost_region_takes_nothing_back_of_what_it_once_took(built, monkeypatch, kind):
    """The environment that once took over is the lost one now; `audit` follows its switch."""
    happening = world(built, kind, monkeypatch)
    happening.happens("dev")
    assert happening.leads_to("audit") == "dev"
    happening.happens("dev-dr")
    assert happening.leads_to("audit") == "dev-dr"
    happening.happens("a day")
    assert happening.leads_to("audit") == "dev-dr"


def test_what_is_turned_back_within_a_minute_is_turned_again(built, monkeypatch):
    """In one minute the first takeover wins; the switch is turned again until the name leads where it should."""
    happening = world(built, "alarm", monkeypatch)
    happening.recovery.now -= happening.recovery.now % PERIOD_SECONDS  # at the beginning of one
    happening.turn("dev-dr", "dev")
    happening.turn("dev", "dev-dr")
    happening.passes(PERIOD_SECONDS)
    assert happening.leads_to("orders") == "dev-dr"
    happening.turn("dev", "dev-dr")
    happening.passes(LOOK_SECONDS)
    assert happening.leads_to("orders") == "dev"


@pytest.mark.parametrize(("kind", "leads_to"), [("alarm", "dev"), ("bucket", "dev-dr")])
def test_a_check_that_never_looked(built, monkeypatch, kind, leads_to):
    """Route 53 takes a new check for healthy, and a new inverted one for unhealthy, until it has looked."""
    assert world(built, kind, monkeypatch).leads_to("orders") == leads_to


def test_a_switch_is_an_alarm_unless_it_is_said_otherwise():
    recorder, outputs = declared(None)
    assert outputs["foundation"]["stores"]["switch"] == {"kind": "alarm", "namespace": "Rekindle/rekindle-example"}
    assert recorder.of(ALARM).keys() == {"rekindle-example-switch-dev", "rekindle-example-switch-dev-dr"}
    assert "rekindle-example-switch" not in recorder.of(BUCKET)


def test_another_kind_of_switch_is_an_error():
    values = config("foundation")
    values["rekindle:foundation"] |= {"switch": "dynamodb"}
    with pytest.raises(InputError, match=r"switch: Input should be 'alarm' or 'bucket'"):
        parse_foundation(values, where="foundation")


def test_an_alarm_is_of_the_kind_that_route_53_can_watch(built):
    """Standard resolution, and one of five statistics (Route 53 developer guide)."""
    for made in built["alarm"][0].of(ALARM).values():
        assert made["period"] == PERIOD_SECONDS >= 60
        assert made["statistic"] in {"Average", "Minimum", "Maximum", "Sum", "SampleCount"}
        assert not made["namespace"].startswith("AWS/")
        assert "metricQueries" not in made


def test_a_move_is_waited_for_as_long_as_it_can_take():
    """A metric's minute, CloudWatch's next evaluation, Route 53's next look, each up to a minute; then the TTL."""
    assert SWITCH_SECONDS >= 1.5 * (3 * PERIOD_SECONDS + TTL_SECONDS)
    assert TURN_SECONDS < PERIOD_SECONDS


@pytest.mark.parametrize("kind", ["alarm", "bucket"])
def test_the_primary_follows_the_recovery_environments_check_and_the_secondary_none(built, kind):
    records = built[kind][0].of(RECORD).values()
    found = {
        (r["name"].split(".")[0], r["failoverRoutingPolicies"][0]["type"], *r["records"], r.get("healthCheckId"))
        for r in records
    }
    assert found == {
        ("orders", "PRIMARY", "dev.example.test", "foundation-dev-dr-id"),
        ("orders", "SECONDARY", "dev-dr.example.test", None),
        ("audit", "PRIMARY", "dev-dr.example.test", "foundation-dev-id"),
        ("audit", "SECONDARY", "dev.example.test", None),
    }


def test_health_checkers_can_read_the_switch_and_nothing_else_of_the_foundation(built):
    recorder, _ = built["bucket"]
    blocks = recorder.of("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock")
    public = {name for name, b in blocks.items() if not b["restrictPublicBuckets"] or not b["blockPublicPolicy"]}
    assert public == {"rekindle-example-switch"}
    assert not blocks["rekindle-example-switch"]["restrictPublicBuckets"]
    policy = recorder.of("aws:s3/bucketPolicy:BucketPolicy")["rekindle-example-switch"]
    (statement,) = json.loads(policy["policy"])["Statement"]
    assert policy["bucket"] == "rekindle-example-switch"
    assert {k: v for k, v in statement.items() if k != "Sid"} == {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::rekindle-example-switch/*/active",
    }
    assert built["bucket"][1]["foundation"]["stores"]["switch"] == {"kind": "bucket", "name": "rekindle-example-switch"}
    for name, check in recorder.of(CHECK).items():
        assert check["fqdn"] == "rekindle-example-switch.s3.us-west-2.amazonaws.com"
        assert check["resourcePath"] == f"/{name.removeprefix('foundation-')}/active"


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.BASTION])
def test_no_host_can_turn_the_switch(role):
    args = HostRolesArgs(environment="dev", prefix="p", artifacts_bucket="a", roles=())
    actions = {action for statement in policy(role, args)["Statement"] for action in statement["Action"]}
    assert not {action for action in actions if action.split(":")[0] not in {"ec2", "s3"}}
    assert {action for action in actions if action.startswith("s3:")} == {"s3:GetObject"}
