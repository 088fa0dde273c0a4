"""The switch: a bucket whose objects, by being there, move the public names."""

import json
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_aws import s3

from components.buckets import PrivateBucket, PrivateBucketArgs


@dataclass(frozen=True, kw_only=True)
class SwitchArgs:
    """What the bucket is made from."""

    region: str
    bucket: str


class Switch(pulumi.ComponentResource):
    """Readable by everybody, since Route 53's health checkers sign nothing; holds empty objects only."""

    bucket: pulumi.Output[str]
    host: pulumi.Output[str]

    def __init__(self, name: str, args: SwitchArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("rekindle:switch:Switch", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        made = PrivateBucket(name, PrivateBucketArgs(bucket=args.bucket, is_policy_public=True), child)
        s3.BucketPolicy(
            name,
            bucket=made.bucket,
            policy=json.dumps(_policy(args.bucket)),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[made]),
        )
        self.bucket = made.bucket
        self.host = made.bucket.apply(lambda bucket: f"{bucket}.s3.{args.region}.amazonaws.com")
        self.register_outputs({"bucket": self.bucket, "host": self.host})


def _policy(bucket: str) -> dict[str, Any]:
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "HealthCheckersLook",
                "Effect": "Allow",
                "Principal": "*",
                "Action": "s3:GetObject",
                "Resource": f"arn:aws:s3:::{bucket}/*/active",
            }
        ],
    }
