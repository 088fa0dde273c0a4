"""CloudWatch: values of a metric, and what an alarm made of them."""

from collections.abc import Mapping

from rekindle.aws.clients import Client
from rekindle.aws.errors import translated


def put(client: Client, namespace: str, metric: str, dimension: str, values: Mapping[str, float]) -> None:
    """A data point of this moment for each value of the dimension, all in one request."""
    data = [
        {"MetricName": metric, "Dimensions": [{"Name": dimension, "Value": of}], "Value": value}
        for of, value in values.items()
    ]
    with translated(client):
        client.put_metric_data(Namespace=namespace, MetricData=data)


def is_in_alarm(client: Client, alarm: str) -> bool:
    """Whether the alarm's state is ALARM; an alarm that is not there is in no state."""
    with translated(client):
        found = client.describe_alarms(AlarmNames=[alarm])["MetricAlarms"]
    return [item["StateValue"] for item in found] == ["ALARM"]
