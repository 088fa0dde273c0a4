"""What an environment says about its hosts and its cluster, as far as roles need it."""

from ipaddress import IPv4Address
from typing import Literal

from pydantic import Field, JsonValue

from rekindle.parsing import Frozen

AMAZON_RESOLVER = IPv4Address("169.254.169.253")  # the VPC's resolver, at the same address in every VPC


class DcosSettings(Frozen):
    """Which DC/OS is installed, from where, and how it is configured."""

    version: str  # "2.1", or with its patch "2.1.4"
    variant: Literal["open", "enterprise"] = "open"
    installer_url: str  # of dcos_generate_config.sh, in the environment's own artifacts bucket
    installer_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    superuser: str = Field(default="rekindle", pattern=r"^[a-zA-Z0-9\-_@.]+$")  # uid of Rekindle's service account
    resolvers: tuple[IPv4Address, ...] = (AMAZON_RESOLVER,)
    telemetry: bool = False
    config: dict[str, JsonValue] = Field(default_factory=dict)  # further keys of config.yaml


class HostSettings(Frozen):
    """What the machines themselves are."""

    os: str = "debian-12"  # names a file in roles/common/os/
    kernel: Literal["own", "shared"] = "own"  # shared: containers; sysctls outside net., swap and clock are not theirs
    container_runtime: Literal["docker", "none"] = "docker"  # none: the installer in use does not ask for docker
    volume_pools: frozenset[str] = frozenset()  # pools that REX-Ray attaches volumes to
    resources: dict[str, str] = Field(default_factory=dict)  # MESOS_RESOURCES by pool, where not all is offered
