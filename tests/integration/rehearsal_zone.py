"""A small VPC for tests: a public and a private subnet, a NAT gateway, and hosts on demand."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rehearsal.region.stage import IMAGE_IDS

Aws = Callable[..., Any]
ANYWHERE = [{"CidrIp": "0.0.0.0/0"}]


class Zone:
    """Builds itself when made; `delete` removes its hosts."""

    def __init__(self, aws: Aws, key: Path, region: str = "us-east-1", cidr: str = "10.0") -> None:
        self.region, self.key = region, key
        self.ec2 = aws("ec2", region)
        self.hosts: list[str] = []
        self.vpc = self.ec2.create_vpc(CidrBlock=f"{cidr}.0.0/16")["Vpc"]["VpcId"]
        gateway = self.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        self.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=self.vpc)
        self.public = self._subnet(f"{cidr}.1.0/24", "a")
        self.private = self._subnet(f"{cidr}.2.0/24", "b")
        self.isolated = self._subnet(f"{cidr}.3.0/24", "b")
        self.public_routes = self._routes(self.public, GatewayId=gateway)
        self.elastic = self.ec2.allocate_address(Domain="vpc")
        nat = self.ec2.create_nat_gateway(SubnetId=self.public, AllocationId=self.elastic["AllocationId"])
        self.nat = nat["NatGateway"]["NatGatewayId"]
        self.private_routes = self._routes(self.private, NatGatewayId=self.nat)
        self.isolated_routes = self._routes(self.isolated)
        self.bastion_group = self.group("bastion", (22, {"IpRanges": ANYWHERE}))
        self.host_group = self.group("host", (22, {"UserIdGroupPairs": [{"GroupId": self.bastion_group}]}))
        self.key_name = f"key-{self.vpc}"
        self.ec2.import_key_pair(KeyName=self.key_name, PublicKeyMaterial=key.with_suffix(".pub").read_bytes())

    def _subnet(self, cidr: str, zone: str) -> str:
        made = self.ec2.create_subnet(VpcId=self.vpc, CidrBlock=cidr, AvailabilityZone=self.region + zone)
        return str(made["Subnet"]["SubnetId"])

    def _routes(self, subnet: str, **target: str) -> str:
        table = self.ec2.create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"]
        self.ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
        if target:
            self.ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", **target)
        return str(table)

    def group(self, name: str, *ingress: tuple[int, dict[str, Any]]) -> str:
        group = self.ec2.create_security_group(GroupName=name, Description=name, VpcId=self.vpc)["GroupId"]
        for port, source in ingress:
            permission = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, **source}
            self.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
        return str(group)

    def run(self, subnet: str, group: str, *, public: bool = False, **options: Any) -> str:
        """Starts a host; does not wait for it."""
        interface = {"DeviceIndex": 0, "SubnetId": subnet, "Groups": [group], "AssociatePublicIpAddress": public}
        made = self.ec2.run_instances(
            ImageId=IMAGE_IDS[self.region], MinCount=1, MaxCount=1, InstanceType="t3.small", KeyName=self.key_name,
            NetworkInterfaces=[interface], **options,
        )  # fmt: skip
        self.hosts.append(made["Instances"][0]["InstanceId"])
        return self.hosts[-1]

    def instance(self, instance_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][
            0
        ]
        return found

    def wait_for(self, state: str, *instance_ids: str, seconds: float = 40) -> None:
        deadline = time.monotonic() + seconds
        while {self.instance(i)["State"]["Name"] for i in instance_ids} != {state}:
            if time.monotonic() > deadline:
                raise AssertionError(f"{ {i: self.instance(i)['State'] for i in instance_ids} } are not {state}")
            time.sleep(0.1)

    def delete(self) -> None:
        if self.hosts:
            self.ec2.terminate_instances(InstanceIds=self.hosts)
            self.wait_for("terminated", *self.hosts)

    # -- over SSH ------------------------------------------------------------------------------

    def ssh(self, bastion: str, command: str, *, to: str | None = None, timeout: float = 60) -> str:
        """Output of a command on the bastion, or through it on another host."""
        done = self.try_ssh(bastion, command, to=to, timeout=timeout)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def try_ssh(self, bastion: str, command: str, *, to: str | None = None, timeout: float = 60) -> Any:
        address = self.instance(bastion)["PublicIpAddress"]
        options = [
            "-i",
            str(self.key),
            "-oStrictHostKeyChecking=no",
            "-oUserKnownHostsFile=/dev/null",
            "-oLogLevel=ERROR",
            "-oConnectTimeout=5",
        ]
        argv = ["ssh", *options, f"admin@{address}", command]
        if to is not None:
            proxy = f"ssh {' '.join(options)} -W %h:%p admin@{address}"
            argv = [
                "ssh",
                *options,
                f"-oProxyCommand={proxy}",
                f"admin@{self.instance(to)['PrivateIpAddress']}",
                command,
            ]
        return subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False)


def wait_until(question: Callable[[], Any], seconds: float = 20, what: str = "") -> Any:
    """The first true answer.

    Raises:
        AssertionError: there was none in time.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = question()
        if answer:
            return answer
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {what or question}")
