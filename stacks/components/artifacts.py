"""The environment's own artifact bucket: its hosts read it by plain HTTP through the VPC's S3 endpoint."""

import json
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_aws import s3

from components.buckets import PrivateBucket, PrivateBucketArgs


@dataclass(frozen=True, kw_only=True)
class ArtifactsArgs:
    """What the bucket is made from."""

    bucket: pulumi.Input[str]
    endpoint_id: pulumi.Input[str]


class Artifacts(pulumi.ComponentResource):
    """Objects by digest; readable without a signature, but only from inside the VPC."""

    bucket: pulumi.Output[str]

    def __init__(self, name: str, args: ArtifactsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("rekindle:artifacts:Artifacts", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        made = PrivateBucket(f"{name}-artifacts", PrivateBucketArgs(bucket=args.bucket, is_disposable=True), child)
        s3.BucketPolicy(
            f"{name}-artifacts",
            bucket=made.bucket,
            policy=pulumi.Output.all(made.bucket, args.endpoint_id).apply(lambda v: json.dumps(_policy(*v))),
            opts=child,
        )
        self.bucket = made.bucket
        self.register_outputs({"bucket": self.bucket})


def _policy(bucket: str, endpoint: str) -> dict[str, Any]:
    """S3 does not count a policy bound to one endpoint as public (S3 user guide, block public access)."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "HostsFetchThroughTheirEndpoint",
                "Effect": "Allow",
                "Principal": "*",
                "Action": "s3:GetObject",
                "Resource": f"arn:aws:s3:::{bucket}/*",
                "Condition": {"StringEquals": {"aws:SourceVpce": endpoint}},
            }
        ],
    }
