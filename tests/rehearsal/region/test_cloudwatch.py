"""CloudWatch on the stage, and the health checks of Route 53 that monitor its alarms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.cloudwatch.models import CloudWatchBackend
from moto.route53.models import HealthCheck as Made
from moto.route53.models import Route53Backend
from moto.route53.responses import Route53

from rehearsal.dns.alarms import Metric, State
from rehearsal.dns.health_checks import HealthChecks
from rehearsal.region.behaviour import alarms, names

HOME, AWAY = "us-east-1", "us-west-2"
REPLACED = (
    (Route53, "create_health_check"),
    (Route53, "update_health_check"),
    (Route53, "get_health_check_status"),
    (Route53Backend, "change_resource_record_sets"),
    (Made, "health_check_config"),
    (CloudWatchBackend, "put_metric_alarm"),
    (CloudWatchBackend, "put_metric_data"),
)


class Aws:
    """An account as an operator asks it, and the regions that are lost."""

    def __init__(self, clients: dict[str, Any]) -> None:
        self.down: set[str] = set()
        self.route53, self.cloudwatch = clients["route53"], {HOME: clients[HOME], AWAY: clients[AWAY]}

    def alarm(self, name: str = "a", region: str = AWAY, **changes: Any) -> None:
        settings = {
            "Namespace": "n",
            "MetricName": "m",
            "Dimensions": [{"Name": "Environment", "Value": "dev-dr"}],
            "Statistic": "Maximum",
            "Period": 60,
            "EvaluationPeriods": 1,
            "Threshold": 0.5,
            "ComparisonOperator": "GreaterThanThreshold",
            **changes,
        }
        given = {key: value for key, value in settings.items() if value is not None}
        self.cloudwatch[region].put_metric_alarm(AlarmName=name, **given)

    def put(self, value: float, of: str = "dev-dr", *, region: str = AWAY, into: str = "n", metric: str = "m") -> None:
        datum = {"MetricName": metric, "Dimensions": [{"Name": "Environment", "Value": of}], "Value": value}
        self.cloudwatch[region].put_metric_data(Namespace=into, MetricData=[datum])

    def state(self, name: str = "a", region: str = AWAY) -> str:
        (found,) = self.cloudwatch[region].describe_alarms(AlarmNames=[name])["MetricAlarms"]
        return str(found["StateValue"])

    def check(self, **changes: Any) -> str:
        settings = {"Type": "CLOUDWATCH_METRIC", "AlarmIdentifier": {"Region": AWAY, "Name": "a"}, **changes}
        given = {key: value for key, value in settings.items() if value is not None}
        made = self.route53.create_health_check(CallerReference="1", HealthCheckConfig=given)
        return str(made["HealthCheck"]["Id"])


@pytest.fixture(scope="module")
def clients() -> dict[str, Any]:
    """Made once: they are slow to make."""
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        monitoring = {region: boto3.client("cloudwatch", region, **keys) for region in (HOME, AWAY)}
        return {"route53": boto3.client("route53", HOME, **keys), **monitoring}


@pytest.fixture
def aws(clients: dict[str, Any]) -> Iterator[Aws]:
    with mock_aws(), pytest.MonkeyPatch.context() as patch:
        for owner, name in REPLACED:
            patch.setattr(owner, name, vars(owner)[name])  # put back after the test
        made = Aws(clients)
        names.install(HealthChecks(lambda name: [], lambda alarm: State.OK), made.down.__contains__)
        alarms.install()
        yield made


def now() -> float:
    """The moment of the newest data point."""
    return max(
        datum.timestamp.timestamp() for region in (HOME, AWAY) for datum in alarms.cloud.cloudwatch(region).metric_data
    )


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


@pytest.mark.parametrize(
    "changes",
    [{"Period": 5}, {"Period": 90}, {"TreatMissingData": "forget"}],
)
def test_cloudwatch_refuses_what_is_no_alarm(aws: Aws, changes: dict[str, Any]) -> None:
    with pytest.raises(ClientError) as refused:
        aws.alarm(**changes)
    assert code(refused) == "ValidationError"


@pytest.mark.parametrize("changes", [{"Period": 10}, {"Period": 120}, {"TreatMissingData": "breaching"}])
def test_cloudwatch_takes_what_is_one(aws: Aws, changes: dict[str, Any]) -> None:
    aws.alarm(**changes)


def test_namespaces_of_aws_are_not_for_others(aws: Aws) -> None:
    with pytest.raises(ClientError) as refused:
        aws.put(1, into="AWS/EC2")
    assert code(refused) == "InvalidParameterValue"


@pytest.mark.parametrize(
    ("missing", "values", "states"),
    [
        (None, [], "INSUFFICIENT_DATA"),
        ("ignore", [], "INSUFFICIENT_DATA"),
        ("breaching", [], "ALARM"),
        ("notBreaching", [], "OK"),
        ("ignore", [1], "ALARM"),
        ("ignore", [0], "OK"),
    ],
)
def test_an_alarm_is_in_the_state_that_its_data_says(
    aws: Aws, missing: str | None, values: list[float], states: str
) -> None:
    aws.alarm(TreatMissingData=missing)
    assert aws.state() == "INSUFFICIENT_DATA"
    for value in values:
        aws.put(value)
    alarms.settle([AWAY], now() if values else 0)
    assert aws.state() == states


@pytest.mark.parametrize(
    ("missing", "later"), [("ignore", "ALARM"), (None, "INSUFFICIENT_DATA"), ("notBreaching", "OK")]
)
def test_without_data_an_alarm_keeps_its_state_only_if_it_ignores_that(
    aws: Aws, missing: str | None, later: str
) -> None:
    aws.alarm(TreatMissingData=missing)
    aws.put(1)
    alarms.settle([AWAY], now())
    alarms.settle([AWAY], now() + 3600)
    assert aws.state() == later
    aws.alarm(TreatMissingData=missing, Threshold=0.7)
    assert aws.state() == later, "settings are no data"


def test_a_metric_is_its_region_its_namespace_its_name_and_all_its_dimensions(aws: Aws) -> None:
    aws.alarm()
    aws.put(1, of="dev")
    aws.put(1, region=HOME)
    aws.put(1, into="other")
    aws.put(1, metric="other")
    alarms.settle([HOME, AWAY], now())
    assert aws.state() == "INSUFFICIENT_DATA"
    metric = Metric(namespace="n", name="m", dimensions=frozenset({("Environment", "dev-dr")}))
    assert [datum.value for datum in alarms.data(HOME, metric)] == [1.0]
    assert alarms.data(AWAY, metric) == []


def test_alarms_of_a_lost_region_are_not_evaluated_and_its_data_is_told_to_nobody(aws: Aws) -> None:
    aws.alarm()
    aws.put(1)
    alarms.settle([HOME], now())
    assert aws.state() == "INSUFFICIENT_DATA"
    alarm = alarms.read(AWAY, "a")
    assert alarm
    said = alarms.stream(aws.down.__contains__, now)
    assert said(alarm) is State.ALARM
    aws.down.add(AWAY)
    assert said(alarm) is State.INSUFFICIENT_DATA


@pytest.mark.parametrize(
    ("alarm", "check", "why"),
    [
        ({}, {"AlarmIdentifier": {"Region": AWAY, "Name": "none"}}, "none in us-west-2 is not there"),
        ({}, {"AlarmIdentifier": {"Region": HOME, "Name": "a"}}, "a in us-east-1 is not there"),
        ({}, {"AlarmIdentifier": None}, "does not go with a health check of type CLOUDWATCH_METRIC"),
        ({}, {"Type": "HTTP"}, "does not go with a health check of type HTTP"),
        ({}, {"RequestInterval": 10}, "RequestInterval: not for a health check of type CLOUDWATCH_METRIC"),
        ({}, {"FailureThreshold": 1}, "FailureThreshold: not for"),
        ({"Period": 10}, {}, "is of high resolution"),
        ({"Statistic": None, "ExtendedStatistic": "p99"}, {}, "of a kind that cannot be monitored"),
        ({"EvaluationPeriods": 2}, {}, "of a kind that cannot be monitored"),
    ],
)
def test_route_53_refuses_what_it_cannot_monitor(
    aws: Aws, alarm: dict[str, Any], check: dict[str, Any], why: str
) -> None:
    aws.alarm(**alarm)
    with pytest.raises(ClientError, match=why) as refused:
        aws.check(**check)
    assert code(refused) == "InvalidInput"
    assert names.health_checks() == []


def test_an_alarm_of_a_lost_region_cannot_be_read_for_a_check(aws: Aws) -> None:
    aws.alarm()
    aws.down.add(AWAY)
    with pytest.raises(ClientError, match="is not there"):
        aws.check()


def test_a_check_is_told_with_its_alarm_and_without_what_endpoints_have(aws: Aws) -> None:
    aws.alarm()
    number = aws.check(InsufficientDataHealthStatus="Unhealthy", Inverted=True)
    config = aws.route53.get_health_check(HealthCheckId=number)["HealthCheck"]["HealthCheckConfig"]
    assert config["AlarmIdentifier"] == {"Region": AWAY, "Name": "a"}
    assert (config["InsufficientDataHealthStatus"], config["Inverted"]) == ("Unhealthy", True)
    assert not config.keys() & {"Port", "RequestInterval", "FailureThreshold", "FullyQualifiedDomainName"}


def test_a_check_watches_the_settings_that_its_alarm_had_until_it_is_updated(aws: Aws) -> None:
    aws.alarm()
    number = aws.check()
    aws.alarm(Threshold=7)
    (check,) = names.health_checks()
    assert (check.id, check.type, check.without_data) == (number, "CLOUDWATCH_METRIC", "LastKnownStatus")
    assert check.alarm
    assert check.alarm.threshold == 0.5
    aws.route53.update_health_check(HealthCheckId=number, Inverted=True)
    (check,) = names.health_checks()
    assert check.alarm
    assert (check.inverted, check.alarm.threshold) == (True, 0.5)
    aws.route53.update_health_check(HealthCheckId=number, AlarmIdentifier={"Region": AWAY, "Name": "a"})
    (check,) = names.health_checks()
    assert check.alarm
    assert check.alarm.threshold == 7
    aws.route53.update_health_check(HealthCheckId=number, InsufficientDataHealthStatus="Healthy")
    assert names.health_checks()[0].without_data == "Healthy"
    with pytest.raises(ClientError, match="is not there"):
        aws.route53.update_health_check(HealthCheckId=number, AlarmIdentifier={"Region": AWAY, "Name": "none"})


def test_a_check_of_an_endpoint_is_as_before(aws: Aws) -> None:
    aws.check(Type="HTTP", AlarmIdentifier=None, FullyQualifiedDomainName="a.example", Port=81, RequestInterval=10)
    (check,) = names.health_checks()
    assert (check.type, check.name, check.port, check.interval, check.alarm) == ("HTTP", "a.example", 81, 10.0, None)
