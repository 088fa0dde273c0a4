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


def test_a_name_that_an_alarm_moved_stays_while_the_alarms_region_is_lost(aws: Aws, internet: RegionHandle) -> None:
    away, route53 = aws("cloudwatch", "us-west-2"), aws("route53")
    metric = {"Namespace": "Rekindle/test", "MetricName": "TakenOver"}
    away.put_metric_alarm(
        **metric, AlarmName="taken-over", Statistic="Maximum", Period=60, EvaluationPeriods=1, Threshold=0.5,
        ComparisonOperator="GreaterThanThreshold", TreatMissingData="ignore",
    )  # fmt: skip
    identifier = {"Region": "us-west-2", "Name": "taken-over"}
    config = {
        "Type": "CLOUDWATCH_METRIC",
        "AlarmIdentifier": identifier,
        "InsufficientDataHealthStatus": "LastKnownStatus",
    }
    check = route53.create_health_check(CallerReference="loss", HealthCheckConfig=config)["HealthCheck"]["Id"]
    zone = route53.create_hosted_zone(Name="loss.example", CallerReference="loss")["HostedZone"]["Id"]
    sets = [
        {"Failover": "PRIMARY", "ResourceRecords": [{"Value": "192.0.2.9"}], "HealthCheckId": check},
        {"Failover": "SECONDARY", "ResourceRecords": [{"Value": "203.0.113.9"}]},
    ]
    named = [{"Name": "orders.loss.example", "Type": "A", "TTL": 1, "SetIdentifier": s["Failover"], **s} for s in sets]
    route53.change_resource_record_sets(
        HostedZoneId=zone, ChangeBatch={"Changes": [{"Action": "CREATE", "ResourceRecordSet": s} for s in named]}
    )

    def leads_to() -> str:
        done = internet.run_in_internet(["getent", "ahostsv4", "orders.loss.example"], capture_output=True, text=True)
        return str(done.stdout.split()[0])

    def says(text: str) -> bool:
        seen = route53.get_health_check_status(HealthCheckId=check)["HealthCheckObservations"]
        return text in seen[0]["StatusReport"]["Status"]

    wait_until(lambda: says("Insufficient data"))
    assert leads_to() == "192.0.2.9"
    away.put_metric_data(Namespace="Rekindle/test", MetricData=[{"MetricName": "TakenOver", "Value": 1}])
    wait_until(lambda: leads_to() == "203.0.113.9")
    internet.fail_region("us-west-2")
    try:
        with pytest.raises(BotoCoreError):
            away.put_metric_data(Namespace="Rekindle/test", MetricData=[{"MetricName": "TakenOver", "Value": 0}])
        wait_until(lambda: says("Insufficient data"))
        assert leads_to() == "203.0.113.9"
    finally:
        internet.restore_region("us-west-2")


def test_a_host_that_loses_power_loses_what_was_not_on_disk(aws: Aws, internet: RegionHandle, login_key: Path) -> None:
    zone = Zone(aws, login_key, cidr="10.8")
    host = zone.run(zone.public, zone.bastion_group, public=True)
    zone.wait_for("running", host)
    volume = zone.ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    zone.ec2.attach_volume(VolumeId=volume, InstanceId=host, Device="/dev/xvdf")
    zone.ssh(host, "sudo mkfs.ext4 -q /dev/xvdf && sudo mount /dev/xvdf /mnt && sudo chown admin /mnt")
    zone.ssh(host, "echo a > /mnt/kept && sync -f /mnt && echo b > /mnt/lost")
    internet.fail_host(host)
    assert zone.instance(host)["State"]["Name"] == "stopped"
    zone.ec2.start_instances(InstanceIds=[host])
    zone.wait_for("running", host)
    assert zone.ssh(host, "sudo mount /dev/xvdf /mnt && ls /mnt").split() == ["kept", "lost+found"]
    zone.delete()
    assert zone.ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["State"] == "available"


def test_a_frozen_disk_does_not_outlive_its_host(aws: Aws, internet: RegionHandle, login_key: Path) -> None:
    zone = Zone(aws, login_key, cidr="10.9")
    host = zone.run(zone.public, zone.bastion_group, public=True)
    zone.wait_for("running", host)
    volume = zone.ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    zone.ec2.attach_volume(VolumeId=volume, InstanceId=host, Device="/dev/xvdf")
    zone.ssh(host, "sudo mkfs.ext4 -q /dev/xvdf && sudo mount /dev/xvdf /mnt && sudo fsfreeze -f /mnt")
    internet.fail_host(host)
    zone.delete()
    zone.ec2.delete_volume(VolumeId=volume)


def _global_control_planes_refuse(aws: Aws) -> None:
    with pytest.raises(BotoCoreError):
        aws("iam").create_user(UserName="nobody")
    with pytest.raises(BotoCoreError):
        aws("route53").create_hosted_zone(Name="example.net", CallerReference="2")
    assert "Users" in aws("iam").list_users()
    with pytest.raises(ClientError, match="NoSuchEntity"):
        aws("iam").get_role(RoleName="absent")
