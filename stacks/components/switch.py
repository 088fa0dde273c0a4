"""The switch: what the health checks of the public names look at, on the recovery side."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pulumi
from pulumi_aws import cloudwatch, route53, s3

from components.buckets import PrivateBucket, PrivateBucketArgs
from rekindle.environment import SWITCH_DIMENSION, SWITCH_METRIC, switch_alarm, switch_key

PERIOD_SECONDS = 60  # the shortest that Route 53 takes: no metrics of high resolution


class Switch(Protocol):
    """A way to say which environment has taken over."""

    location: pulumi.Input[dict[str, Any]]  # what the inventory says of it

    def check(self, environment: str) -> route53.HealthCheckArgs:
        """A health check that is healthy while this recovery environment has not taken over."""


@dataclass(frozen=True, kw_only=True)
class AlarmSwitchArgs:
    """What the alarms are made from."""

    region: str
    namespace: str
    environments: Sequence[str]  # those that can take over


class AlarmSwitch(pulumi.ComponentResource):
    """A metric and an alarm for each environment that can take over; without data nothing changes.

    Protected: an alarm or a check that is made anew knows nothing of a takeover. Route 53 reads an alarm's settings
    once, when its check is made, and the metric itself from then on (Route 53 developer guide, "How Route 53
    determines the status of health checks that monitor CloudWatch alarms" and "Updating health checks when you
    change CloudWatch alarm settings").
    """

    location: pulumi.Input[dict[str, Any]]

    def __init__(self, name: str, args: AlarmSwitchArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("rekindle:switch:AlarmSwitch", name, None, opts)
        self._name, self._args = name, args
        self._alarms = {environment: self._alarm(environment) for environment in args.environments}
        self.location = {"kind": "alarm", "namespace": args.namespace}
        self.register_outputs({"location": self.location})

    def check(self, environment: str) -> route53.HealthCheckArgs:
        """Keeps its status while the metric has no data, or cannot be read; a new one is healthy."""
        return route53.HealthCheckArgs(
            type="CLOUDWATCH_METRIC",
            cloudwatch_alarm_name=self._alarms[environment].name,
            cloudwatch_alarm_region=self._args.region,
            insufficient_data_health_status="LastKnownStatus",
        )

    def _alarm(self, environment: str) -> cloudwatch.MetricAlarm:
        name = switch_alarm(self._args.namespace, environment)
        return cloudwatch.MetricAlarm(
            f"{self._name}-{environment}",
            name=name,
            alarm_description=f"{environment} has taken over: the public names lead to it. Nothing needs mending.",
            namespace=self._args.namespace,
            metric_name=SWITCH_METRIC,
            dimensions={SWITCH_DIMENSION: environment},
            statistic="Maximum",
            period=PERIOD_SECONDS,
            evaluation_periods=1,  # one data point is enough
            comparison_operator="GreaterThanThreshold",
            threshold=0.5,
            treat_missing_data="ignore",
            tags={"Name": name},
            opts=pulumi.ResourceOptions(parent=self, protect=True),
        )


@dataclass(frozen=True, kw_only=True)
class BucketSwitchArgs:
    """What the bucket is made from."""

    region: str
    bucket: str


class BucketSwitch(pulumi.ComponentResource):
    """Readable by everybody, since Route 53's health checkers sign nothing; holds empty objects only."""

    location: pulumi.Input[dict[str, Any]]

    def __init__(self, name: str, args: BucketSwitchArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("rekindle:switch:Switch", name, None, opts)
        self._region = args.region
        child = pulumi.ResourceOptions(parent=self)
        made = PrivateBucket(name, PrivateBucketArgs(bucket=args.bucket, is_policy_public=True), child)
        s3.BucketPolicy(
            name,
            bucket=made.bucket,
            policy=json.dumps(_policy(args.bucket)),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[made]),
        )
        self._bucket = made.bucket
        self.location = {"kind": "bucket", "name": made.bucket}
        self.register_outputs({"location": self.location})

    def check(self, environment: str) -> route53.HealthCheckArgs:
        """Inverted: healthy while the object is not there, or cannot be read; a new one is not healthy."""
        return route53.HealthCheckArgs(
            type="HTTP",
            fqdn=self._bucket.apply(lambda bucket: f"{bucket}.s3.{self._region}.amazonaws.com"),
            port=80,
            resource_path=f"/{switch_key(environment)}",
            request_interval=10,
            failure_threshold=1,
            invert_healthcheck=True,
        )


def _policy(bucket: str) -> dict[str, Any]:
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "HealthCheckersLook",
                "Effect": "Allow",
                "Principal": "*",
                "Action": "s3:GetObject",
                "Resource": f"arn:aws:s3:::{bucket}/{switch_key('*')}",
            }
        ],
    }
