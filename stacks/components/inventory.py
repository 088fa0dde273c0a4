"""The stack's output `inventory`: all that crosses from Pulumi to the rest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_aws import ebs, ec2

from rekindle.environment import Environment, Placed
from rekindle.inventory import AGENTS, Role, parse


@dataclass(frozen=True, kw_only=True)
class InventoryParts:
    """What the inventory is made from."""

    settings: Environment
    placed: Sequence[Placed]
    instances: Mapping[str, ec2.Instance]
    volumes: Mapping[str, ebs.Volume]
    bastion_ip: pulumi.Output[str]
    load_balancer: pulumi.Output[str]
    artifacts_bucket: pulumi.Output[str]
    stores: pulumi.Output[dict[str, Any]]


def inventory_of(parts: InventoryParts) -> pulumi.Output[dict[str, Any]]:
    """The inventory as plain JSON, checked against its model before it leaves the program."""
    settings = parts.settings
    document = {
        "environment": settings.name,
        "region": settings.region,
        "cluster_name": settings.cluster_name,
        "hosts": [_host(parts, host) for host in parts.placed],
        "volumes": [_volume(settings, key, made) for key, made in parts.volumes.items()],
        "ssh": {"user": settings.ssh.user, "bastion": None if settings.standby else "bastion"},
        "stores": pulumi.Output.all(parts.stores, parts.artifacts_bucket).apply(
            lambda found: {**found[0], "artifacts_bucket": found[1]}
        ),
        "public_name": settings.public_name,
        "load_balancer": parts.load_balancer,
        "standby": settings.standby,
    }
    return pulumi.Output.from_input(document).apply(lambda data: _checked(settings.name, data))


def _checked(environment: str, data: dict[str, Any]) -> dict[str, Any]:
    checked = parse(data, where=f"output `inventory` of stack {environment}")
    plain: dict[str, Any] = checked.model_dump(mode="json")
    return plain


def _host(parts: InventoryParts, host: Placed) -> dict[str, Any]:
    made = parts.instances[host.name]
    return {
        "name": host.name,
        "role": host.role.value,
        "pool": host.pool,
        "zone": host.zone,
        "az": host.az,
        "private_ip": made.private_ip,
        "public_ip": parts.bastion_ip if host.role is Role.BASTION else None,
        "instance_id": made.id,
        "attributes": attributes(parts.settings, host),
    }


def attributes(settings: Environment, host: Placed) -> dict[str, str]:
    """Mesos attributes: every agent says its az, since volumes stay in theirs."""
    if host.role not in AGENTS:
        return {}
    return {**settings.pools[host.pool].attributes, "zone": host.az}


def _volume(settings: Environment, key: str, made: ebs.Volume) -> dict[str, Any]:
    declared = settings.volumes[key]
    return {
        "name": key,
        "volume_id": made.id,
        "az": declared.az,
        "size_gib": declared.size_gib,
        "service": declared.service,
    }
