"""CloudWatch on the stage, and the health checks of Route 53 that monitor its alarms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from api_in_process import Clients, as_before
from botocore.exceptions import ClientError
from moto.cloudwatch.models import CloudWatchBackend
from moto.route53.models import HealthCheck, Route53Backend
from moto.route53.responses import Route53

from rehearsal.dns.alarms import Metric, State
from rehearsal.dns.health_checks import HealthChecks
from rehearsal.region.behaviour import alarms, names

HOME, AWAY = "us-east-1", "us-west-2"


class Account:
    """An account as an operator asks it, and the regions that are lost."""

    def __init__(self, aws: Clients) -> None:
        self.down: set[str] = set()
        self.route53 = aws("route53")
        self.cloudwatch = {region: aws("cloudwatch", region) for region in (HOME, AWAY)}

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


@pytest.fixture
def account(aws: Clients) -> Iterator[Account]:
    with as_before(Route53, Route53Backend, HealthCheck, CloudWatchBackend):
        made = Account(aws)
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
def test_cloudwatch_refuses_what_is_no_alarm(account: Account, changes: dict[str, Any]) -> None:
    with pytest.raises(ClientError) as refused:
        account.alarm(**changes)
    assert code(refused) == "ValidationError"


@pytest.mark.parametrize("changes", [{"Period": 10}, {"Period": 120}, {"TreatMissingData": "breaching"}])
def test_cloudwatch_takes_what_is_one(account: Account, changes: dict[str, Any]) -> None:
    account.alarm(**changes)


def test_namespaces_of_aws_are_not_for_others(account: Account) -> None:
    with pytest.raises(ClientError) as refused:
        account.put(1, into="AWS/EC2")
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
    account: Account, missing: str | None, values: list[float], states: str
) -> None:
    account.alarm(TreatMissingData=missing)
    assert account.state() == "INSUFFICIENT_DATA"
    for value in values:
        account.put(value)
    alarms.settle([AWAY], now() if values else 0)
    assert account.state() == states


@pytest.mark.parametrize(
    ("missing", "later"), [("ignore", "ALARM"), (None, "INSUFFICIENT_DATA"), ("notBreaching", "OK")]
)
def test_without_data_an_alarm_keeps_its_state_only_if_it_ignores_that(
    account: Account, missing: str | None, later: str
) -> None:
    account.alarm(TreatMissingData=missing)
    account.put(1)
    alarms.settle([AWAY], now())
    alarms.settle([AWAY], now() + 3600)
    assert account.state() == later
    account.alarm(TreatMissingData=missing, Threshold=0.7)
    assert account.state() == later, "settings are no data"


def test_a_metric_is_its_region_its_namespace_its_name_and_all_its_dimensions(account: Account) -> None:
    account.alarm()
    account.put(1, of="dev")
    account.put(1, region=HOME)
    account.put(1, into="other")
    account.put(1, metric="other")
    alarms.settle([HOME, AWAY], now())
    assert account.state() == "INSUFFICIENT_DATA"
    metric = Metric(namespace="n", name="m", dimensions=frozenset({("Environment", "dev-dr")}))
    assert [datum.value for datum in alarms.data(HOME, metric)] == [1.0]
    assert alarms.data(AWAY, metric) == []


def test_alarms_of_a_lost_region_are_not_evaluated_and_its_data_is_told_to_nobody(account: Account) -> None:
    account.alarm()
    account.put(1)
    alarms.settle([HOME], now())
    assert account.state() == "INSUFFICIENT_DATA"
    alarm = alarms.read(AWAY, "a")
    assert alarm
    said = alarms.stream(account.down.__contains__, now)
    assert said(alarm) is State.ALARM
    account.down.add(AWAY)
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
    account: Account, alarm: dict[str, Any], check: dict[str, Any], why: str
) -> None:
    account.alarm(**alarm)
    with pytest.raises(ClientError, match=why) as refused:
        account.check(**check)
    assert code(refused) == "InvalidInput"
    assert names.health_checks() == []


def test_an_alarm_of_a_lost_region_cannot_be_read_for_a_check(account: Account) -> None:
    account.alarm()
    account.down.add(AWAY)
    with pytest.raises(ClientError, match="is not there"):
        account.check()


def test_a_check_is_told_with_its_alarm_and_without_what_endpoints_have(account: Account) -> None:
    account.alarm()
    number = account.check(InsufficientDataHealthStatus="Unhealthy", Inverted=True)
    config = account.route53.get_health_check(HealthCheckId=number)["HealthCheck"]["HealthCheckConfig"]
    assert config["AlarmIdentifier"] == {"Region": AWAY, "Name": "a"}
    assert (config["InsufficientDataHealthStatus"], config["Inverted"]) == ("Unhealthy", True)
    assert not config.keys() & {"Port", "RequestInterval", "FailureThreshold", "FullyQualifiedDomainName"}


def test_a_check_watches_the_settings_that_its_alarm_had_until_it_is_updated(account: Account) -> None:
    account.alarm()
    number = account.check()
    account.alarm(Threshold=7)
    (check,) = names.health_checks()
    assert (check.id, check.type, check.without_data) == (number, "CLOUDWATCH_METRIC", "LastKnownStatus")
    assert check.alarm
    assert check.alarm.threshold == 0.5
    account.route53.update_health_check(HealthCheckId=number, Inverted=True)
    (check,) = names.health_checks()
    assert check.alarm
    assert (check.inverted, check.alarm.threshold) == (True, 0.5)
    account.route53.update_health_check(HealthCheckId=number, AlarmIdentifier={"Region": AWAY, "Name": "a"})
    (check,) = names.health_checks()
    assert check.alarm
    assert check.alarm.threshold == 7
    account.route53.update_health_check(HealthCheckId=number, InsufficientDataHealthStatus="Healthy")
    assert names.health_checks()[0].without_data == "Healthy"
    with pytest.raises(ClientError, match="is not there"):
        account.route53.update_health_check(HealthCheckId=number, AlarmIdentifier={"Region": AWAY, "Name": "none"})


def test_a_check_of_an_endpoint_is_as_before(account: Account) -> None:
    account.check(Type="HTTP", AlarmIdentifier=None, FullyQualifiedDomainName="a.example", Port=81, RequestInterval=10)
    (check,) = names.health_checks()
    assert (check.type, check.name, check.port, check.interval, check.alarm) == ("HTTP", "a.example", 81, 10.0, None)
