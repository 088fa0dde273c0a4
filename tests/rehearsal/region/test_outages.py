"""Which requests nobody answers while a region is lost."""

from __future__ import annotations

import pytest

from rehearsal.region.outages import Outages
from rehearsal.region.request import Call


def call(service: str, region: str = "us-east-1", **facts: str) -> Call:
    return Call(
        **{"service": service, "region": region, "method": "POST", "path": "/", "source": "198.18.1.2", **facts}
    )  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "bucket_region", "swallowed"),
    [
        (call("ec2", action="DescribeVpcs"), None, True),
        (call("ec2", "us-west-2", action="DescribeVpcs"), None, False),
        (call("sts", action="GetCallerIdentity"), None, True),
        (call("sts", "us-west-2", action="GetCallerIdentity"), None, False),
        (call("iam", action="CreateRole"), None, True),
        (call("iam", action="GetRole"), None, False),
        (call("route53", method="POST"), None, True),
        (call("route53", method="GET"), None, False),
        (call("s3", method="GET", bucket="b", key="k"), "us-east-1", True),
        (call("s3", method="GET", bucket="b", key="k"), "us-west-2", False),
        (call("s3", "us-west-2", method="GET", bucket="b", key="k"), "us-east-1", True),
        (call("s3", "us-west-2", method="PUT", bucket="b"), None, True),
        (call("s3", "us-west-2", method="PUT", bucket="b", key="k"), "us-west-2", False),
        (call("kms", "us-west-2", action="Decrypt"), None, False),
        (call("cloudwatch", action="PutMetricData"), None, True),
        (call("cloudwatch", "us-west-2", action="PutMetricData"), None, False),
    ],
)
def test_us_east_1_is_lost(asked: Call, bucket_region: str | None, swallowed: bool) -> None:
    outages = Outages()
    outages.fail("us-east-1")
    assert outages.swallow(asked, bucket_region) is swallowed


def test_us_west_2_carries_no_control_plane() -> None:
    outages = Outages()
    outages.fail("us-west-2")
    assert not outages.swallow(call("iam", action="CreateRole"), None)
    assert outages.up == ["us-east-1"]
    outages.restore("us-west-2")
    assert not outages.swallow(call("ec2", "us-west-2", action="DescribeVpcs"), None)
