"""Hosts, zones, pools and volumes of an environment: all that crosses from Pulumi to the rest."""

from enum import StrEnum
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from rekindle import parsing
from rekindle.errors import InputError
from rekindle.parsing import Frozen

VERSION: Literal[1] = 1


class Role(StrEnum):
    """What a host is for."""

    BASTION = "bastion"
    BOOTSTRAP = "bootstrap"
    MASTER = "master"
    PRIVATE_AGENT = "private_agent"
    PUBLIC_AGENT = "public_agent"


AGENTS = frozenset({Role.PRIVATE_AGENT, Role.PUBLIC_AGENT})


class Host(Frozen):
    """One machine reached over SSH."""

    name: str  # "master-1": stable, unique in the environment
    role: Role
    pool: str
    zone: Literal["public", "private", "admin"]
    az: str
    private_ip: IPv4Address
    public_ip: IPv4Address | None = None
    instance_id: str | None = None  # None: not made by Pulumi
    attributes: dict[str, str] = Field(default_factory=dict)  # Mesos attributes; agents carry zone
    host_key: str | None = None  # "ssh-ed25519 AAAA…" for hosts without an EC2 console


class Volume(Frozen):
    """One named EBS volume that REX-Ray attaches."""

    name: str  # tag Name, unique in the environment
    volume_id: str
    az: str
    size_gib: int
    service: str  # the package whose data it holds


class Ssh(Frozen):
    """How hosts are reached."""

    user: str
    port: int = 22
    bastion: str | None = None  # name of the bastion host; None: hosts are reached directly


class SwitchAlarm(Frozen):
    """Data points of a metric move the public names; the last one holds, whatever can be read later."""

    kind: Literal["alarm"]
    namespace: str  # of the metric


class SwitchBucket(Frozen):
    """Objects move the public names; one that cannot be read counts as absent."""

    kind: Literal["bucket"]
    name: str  # of the bucket


class Stores(Frozen):
    """Buckets and keys that outlive the environment (outputs of the foundation)."""

    region: str  # of journal, mirror and switch
    journal_bucket: str
    mirror_bucket: str  # artifacts by digest, on the recovery side
    artifacts_bucket: str  # artifacts by digest, in the environment's own region, read by its hosts
    switch: Annotated[SwitchAlarm | SwitchBucket, Field(discriminator="kind")]  # what moves the public names
    kms_key_arn: str  # in `region`: journal envelope and snapshot copies


class Inventory(Frozen):
    """What stands: the output `inventory` of an environment's stack, or a file in the same form."""

    version: Literal[1] = VERSION
    environment: str
    region: str | None  # None: not on AWS
    cluster_name: str
    hosts: tuple[Host, ...]
    volumes: tuple[Volume, ...] = ()
    ssh: Ssh
    stores: Stores | None = None
    public_name: str | None = None
    load_balancer: str | None = None  # DNS name of the public load balancer
    standby: bool = False

    def with_role(self, *roles: Role) -> tuple[Host, ...]:
        """Hosts of these roles, in inventory order."""
        return tuple(host for host in self.hosts if host.role in roles)

    def host(self, name: str) -> Host:
        """The host of that name; InputError if there is none."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise InputError(f"no host is named {name}", where=f"inventory of {self.environment}")


def parse(data: Any, *, where: str) -> Inventory:
    """An inventory from decoded JSON or YAML; InputError names the place and each wrong key."""
    return parsing.parse(Inventory, data, where=where)


def load(path: Path) -> Inventory:
    """An inventory from a YAML or JSON file, for hosts that Pulumi did not make."""
    return parsing.load(Inventory, path)
