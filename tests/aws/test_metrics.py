"""CloudWatch, as moto answers it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from rekindle.aws import metrics
from rekindle.aws.clients import Clients
from rekindle.errors import Refused


@pytest.fixture
def cloudwatch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield Clients(attempts=1).cloudwatch("us-west-2")


def put(client: Any, name: str) -> None:
    client.put_metric_alarm(
        AlarmName=name, Namespace="n", MetricName="m", Statistic="Maximum", Period=60,
        EvaluationPeriods=1, Threshold=0.5, ComparisonOperator="GreaterThanThreshold",
    )  # fmt: skip


def test_each_value_is_a_data_point_of_now_under_its_dimension(cloudwatch: Any) -> None:
    metrics.put(cloudwatch, "n", "m", "Environment", {"dev-dr": 1.0, "dev": 0.0})
    now = datetime.now(UTC)
    found = {}
    for environment in ("dev", "dev-dr"):
        (point,) = cloudwatch.get_metric_statistics(
            Namespace="n", MetricName="m", Dimensions=[{"Name": "Environment", "Value": environment}],
            StartTime=now - timedelta(minutes=2), EndTime=now + timedelta(minutes=1), Period=60, Statistics=["Sum"],
        )["Datapoints"]  # fmt: skip
        found[environment] = point["Sum"]
    assert found == {"dev": 0.0, "dev-dr": 1.0}


@pytest.mark.parametrize(("state", "is_in_alarm"), [("ALARM", True), ("OK", False), ("INSUFFICIENT_DATA", False)])
def test_an_alarm_is_in_alarm_when_its_state_is_so(cloudwatch: Any, state: str, is_in_alarm: bool) -> None:
    put(cloudwatch, "it")
    put(cloudwatch, "other")
    cloudwatch.set_alarm_state(AlarmName="it", StateValue=state, StateReason="test")
    assert metrics.is_in_alarm(cloudwatch, "it") is is_in_alarm
    assert metrics.is_in_alarm(cloudwatch, "absent") is False


@pytest.mark.parametrize(
    "ask", [lambda c: metrics.is_in_alarm(c, "it"), lambda c: metrics.put(c, "n", "m", "d", {"a": 1.0})]
)
def test_what_aws_refuses_is_an_error_of_ours(ask: Any) -> None:
    class Refusing:
        meta = type("Meta", (), {"region_name": "us-west-2", "service_model": type("S", (), {"service_name": "cw"})})

        def refuse(self, **_: Any) -> None:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "PutMetricData")

        put_metric_data = describe_alarms = refuse

    with pytest.raises(Refused, match="AWS cw in us-west-2"):
        ask(Refusing())
