"""CloudWatch alarms over one metric."""

from typing import Any

from rehearsal.provider.aws import Aws
from rehearsal.provider.resource import Resource, tag_list, tag_map
from rehearsal.provider.values import Properties


class MetricAlarm(Resource):
    """PutMetricAlarm writes the whole alarm, whether there is one of that name or not; it tags only what it creates."""

    kind = "aws:cloudwatch/metricAlarm:MetricAlarm"
    handles = frozenset(
        {
            "name",
            "alarmDescription",
            "namespace",
            "metricName",
            "dimensions",
            "statistic",
            "period",
            "evaluationPeriods",
            "datapointsToAlarm",
            "comparisonOperator",
            "threshold",
            "treatMissingData",
            "tags",
        }
    )
    needs = handles - {"alarmDescription", "dimensions", "datapointsToAlarm", "treatMissingData", "tags"}
    replaces = frozenset({"name"})

    def create(self, aws: Aws, want: Properties) -> str:
        aws.cloudwatch.put_metric_alarm(**_alarm(want), Tags=tag_list(want.get("tags")))
        return str(want["name"])

    def update(self, aws: Aws, id: str, old: Properties, new: Properties) -> None:
        aws.cloudwatch.put_metric_alarm(**_alarm(new))
        arn = self._find(aws, id)["AlarmArn"]
        if gone := sorted(set(old.get("tags", {})) - set(new.get("tags", {}))):
            aws.cloudwatch.untag_resource(ResourceARN=arn, TagKeys=gone)
        aws.cloudwatch.tag_resource(ResourceARN=arn, Tags=tag_list(new.get("tags")))

    def observe(self, aws: Aws, id: str, known: Properties) -> Properties | None:
        found = self._find(aws, id)
        if not found:
            return None
        tags = aws.cloudwatch.list_tags_for_resource(ResourceARN=found["AlarmArn"])["Tags"]
        dimensions = {item["Name"]: item["Value"] for item in found.get("Dimensions", [])}
        seen = {name: found.get(key) for name, key in _NAMES.items()}
        return seen | {"dimensions": dimensions, "tags": tag_map(tags), "arn": found["AlarmArn"]}

    def delete(self, aws: Aws, id: str, state: Properties) -> None:
        aws.cloudwatch.delete_alarms(AlarmNames=[id])

    def _find(self, aws: Aws, name: str) -> dict[str, Any]:
        found = aws.cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
        return dict(found[0]) if found else {}


_NAMES = {
    "name": "AlarmName",
    "alarmDescription": "AlarmDescription",
    "namespace": "Namespace",
    "metricName": "MetricName",
    "statistic": "Statistic",
    "period": "Period",
    "evaluationPeriods": "EvaluationPeriods",
    "datapointsToAlarm": "DatapointsToAlarm",
    "comparisonOperator": "ComparisonOperator",
    "threshold": "Threshold",
    "treatMissingData": "TreatMissingData",
}


def _alarm(want: Properties) -> dict[str, Any]:
    dimensions = [{"Name": name, "Value": value} for name, value in want.get("dimensions", {}).items()]
    return {key: want[name] for name, key in _NAMES.items() if name in want} | {"Dimensions": dimensions}
