"""The settings of an environment: `rekindle:environment` in stacks/Pulumi.<stack>.yaml."""

import re
from collections import Counter
from collections.abc import Mapping
from ipaddress import IPv4Network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from rekindle import parsing
from rekindle.environment.addresses import ZONES, room
from rekindle.errors import InputError
from rekindle.inventory import Role
from rekindle.parsing import Frozen, nearest, shown

ENVIRONMENT_KEY = "rekindle:environment"
STANDBY_KEY = "rekindle:standby"  # overrides `standby`, so that a replay need not rewrite the settings
RESTORE_KEY = "rekindle:restore"  # volume name to snapshot id, read when a volume is created
REGION_KEY = "aws:region"

ENSEMBLES = (1, 3, 5, 7, 9)  # numbers of masters that the DC/OS installer takes (gen/calc.py, 1.13 to 2.2)
AZS_OF_A_QUORUM = 3
SMALLEST_PREFIX = 22  # room for three zones over four azs with 32 addresses each

MOST_AGENTS = 10_000  # of a pool; no Mesos cluster is known that has more
LARGEST_GIB = 16_384  # of a gp3 volume (EBS user guide)

NAME = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"
NAME_LENGTH = 40
Name = Annotated[str, StringConstraints(pattern=NAME, max_length=NAME_LENGTH)]
UserName = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")]  # useradd(8)
PublicKey = Annotated[str, StringConstraints(pattern=r"^(ssh|ecdsa)-[a-z0-9-]+ [A-Za-z0-9+/=]+( [^\r\n]*)?$")]
AttributeName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]+$")]
AttributeValue = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_/.-]+$")]  # Mesos, attributes and resources


def _a_private_network(network: IPv4Network) -> IPv4Network:
    if not network.is_private:
        raise ValueError(f"{network} is not a private network")
    if not 16 <= network.prefixlen <= SMALLEST_PREFIX:
        raise ValueError(f"{network} must be between /16 (the largest VPC) and /{SMALLEST_PREFIX}")
    return network


class Network(Frozen):
    """Addresses of the environment and who may reach it."""

    cidr: Annotated[IPv4Network, AfterValidator(_a_private_network)]
    nat_gateways: Literal["one", "each_az"] = "one"
    admin_allowed_cidrs: tuple[IPv4Network, ...] = Field(min_length=1)  # may reach the bastion's SSH
    peers: Mapping[str, IPv4Network] = Field(default_factory=dict)  # networks that this one must not overlap

    @model_validator(mode="after")
    def _disjoint(self) -> Self:
        for name, other in self.peers.items():
            if self.cidr.overlaps(other):
                raise ValueError(f"{self.cidr} overlaps {other} of {name}")
        return self


class Ssh(Frozen):
    """How hosts are logged in to."""

    user: UserName
    public_key: PublicKey


class Machine(Frozen):
    """A kind of machine."""

    instance_type: str
    root_gib: int = Field(default=20, ge=8, le=LARGEST_GIB)


class Masters(Machine):
    """The masters: as many as the quorum needs."""

    count: int
    spread: bool = True  # across azs: survives the loss of one; False: all in the first, for latency

    @model_validator(mode="after")
    def _odd(self) -> Self:
        if self.count not in ENSEMBLES:
            raise ValueError(f"{self.count} masters cannot form a quorum; valid are {', '.join(map(str, ENSEMBLES))}")
        return self


class Pool(Machine):
    """Interchangeable agents."""

    role: Literal[Role.PUBLIC_AGENT, Role.PRIVATE_AGENT]
    count: int = Field(ge=0, le=MOST_AGENTS)
    fallbacks: tuple[str, ...] = ()  # instance types to take when the first is short
    azs: tuple[str, ...] = ()  # none: all of the environment
    attributes: dict[AttributeName, AttributeValue] = Field(default_factory=dict)  # Mesos attributes besides zone
    resources: str | None = None  # MESOS_RESOURCES, when not all of the machine is offered
    has_volumes: bool = False  # REX-Ray here; its metadata requests carry no token (0.11.4)


class VolumeSettings(Frozen):
    """One named EBS volume."""

    size_gib: int = Field(ge=1, le=LARGEST_GIB)
    az: str
    service: Name  # the installed package whose data it holds
    type: Literal["gp2", "gp3", "io1", "io2", "st1"] = "gp3"


class Installer(Frozen):
    """Where dcos_generate_config.sh comes from, and what it must be: root runs it on the bootstrap host."""

    url: str
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Dcos(Frozen):
    """The cluster's software."""

    version: Literal["1.13", "2.0", "2.1", "2.2"]
    variant: Literal["open", "enterprise"] = "open"
    installer: Installer
    container_runtime: Literal["docker", "none"] = "docker"  # none: only Mesos containers, no preflight for Docker


