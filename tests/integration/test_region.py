"""The region with packets, machines and disks: what an operator on its Internet can see."""

from __future__ import annotations

import json
import shlex
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from rehearsal_zone import ANYWHERE, Aws, Zone, wait_until

from rehearsal.region.errors import AlreadyUp
from rehearsal.region.handle import RegionHandle
from rekindle.aws import compute
from rekindle.aws.compute import VolumeFacts
from rekindle.backup import freezing, mounts
from rekindle.errors import CommandFailed
from rekindle.inventory import Host, Role
from rekindle.transport import Result

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def zone(region: RegionHandle, login_key: Path) -> Iterator[tuple[Zone, str, str]]:
    """A zone, its bastion and a private host, both running."""
    import boto3

    def aws(service: str, region_name: str = "us-east-1") -> Any:
        v = region.environ()
        return boto3.client(
            service,
            region_name=region_name,
            endpoint_url=v["AWS_ENDPOINT_URL"],
            aws_access_key_id="rehearsal",
            aws_secret_access_key="rehearsal",
        )

    with region.inside_internet():
        made = Zone(aws, login_key)
        bastion = made.run(made.public, made.bastion_group, public=True, MetadataOptions={"HttpTokens": "required"})
        host = made.run(made.private, made.host_group, UserData="#!/bin/sh\necho the user data ran\n")
        made.wait_for("running", bastion, host)
    yield made, bastion, host
    with region.inside_internet():
        made.delete()


def opens(address: str, port: int) -> bool:
    """Whether a TCP connection from the Internet comes about."""
    try:
        with socket.create_connection((address, port), timeout=1):
            return True
    except OSError:
        return False


def test_a_second_region_of_one_name_is_refused(region: RegionHandle) -> None:
    with pytest.raises(AlreadyUp, match="already up"):
        region.up()


def test_a_host_is_what_the_api_said(internet: RegionHandle, zone: tuple[Zone, str, str]) -> None:
    made, bastion, host = zone
    assert made.ssh(bastion, "hostname", to=host).strip() == "ip-10-0-2-4"
    assert "address=http" not in made.ssh(bastion, "cat /etc/environment", to=host)
    assert made.instance(bastion)["PublicIpAddress"].startswith("192.0.2.")


def test_the_console_shows_the_host_keys_and_the_user_data(aws: Aws, zone: tuple[Zone, str, str]) -> None:
    made, bastion, host = zone
    console = aws("ec2").get_console_output(InstanceId=host)["Output"]
    block = console.split("-----BEGIN SSH HOST KEY KEYS-----")[1].split("-----END SSH HOST KEY KEYS-----")[0]
    real = made.ssh(bastion, "cat /etc/ssh/ssh_host_ed25519_key.pub", to=host).split()[1]
    assert real in block
    wait_until(lambda: "the user data ran" in aws("ec2").get_console_output(InstanceId=host)["Output"])


def test_only_what_the_groups_allow_answers_from_the_internet(
    internet: RegionHandle, zone: tuple[Zone, str, str]
) -> None:
    made, bastion, _ = zone
    address = made.instance(bastion)["PublicIpAddress"]
    assert opens(address, 22)
    assert not opens(address, 80)
    assert not opens(made.elastic["PublicIp"], 22), "a NAT gateway lets nothing in"
    assert not opens("10.0.2.4", 22), "a private address leads nowhere from the Internet"


