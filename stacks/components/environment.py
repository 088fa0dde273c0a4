"""An environment: what stands of it, or stands by."""

from collections.abc import Sequence
from typing import Any

import pulumi
from pulumi_aws import ec2, lb

from components.artifacts import Artifacts, ArtifactsArgs
from components.bastion import BastionAddress, BastionAddressArgs
from components.hosts import Hosts, HostsArgs
from components.inventory import InventoryParts, inventory_of
from components.load_balancers import LoadBalancerArgs, PublicLoadBalancer
from components.network import Network, NetworkArgs
from components.own_name import OwnName, OwnNameArgs
from components.security import Security, SecurityArgs
from components.volumes import Volumes, VolumesArgs
from rekindle.environment import Environment, Origin, Placed, Subnet, own_name, placed_hosts, subnets
from rekindle.inventory import Role

FOUNDATION_STACK = "foundation"


def build(settings: Environment, *, project: str) -> dict[str, Any]:
    """Declares the environment and returns the stack's outputs."""
    reference = pulumi.StackReference(f"{pulumi.get_organization()}/{project}/{FOUNDATION_STACK}")
    ground = reference.require_output("foundation")
    shares = subnets(settings.network.cidr, settings.azs)
    network = _network(settings, shares)
    security = Security(
        settings.name,
        SecurityArgs(vpc_id=network.vpc_id, operators=settings.network.admin_allowed_cidrs),
    )
    balancer = _balancer(settings, network, security)
    name = _own_name(settings, ground, balancer)
    artifacts = _artifacts(settings, ground, network)
    placed = () if settings.standby else placed_hosts(settings)
    hosts = _hosts(settings, ground, placed, shares, network, security)
    volumes = _volumes(settings)
    address = BastionAddress(settings.name, BastionAddressArgs(instance_id=_bastion_id(hosts)))
    _targets(placed, hosts, balancer)
    parts = InventoryParts(
        settings=settings,
        placed=placed,
        instances=hosts.instances,
        volumes=volumes.volumes,
        bastion_ip=address.public_ip,
        load_balancer=balancer.dns_name,
        artifacts_bucket=artifacts.bucket,
        stores=ground["stores"],
    )
    return {
        "inventory": inventory_of(parts),
        "public_name": settings.public_name,
        "own_name": name.fqdn,
        "bastion": address.public_ip,
        "load_balancer": balancer.dns_name,
    }


def _network(settings: Environment, shares: Sequence[Subnet]) -> Network:
    args = NetworkArgs(
        region=settings.region,
        cidr=settings.network.cidr,
        subnets=shares,
        nat_gateways=settings.network.nat_gateways,
    )
    return Network(settings.name, args)


def _balancer(settings: Environment, network: Network, security: Security) -> PublicLoadBalancer:
    args = LoadBalancerArgs(
        vpc_id=network.vpc_id,
        subnet_ids={az: network.subnet_ids[f"public-{az}"] for az in settings.azs},
        security_group_id=security.group_ids[Origin.LOAD_BALANCER],
    )
    return PublicLoadBalancer(settings.name, args, pulumi.ResourceOptions(depends_on=network.ready))


def _own_name(settings: Environment, ground: pulumi.Output[Any], balancer: PublicLoadBalancer) -> OwnName:
    args = OwnNameArgs(
        fqdn=ground["dns_zone"].apply(lambda zone: own_name(settings.name, zone)),
        dns_zone_id=ground["dns_zone_id"],
        target=balancer.dns_name,
        target_zone_id=balancer.dns_zone_id,
    )
    return OwnName(settings.name, args)


def _artifacts(settings: Environment, ground: pulumi.Output[Any], network: Network) -> Artifacts:
    bucket = ground["bucket_prefix"].apply(lambda prefix: f"{prefix}-artifacts-{settings.name}")
    return Artifacts(settings.name, ArtifactsArgs(bucket=bucket, endpoint_id=network.s3_endpoint_id))


def _hosts(
    settings: Environment,
    ground: pulumi.Output[Any],
    placed: Sequence[Placed],
    shares: Sequence[Subnet],
    network: Network,
    security: Security,
) -> Hosts:
    key = ec2.KeyPair(settings.name, key_name=settings.name, public_key=settings.ssh.public_key)
    profiles = ground["instance_profiles"][settings.name]
    args = HostsArgs(
        settings=settings,
        placed=placed,
        subnets=shares,
        subnet_ids=network.subnet_ids,
        group_ids=security.group_ids,
        key_name=settings.name,  # not the pair's output: a new key must not replace hosts
        instance_profiles={role: profiles[role.value] for role in Role if role is not Role.BASTION},
    )
    return Hosts(settings.name, args, pulumi.ResourceOptions(depends_on=[key, *network.ready, *security.rules]))


def _volumes(settings: Environment) -> Volumes:
    args = VolumesArgs(
        cluster_name=settings.cluster_name,
        volumes={} if settings.standby else settings.volumes,
        restore=settings.restore,
    )
    return Volumes(settings.name, args)


def _bastion_id(hosts: Hosts) -> pulumi.Output[str] | None:
    bastion = hosts.instances.get("bastion")
    return bastion.id if bastion is not None else None


def _targets(placed: Sequence[Placed], hosts: Hosts, balancer: PublicLoadBalancer) -> None:
    for host in placed:
        if host.role is Role.PUBLIC_AGENT:
            lb.TargetGroupAttachment(
                host.name,
                target_group_arn=balancer.target_group_arn,
                target_id=hosts.instances[host.name].id,
                opts=pulumi.ResourceOptions(parent=balancer),
            )
