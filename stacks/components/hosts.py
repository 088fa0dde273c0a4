"""Instances: one for each placed host. Rolling them is Rekindle's verb, not Pulumi's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import ec2

from rekindle.environment import Environment, Origin, Placed, Subnet, bootstrap_address, master_address
from rekindle.inventory import Role

IGNORED = ["ami", "userData"]  # a new image must not replace hosts that run


@dataclass(frozen=True, kw_only=True)
class HostsArgs:
    """What the instances are made from."""

    settings: Environment
    placed: Sequence[Placed]
    subnets: Sequence[Subnet]
    subnet_ids: Mapping[str, pulumi.Input[str]]  # by Subnet.name
    group_ids: Mapping[Role | Origin, pulumi.Input[str]]
    key_name: str
    instance_profiles: Mapping[Role, pulumi.Input[str]]


class Hosts(pulumi.ComponentResource):
    """The instances of an environment, by host name."""

    instances: dict[str, ec2.Instance]

    def __init__(self, name: str, args: HostsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("rekindle:hosts:Hosts", name, None, opts)
        self._name = name
        self._args = args
        self._addresses = fixed_addresses(args.placed, args.subnets)
        self.instances = {host.name: self._instance(host) for host in args.placed}
        self.register_outputs({"instance_ids": {key: made.id for key, made in self.instances.items()}})

    def _instance(self, host: Placed) -> ec2.Instance:
        settings = self._args.settings
        return ec2.Instance(
            f"{self._name}-{host.name}",
            ami=settings.ami,
            instance_type=host.machine.instance_type,
            subnet_id=self._args.subnet_ids[f"{host.zone}-{host.az}"],
            private_ip=self._addresses.get(host.name),
            # Its subnet's way out is the Internet gateway, which drops what comes from a private address.
            associate_public_ip_address=True if host.role is Role.PUBLIC_AGENT else None,
            vpc_security_group_ids=[self._args.group_ids[host.role]],
            key_name=self._args.key_name,
            iam_instance_profile=self._args.instance_profiles.get(host.role),
            user_data=user_data(host),
            metadata_options=metadata_options(settings, host),
            root_block_device={"encrypted": True, "volume_size": host.machine.root_gib, "volume_type": "gp3"},
            tags=tags(settings, host),
            opts=self._options(host),
        )

    def _options(self, host: Placed) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(
            parent=self,
            ignore_changes=IGNORED,
            protect=host.role is Role.MASTER,
            delete_before_replace=host.name in self._addresses,
        )


def fixed_addresses(placed: Sequence[Placed], subnets: Sequence[Subnet]) -> dict[str, str]:
    """Addresses of masters and the bootstrap host, by host name: others know them by address."""
    admin = {subnet.az: subnet for subnet in subnets if subnet.zone == "admin"}
    found: dict[str, str] = {}
    standing: dict[str, int] = {}
    for host in placed:
        if host.role is Role.BOOTSTRAP:
            found[host.name] = str(bootstrap_address(admin[host.az]))
        elif host.role is Role.MASTER:
            standing[host.az] = standing.get(host.az, 0) + 1
            found[host.name] = str(master_address(admin[host.az], standing[host.az]))
    return found


def has_volumes(settings: Environment, host: Placed) -> bool:
    """Whether REX-Ray runs there."""
    pool = settings.pools.get(host.pool)
    return pool is not None and pool.has_volumes


def metadata_options(settings: Environment, host: Placed) -> ec2.InstanceMetadataOptionsArgsDict:
    """Tokens are required, but where REX-Ray 0.11.4 asks without one: docs/adr/0013-metadata-tokens.md."""
    return {
        "http_endpoint": "enabled",
        "http_tokens": "optional" if has_volumes(settings, host) else "required",
        "http_put_response_hop_limit": 1,
    }


def tags(settings: Environment, host: Placed) -> dict[str, str]:
    """Who the host is, for people and for `rekindle`."""
    return {
        "Name": f"{settings.name}-{host.name}",
        "rekindle:cluster": settings.cluster_name,
        "rekindle:host": host.name,
        "rekindle:pool": host.pool,
        "rekindle:role": host.role.value,
    }


def user_data(host: Placed) -> str:
    """Only a name: all else is Rekindle's work, over SSH."""
    return f"#!/bin/sh\nhostnamectl set-hostname {host.name}\necho '127.0.1.1 {host.name}' >>/etc/hosts\n"