def test_a_group_rule_changes_packets(aws: Aws, zone: tuple[Zone, str, str]) -> None:
    made, bastion, _ = zone
    address = made.instance(bastion)["PublicIpAddress"]
    made.ssh(bastion, "sudo systemctl start nginx")
    assert not opens(address, 80)
    rule = {
        "GroupId": made.bastion_group,
        "IpPermissions": [{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": ANYWHERE}],
    }
    aws("ec2").authorize_security_group_ingress(**rule)
    wait_until(lambda: opens(address, 80))
    aws("ec2").revoke_security_group_ingress(**rule)
    wait_until(lambda: not opens(address, 80))


def test_neighbours_are_held_apart_by_their_groups(internet: RegionHandle, zone: tuple[Zone, str, str]) -> None:
    made, bastion, host = zone
    back = made.try_ssh(bastion, f"nc -z -w 1 {made.instance(bastion)['PrivateIpAddress']} 80", to=host)
    assert back.returncode != 0
    allowed = made.try_ssh(bastion, f"nc -z -w 1 {made.instance(host)['PrivateIpAddress']} 22")
    assert allowed.returncode == 0


def test_a_network_acl_denies_although_the_groups_allow(aws: Aws, zone: tuple[Zone, str, str]) -> None:
    made, bastion, _ = zone
    ec2, address = aws("ec2"), made.instance(bastion)["PublicIpAddress"]
    acl = ec2.describe_network_acls(Filters=[{"Name": "vpc-id", "Values": [made.vpc]}])["NetworkAcls"][0][
        "NetworkAclId"
    ]
    entry = {"NetworkAclId": acl, "RuleNumber": 10, "Egress": False}
    ec2.create_network_acl_entry(
        **entry, Protocol="6", RuleAction="deny", CidrBlock="198.18.1.0/24", PortRange={"From": 22, "To": 22}
    )
    wait_until(lambda: not opens(address, 22))
    ec2.delete_network_acl_entry(**entry)
    wait_until(lambda: opens(address, 22))


def test_a_private_host_gets_out_as_its_nat_gateway(internet: RegionHandle, zone: tuple[Zone, str, str]) -> None:
    made, bastion, host = zone
    with socket.create_server(("198.18.1.2", 9999)) as listener:
        listener.settimeout(5)
        made.try_ssh(bastion, "nc -z -w 2 198.18.1.2 9999", to=host)
        assert listener.accept()[1][0] == made.elastic["PublicIp"]


def test_a_subnet_without_a_route_reaches_s3_only_through_the_endpoint(aws: Aws, zone: tuple[Zone, str, str]) -> None:
    made, bastion, _ = zone
    host = made.run(made.isolated, made.host_group)
    made.wait_for("running", host)
    ask = "curl -s -m 3 -o /dev/null -w '%{http_code}' http://198.18.0.11/"
    assert made.try_ssh(bastion, ask, to=host).stdout == "000"
    aws("ec2").create_vpc_endpoint(
        VpcId=made.vpc,
        ServiceName="com.amazonaws.us-east-1.s3",
        VpcEndpointType="Gateway",
        RouteTableIds=[made.isolated_routes],
    )
    wait_until(lambda: made.try_ssh(bastion, ask, to=host).stdout == "403", what="S3 answers, and refuses the unsigned")


def test_metadata_wants_a_token_where_it_is_required(internet: RegionHandle, zone: tuple[Zone, str, str]) -> None:
    made, bastion, host = zone
    plain = "curl -s -m 3 -o /dev/null -w '%{http_code}' http://169.254.169.254/latest/meta-data/instance-id"
    assert made.ssh(bastion, plain) == "401"
    assert made.ssh(bastion, plain, to=host) == "200"
    token = "$(curl -sX PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' http://169.254.169.254/latest/api/token)"
    asked = f'curl -s -H "X-aws-ec2-metadata-token: {token}" http://169.254.169.254/latest/'
    assert made.ssh(bastion, asked + "meta-data/instance-id") == bastion
    assert made.ssh(bastion, asked + "meta-data/placement/availability-zone") == "us-east-1a"
    assert json.loads(made.ssh(bastion, asked + "dynamic/instance-identity/document"))["region"] == "us-east-1"


# -- disks -------------------------------------------------------------------------------------


def test_a_volume_is_a_disk_and_a_snapshot_one_instant_of_it(aws: Aws, zone: tuple[Zone, str, str]) -> None:
    made, bastion, host = zone
    ec2 = aws("ec2")
    volume = ec2.create_volume(AvailabilityZone="us-east-1b", Size=1, VolumeType="gp3")["VolumeId"]
    ec2.attach_volume(VolumeId=volume, InstanceId=host, Device="/dev/xvdf")
    made.ssh(
        bastion,
        "sudo mkfs.ext4 -q /dev/xvdf && sudo mkdir -p /data && sudo mount /dev/xvdf /data && sudo chown admin /data",
        to=host,
    )
    made.ssh(
        bastion, "echo kept > /data/synced && sync /data/synced && sync -f /data && echo lost > /data/cached", to=host
    )
    torn = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    assert ec2.describe_snapshots(SnapshotIds=[torn])["Snapshots"][0]["State"] == "pending"
    made.ssh(bastion, "sudo fsfreeze -f /data", to=host)
    frozen = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    made.ssh(bastion, "sudo fsfreeze -u /data", to=host)
    ec2.get_waiter("snapshot_completed").wait(SnapshotIds=[torn, frozen], WaiterConfig={"Delay": 1})
    assert _files_of(ec2, made, bastion, host, torn) == "kept\n"
    assert _files_of(ec2, made, bastion, host, frozen) == "lost\nkept\n"
    _detaches_when_unmounted(ec2, made, bastion, host, volume)


@dataclass(frozen=True)
class Reached:
    """The private host, as a backup reaches hosts."""

    zone: Zone
    bastion: str
    instance: str

    def run(self, host: str, command: str, *, timeout: float = 60, check: bool = True) -> Result:
        done = self.zone.try_ssh(self.bastion, shlex.join(["sudo", "sh", "-c", command]), to=self.instance)
        return Result(host=host, command=command, exit_code=done.returncode, stdout=done.stdout, stderr=done.stderr)

    def facts(self, host: str, script: str) -> str:
        return self.run(host, script).check().stdout

    def each(self, hosts: Iterable[str], call: Callable[[str], Any]) -> dict[str, Any]:
        return {host: call(host) for host in hosts}


def test_a_freeze_ends_whatever_becomes_of_who_asked(
    aws: Aws, zone: tuple[Zone, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the host's own systemd: the unit, its end when its time is up, and the timer when the unit was killed."""
    made, bastion, host = zone
    reached, ec2 = Reached(made, bastion, host), aws("ec2")
    agent = Host(
        name="agent",
        role=Role.PRIVATE_AGENT,
        pool="p",
        zone="private",
        az="us-east-1b",
        private_ip="10.0.2.4",  # type: ignore[arg-type]
        instance_id=host,
    )
    volume = ec2.create_volume(AvailabilityZone="us-east-1b", Size=1, VolumeType="gp3")["VolumeId"]
    assert mounts.mounts(reached, [agent], {"data": facts_of(ec2, volume)}) == ()
    ec2.attach_volume(VolumeId=volume, InstanceId=host, Device="/dev/xvdh")
    with pytest.raises(CommandFailed, match="sees no mount"):
        mounts.mounts(reached, [agent], {"data": facts_of(ec2, volume)})
    reached.run("agent", "mkfs.ext4 -q /dev/xvdh && mkdir -p '/a mount' && mount /dev/xvdh '/a mount'").check()
    (found,) = mounts.mounts(reached, [agent], {"data": facts_of(ec2, volume)})
    assert found.path == "/a mount"

    freezing.freeze(reached, [found], "rp-1")
    assert not is_writable(reached)
    freezing.thaw(reached, [found], "rp-1")
    assert is_writable(reached)
    assert not units_of(reached, "rp-1")

    monkeypatch.setattr(freezing, "KEEP_SECONDS", 3)
    freezing.freeze(reached, [found], "rp-2")
    wait_until(lambda: is_writable(reached))
    with pytest.raises(CommandFailed, match="thawed by the host itself"):
        freezing.thaw(reached, [found], "rp-2")
    assert not units_of(reached, "rp-2")

    monkeypatch.setattr(freezing, "KEEP_SECONDS", 3000)
    monkeypatch.setattr(freezing, "WATCH_SECONDS", 5)
    freezing.freeze(reached, [found], "rp-3")
    reached.run("agent", "systemctl daemon-reload; systemctl kill --signal=KILL 'rekindle-freeze-rp-3-*'").check()
    assert not is_writable(reached)
    wait_until(lambda: is_writable(reached))
    wait_until(lambda: not [unit for unit in units_of(reached, "rp-3") if "thaw" in unit])
    reached.run("agent", "umount '/a mount'").check()
    ec2.detach_volume(VolumeId=volume)


def facts_of(ec2: Any, volume: str) -> VolumeFacts:
    (facts,) = compute.volumes(ec2, ids=[volume])
    return facts


def is_writable(reached: Reached) -> bool:
    """A write that waits is left waiting, and ends when the thaw comes."""
    tried = "touch '/a mount/probe' </dev/null >/dev/null 2>&1 & sleep 0.5; ! kill -0 $! 2>/dev/null"
    return reached.run("agent", tried).exit_code == 0


def units_of(reached: Reached, point: str) -> list[str]:
    return reached.run("agent", f"systemctl list-units --all --plain --no-legend 'rekindle-*-{point}-*'").stdout.split()


def _files_of(ec2: Any, made: Zone, bastion: str, host: str, snapshot: str) -> str:
    restored = ec2.create_volume(AvailabilityZone="us-east-1b", SnapshotId=snapshot, VolumeType="gp3")["VolumeId"]
    ec2.attach_volume(VolumeId=restored, InstanceId=host, Device="/dev/xvdg")
    read = "sudo find /old -maxdepth 1 -type f | sort | sudo xargs cat"
    text = made.ssh(bastion, f"sudo mkdir -p /old && sudo mount /dev/xvdg /old && {read}; sudo umount /old", to=host)
    ec2.detach_volume(VolumeId=restored)
    ec2.delete_volume(VolumeId=restored)
    return text


def _detaches_when_unmounted(ec2: Any, made: Zone, bastion: str, host: str, volume: str) -> None:
    ec2.detach_volume(VolumeId=volume)
    attachment = ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["Attachments"][0]
    assert attachment["State"] == "detaching"
    made.ssh(bastion, "sudo umount /data", to=host)
    wait_until(lambda: ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["State"] == "available")
    ec2.delete_volume(VolumeId=volume)


def test_volumes_keep_to_their_zone_and_to_one_host(aws: Aws, zone: tuple[Zone, str, str]) -> None:
    _, bastion, host = zone
    ec2 = aws("ec2")
    volume = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    with pytest.raises(ClientError, match=r"InvalidVolume\.ZoneMismatch"):
        ec2.attach_volume(VolumeId=volume, InstanceId=host, Device="/dev/xvdh")
    ec2.attach_volume(VolumeId=volume, InstanceId=bastion, Device="/dev/xvdh")
    with pytest.raises(ClientError, match="VolumeInUse"):
        ec2.attach_volume(VolumeId=volume, InstanceId=bastion, Device="/dev/xvdi")
    ec2.detach_volume(VolumeId=volume)
    ec2.delete_volume(VolumeId=volume)


def test_a_copy_to_another_region_takes_time_and_drops_tags(aws: Aws) -> None:
    east, west = aws("ec2"), aws("ec2", "us-west-2")
    volume = east.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    tags = [{"ResourceType": "snapshot", "Tags": [{"Key": "Name", "Value": "orders"}]}]
    source = east.create_snapshot(VolumeId=volume, TagSpecifications=tags)["SnapshotId"]
    with pytest.raises(ClientError, match="pending"):
        west.copy_snapshot(SourceRegion="us-east-1", SourceSnapshotId=source)
    east.get_waiter("snapshot_completed").wait(SnapshotIds=[source], WaiterConfig={"Delay": 1})
    copy = west.copy_snapshot(SourceRegion="us-east-1", SourceSnapshotId=source)["SnapshotId"]
    described = west.describe_snapshots(SnapshotIds=[copy])["Snapshots"][0]
    assert (described["State"], described.get("Tags", [])) == ("pending", [])
    with pytest.raises(ClientError, match="pending"):
        west.create_volume(AvailabilityZone="us-west-2a", SnapshotId=copy)
    west.get_waiter("snapshot_completed").wait(SnapshotIds=[copy], WaiterConfig={"Delay": 1})
    with pytest.raises(ClientError, match="InvalidSnapshot"):
        east.create_volume(AvailabilityZone="us-east-1a", SnapshotId=copy)


# -- S3 ----------------------------------------------------------------------------------------


def test_s3_answers_for_a_bucket_in_its_own_region_alone(aws: Aws) -> None:
    west = aws("s3", "us-west-2")
    west.create_bucket(Bucket="west", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
    west.put_object(Bucket="west", Key="k", Body=b"v")
    asked = {"Authorization": "AWS4-HMAC-SHA256 Credential=rehearsal/20261121/us-east-1/s3/aws4_request"}
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(urllib.request.Request("http://198.18.0.10/west/k", headers=asked), timeout=5)
    assert refused.value.headers["x-amz-bucket-region"] == "us-west-2"


def test_an_anonymous_reader_needs_a_bucket_policy(aws: Aws) -> None:
    s3 = aws("s3")
    s3.create_bucket(Bucket="open")
    for key in ("public/a", "b"):
        s3.put_object(Bucket="open", Key=key, Body=b"text")
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::open/public/*"}
        ],
    }
    assert _status("open", "public/a") == 403
    s3.put_bucket_policy(Bucket="open", Policy=json.dumps(policy))
    assert _status("open", "public/a") == 200
    assert _status("open", "b") == 403


def _status(bucket: str, key: str) -> int:
    asked = urllib.request.Request(
        f"http://198.18.0.10/{key}", headers={"Host": f"{bucket}.s3.us-east-1.amazonaws.com"}
    )
    try:
        return int(urllib.request.urlopen(asked, timeout=5).status)
    except urllib.error.HTTPError as error:
        return error.code


def test_one_of_many_conditional_writers_wins(aws: Aws, internet: RegionHandle) -> None:
    from concurrent.futures import ThreadPoolExecutor

    s3 = aws("s3")
    s3.create_bucket(Bucket="contest")

    def write(number: int) -> bool:
        try:
            s3.put_object(Bucket="contest", Key="generation", Body=str(number).encode(), IfNoneMatch="*")
        except ClientError:
            return False
        return True

    with ThreadPoolExecutor(16) as writers:
        assert sum(writers.map(write, range(32))) == 1


# -- names -------------------------------------------------------------------------------------


def test_names_are_answered_and_fail_over(aws: Aws, region: RegionHandle) -> None:
    route53, s3 = aws("route53"), aws("s3")
    s3.create_bucket(Bucket="flag")
    allow = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::flag/*"}
        ],
    }
    s3.put_bucket_policy(Bucket="flag", Policy=json.dumps(allow))
    s3.put_object(Bucket="flag", Key="primary", Body=b"on")
    check = route53.create_health_check(
        CallerReference="1",
        HealthCheckConfig={
            "Type": "HTTP",
            "FullyQualifiedDomainName": "flag.s3.us-east-1.amazonaws.com",
            "Port": 80,
            "ResourcePath": "/primary",
            "RequestInterval": 10,
            "FailureThreshold": 1,
        },
    )["HealthCheck"]["Id"]
    zone = route53.create_hosted_zone(Name="example.org", CallerReference="1")["HostedZone"]["Id"]
    records = [_failover("PRIMARY", "192.0.2.200", check), _failover("SECONDARY", "203.0.113.200", None)]
    route53.change_resource_record_sets(
        HostedZoneId=zone, ChangeBatch={"Changes": [{"Action": "CREATE", "ResourceRecordSet": r} for r in records]}
    )
    assert _addresses(region, "orders.example.org") == ["192.0.2.200"]
    s3.delete_object(Bucket="flag", Key="primary")
    wait_until(lambda: _addresses(region, "orders.example.org") == ["203.0.113.200"], seconds=25)
    assert _addresses(region, "absent.example.org") == []


def _failover(kind: str, address: str, check: str | None) -> dict[str, Any]:
    record = {
        "Name": "orders.example.org",
        "Type": "A",
        "TTL": 5,
        "SetIdentifier": kind.lower(),
        "Failover": kind,
        "ResourceRecords": [{"Value": address}],
    }
    return record | ({"HealthCheckId": check} if check else {})


def _addresses(region: RegionHandle, name: str) -> list[str]:
    done = region.run_in_internet(["getent", "ahostsv4", name], capture_output=True, text=True)
    return sorted({line.split()[0] for line in done.stdout.splitlines()})


# -- permissions -------------------------------------------------------------------------------


def test_a_host_may_do_what_its_role_says(aws: Aws, zone: tuple[Zone, str, str], internet: RegionHandle) -> None:
    iam, sts, ec2 = aws("iam"), aws("sts"), aws("ec2")
    trust = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
            ],
        }
    )
    role = iam.create_role(RoleName="agent", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    tagged = {"StringEquals": {"aws:ResourceTag/cluster": "dev"}}
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "ec2:Describe*", "Resource": "*"},
            {
                "Effect": "Allow",
                "Action": ["ec2:AttachVolume", "ec2:DetachVolume"],
                "Resource": "*",
                "Condition": tagged,
            },
        ],
    }
    iam.put_role_policy(RoleName="agent", PolicyName="volumes", PolicyDocument=json.dumps(policy))
    keys = sts.assume_role(RoleArn=role, RoleSessionName="session")["Credentials"]
    agent = aws(
        "ec2",
        access_key=keys["AccessKeyId"],
        secret_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )
    volume = ec2.create_volume(AvailabilityZone="us-east-1b", Size=1)["VolumeId"]
    assert agent.describe_volumes(VolumeIds=[volume])["Volumes"]
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        agent.create_volume(AvailabilityZone="us-east-1b", Size=1)
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        agent.attach_volume(VolumeId=volume, InstanceId=zone[2], Device="/dev/xvdp")
    ec2.create_tags(Resources=[volume, zone[2]], Tags=[{"Key": "cluster", "Value": "dev"}])
    agent.attach_volume(VolumeId=volume, InstanceId=zone[2], Device="/dev/xvdp")
    agent.detach_volume(VolumeId=volume)
    _only_with_the_keys_leave(aws, agent, zone[2])


def _only_with_the_keys_leave(aws: Aws, agent: Any, host: str) -> None:
    """A volume under a customer's key is attached by whom that key's policy lets use it through EC2."""
    kms, ec2 = aws("kms"), aws("ec2")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    volume = ec2.create_volume(AvailabilityZone="us-east-1b", Size=1, Encrypted=True, KmsKeyId=key)["VolumeId"]
    ec2.create_tags(Resources=[volume], Tags=[{"Key": "cluster", "Value": "dev"}])
    with pytest.raises(ClientError, match="CustomerKeyHasBeenRevoked"):
        agent.attach_volume(VolumeId=volume, InstanceId=host, Device="/dev/xvdq")
    through_ec2 = {"StringEquals": {"kms:ViaService": "ec2.us-east-1.amazonaws.com"}}
    statement = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "kms:CreateGrant", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [{**statement, "Condition": through_ec2}]})
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=policy)
    agent.attach_volume(VolumeId=volume, InstanceId=host, Device="/dev/xvdq")
    agent.detach_volume(VolumeId=volume)


# -- load balancers ----------------------------------------------------------------------------


def test_a_balancer_serves_its_healthy_targets_alone(aws: Aws, zone: tuple[Zone, str, str]) -> None:
    made, bastion, host = zone
    elb, port = aws("elbv2"), 8080
    group = made.group("balancer", (port, {"IpRanges": ANYWHERE}))
    permission = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "UserIdGroupPairs": [{"GroupId": group}]}
    made.ec2.authorize_security_group_ingress(GroupId=made.host_group, IpPermissions=[permission])
    targets = elb.create_target_group(
        Name="web",
        Protocol="TCP",
        Port=port,
        VpcId=made.vpc,
        HealthCheckProtocol="HTTP",
        HealthCheckPath="/",
        HealthCheckIntervalSeconds=5,
        HealthCheckTimeoutSeconds=2,
        HealthyThresholdCount=2,
        UnhealthyThresholdCount=2,
    )["TargetGroups"][0]["TargetGroupArn"]
    address = made.ec2.allocate_address(Domain="vpc")
    balancer = elb.create_load_balancer(
        Name="web",
        Type="network",
        SecurityGroups=[group],
        SubnetMappings=[{"SubnetId": made.public, "AllocationId": address["AllocationId"]}],
    )["LoadBalancers"][0]
    arn = balancer["LoadBalancerArn"]
    across = [{"Key": "load_balancing.cross_zone.enabled", "Value": "true"}]
    elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=across)
    forward = [{"Type": "forward", "TargetGroupArn": targets}]
    elb.create_listener(LoadBalancerArn=arn, Protocol="TCP", Port=port, DefaultActions=forward)
    elb.register_targets(TargetGroupArn=targets, Targets=[{"Id": host}])

    def state() -> str:
        described = elb.describe_target_health(TargetGroupArn=targets)["TargetHealthDescriptions"]
        return str(described[0]["TargetHealth"]["State"])

    wait_until(lambda: state() == "unhealthy")
    made.ssh(bastion, f"sudo systemd-run --unit=web python3 -m http.server {port}", to=host)
    wait_until(lambda: state() == "healthy", seconds=30)
    asked = urllib.request.urlopen(f"http://{address['PublicIp']}:{port}/", timeout=5)
    assert asked.status == 200
    assert not opens(made.instance(bastion)["PublicIpAddress"], port)
    elb.delete_load_balancer(LoadBalancerArn=arn)
    wait_until(lambda: not opens(address["PublicIp"], port))


# -- life and death ----------------------------------------------------------------------------


def test_a_host_stops_starts_and_ends(aws: Aws, zone: tuple[Zone, str, str]) -> None:
    made, bastion, _ = zone
    host = made.run(made.private, made.host_group)
    made.wait_for("running", host)
    made.ssh(bastion, "sudo touch /kept && sync", to=host)
    made.ec2.stop_instances(InstanceIds=[host])
    made.wait_for("stopped", host)
    made.ec2.start_instances(InstanceIds=[host])
    made.wait_for("running", host)
    made.ssh(bastion, "test -e /kept", to=host)
    made.ec2.terminate_instances(InstanceIds=[host])
    made.wait_for("terminated", host)
