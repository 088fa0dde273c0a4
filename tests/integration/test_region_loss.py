"""Losing a region: last, because it ends what the other tests use."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from rehearsal_zone import Aws, Zone, wait_until

from rehearsal.region.handle import RegionHandle

pytestmark = pytest.mark.integration


def test_a_lost_region(aws: Aws, internet: RegionHandle, login_key: Path) -> None:
    east = Zone(aws, login_key, cidr="10.7")
    west = Zone(aws, login_key, "us-west-2", cidr="10.7")
    hosts = [
        east.run(east.public, east.bastion_group, public=True),
        west.run(west.public, west.bastion_group, public=True),
    ]
    east.wait_for("running", hosts[0])
    west.wait_for("running", hosts[1])
    for bucket, where in (("here", None), ("there", "us-west-2")):
        aws("s3", where or "us-east-1").create_bucket(
            Bucket=bucket, **({"CreateBucketConfiguration": {"LocationConstraint": where}} if where else {})
        )
    began = time.monotonic()
    assert internet.fail_region("us-east-1") >= 1
    assert time.monotonic() - began < 10
    try:
        _global_control_planes_refuse(aws)
        with pytest.raises(BotoCoreError):
            aws("ec2").describe_vpcs()
        with pytest.raises(BotoCoreError):
            aws("s3").list_objects_v2(Bucket="here")
        aws("s3", "us-west-2").put_object(Bucket="there", Key="k", Body=b"v")
        assert west.ssh(hosts[1], "echo alive").strip() == "alive", "overlapping addresses of another VPC live on"
    finally:
        internet.restore_region("us-east-1")
    assert east.instance(hosts[0])["State"]["Name"] == "stopped"
    east.ec2.start_instances(InstanceIds=[hosts[0]])
    east.wait_for("running", hosts[0])
    wait_until(lambda: east.try_ssh(hosts[0], "true").returncode == 0)
    east.delete()
    west.delete()


def _global_control_planes_refuse(aws: Aws) -> None:
    with pytest.raises(BotoCoreError):
        aws("iam").create_user(UserName="nobody")
    with pytest.raises(BotoCoreError):
        aws("route53").create_hosted_zone(Name="example.net", CallerReference="2")
    assert "Users" in aws("iam").list_users()
    with pytest.raises(ClientError, match="NoSuchEntity"):
        aws("iam").get_role(RoleName="absent")