class Environment(Frozen):
    """All settings of one environment; everything of it is made from these values."""

    version: Literal[1]
    name: Name
    region: str
    cluster_name: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    azs: tuple[str, ...] = Field(min_length=1, max_length=4)
    network: Network
    ssh: Ssh
    ami: Annotated[str, StringConstraints(pattern=r"^ami-[0-9a-f]+$")]
    bastion: Machine
    bootstrap: Machine
    masters: Masters
    pools: dict[Name, Pool]
    volumes: dict[Name, VolumeSettings] = Field(default_factory=dict)
    dcos: Dcos
    public_name: str
    values: dict[str, Any] = Field(default_factory=dict)  # for templates of roles and packages
    recovers: Name | None = None  # whom this one stands by for: only these two replay onto each other
    standby: bool = False
    restore: dict[Name, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for az in self.azs:
            if not re.fullmatch(re.escape(self.region) + "[a-z]", az):
                raise ValueError(f"az {az} is not in region {self.region}")
        if len(set(self.azs)) < len(self.azs):
            raise ValueError("azs: an az stands there twice")
        for name, pool in self.pools.items():
            for az in pool.azs:
                self._require_az(az, f"pools.{name}")
        self._require_room()
        for name, volume in self.volumes.items():
            self._require_az(volume.az, f"volumes.{name}")
            if not self._agents_for_volumes_in(volume.az):
                raise ValueError(f"volumes.{name} is in {volume.az}, where no pool with has_volumes has an agent")
        if self.recovers == self.name:
            raise ValueError(f"recovers: {self.name} cannot stand by for itself")
        for name in self.restore.keys() - self.volumes.keys():
            raise ValueError(f"restore names {name}, which is not a volume; {nearest(name, self.volumes)}")
        return self

    def _require_az(self, az: str, where: str) -> None:
        if az not in self.azs:
            raise ValueError(f"{where}: unknown az {az}; {nearest(az, self.azs)}")

    def _require_room(self) -> None:
        """Each subnet has an address for each host that it is to hold."""
        hosts = Counter({("public", self.azs[0]): 1, ("admin", self.azs[0]): 1})  # bastion and bootstrap
        masters = self.azs if self.masters.spread else self.azs[:1]
        for role, count, azs in [
            (Role.MASTER, self.masters.count, masters),
            *((pool.role, pool.count, pool.azs or self.azs) for pool in self.pools.values()),
        ]:
            for index, az in enumerate(azs):
                hosts[ZONES[role], az] += count // len(azs) + (index < count % len(azs))
        for (zone, az), count in hosts.items():
            if count > room(self.network.cidr):
                raise ValueError(
                    f"pools: {count} hosts are to stand in the {zone} subnet of {az}, "
                    f"which has addresses for {room(self.network.cidr)}"
                )

    def _agents_for_volumes_in(self, az: str) -> bool:
        return any(p.has_volumes and p.count and az in (p.azs or self.azs)[: p.count] for p in self.pools.values())


def is_name(text: str) -> bool:
    """Whether an environment may be called so."""
    return len(text) <= NAME_LENGTH and re.fullmatch(NAME, text) is not None


def load(project: Path, name: str) -> Environment:
    """The settings of an environment from its stack's file; InputError names file, key and nearest valid name."""
    path = _file(project, name)
    if not is_name(name) or not path.exists():
        raise InputError(
            f"there is no environment {shown(name)}; {_nearest(project, name)}", where=str(project / "stacks")
        )
    settings = parse(name, _config(path), where=str(path))
    if settings.recovers and not _file(project, settings.recovers).exists():
        raise InputError(
            f"recovers {settings.recovers}, which is no environment; {_nearest(project, settings.recovers)}",
            where=str(path),
        )
    return settings


def parse(name: str, config: Mapping[str, Any], *, where: str) -> Environment:
    """The settings in a stack's config values; the overriding keys win over the environment's own."""
    settings = {"name": name, "region": config.get(REGION_KEY), **section(config, ENVIRONMENT_KEY, where=where)}
    if STANDBY_KEY in config:
        settings["standby"] = _flag(config[STANDBY_KEY], where=where)
    if RESTORE_KEY in config:
        settings["restore"] = parsing.decoded(config[RESTORE_KEY], where=f"{where}, {RESTORE_KEY}")
    return parsing.parse(Environment, settings, where=where)


def _file(project: Path, name: str) -> Path:
    return project / "stacks" / f"Pulumi.{name}.yaml"


def _config(path: Path) -> Mapping[str, Any]:
    document = parsing.mapping(parsing.read_yaml(path), where=str(path), what="the file")
    return parsing.mapping(document.get("config"), where=str(path), what="config")


def _nearest(project: Path, name: str) -> str:
    """What was meant by a name, of the project's stacks."""
    return nearest(name, {p.name.split(".")[1] for p in (project / "stacks").glob("Pulumi.*.yaml")})


def section(config: Mapping[str, Any], key: str, *, where: str) -> Mapping[str, Any]:
    """The mapping under one of a stack's config values; InputError if it has none."""
    if config.get(key) is None:
        raise InputError(f"config has no {key}", where=where, next_step=f"Write the settings under `{key}:`.")
    return parsing.mapping(config[key], where=where, what=key)


def _flag(value: Any, *, where: str) -> bool:
    """True or false, which a command line gives as text."""
    if value not in (True, False, "true", "false"):
        raise InputError(
            f"{STANDBY_KEY} is {shown(value)}, and must be true or false", where=where, next_step=parsing.CORRECT
        )
    return value in (True, "true")
