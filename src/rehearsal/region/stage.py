"""The names, addresses and directories of one rehearsal region.

Every name carries the stage's own (`REHEARSAL_NAME`, `rk` by default), so that two regions can
be up on one machine: addresses live inside namespaces and cannot clash, names could.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

REGIONS = ("us-east-1", "us-west-2")
GLOBAL_CONTROL_PLANE_REGION = "us-east-1"
"""Where the control planes of IAM and Route 53 live."""

PUBLIC_NETWORKS = {"us-east-1": "192.0.2.0/24", "us-west-2": "203.0.113.0/24"}
"""Documentation networks (RFC 5737) stand for the regions' public addresses."""

API_ADDRESS = "198.18.0.10"
API_ENDPOINT = f"http://{API_ADDRESS}"
S3_ADDRESS = "198.18.0.11"  # of its own, as in AWS: a gateway endpoint leads to S3 and to nothing else
S3_ENDPOINT = f"http://{S3_ADDRESS}"
DNS_ADDRESS = "198.18.0.53"
REGION_GATEWAY = "198.18.1.1"
OPERATOR_ADDRESS = "198.18.1.2"
METADATA_ADDRESS = "169.254.169.254"
VPC_RESOLVER_ADDRESS = "169.254.169.253"
HOST_GATEWAY = "169.254.1.1"
BACKBONE_NETWORK = "198.19.0.0/16"
"""Links between the region and each VPC's router; benchmarking space (RFC 2544)."""

ACCOUNT = "123456789012"
OPERATOR_KEY = "rehearsal"
IMAGE_NAME = "rekindle-debian-12"
IMAGE_IDS = {"us-east-1": "ami-0de12eeabcde00001", "us-west-2": "ami-0de12eeabcde00002"}
LOGIN_USER = "admin"

_DEFAULT_NAME = "rk"
_NAME = re.compile(r"^[a-z][a-z0-9]{0,7}$")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One rehearsal region on this machine."""

    name: str = _DEFAULT_NAME

    def __post_init__(self) -> None:
        if not _NAME.match(self.name):
            raise ValueError(f"REHEARSAL_NAME {self.name!r}: up to 8 lower-case letters and digits, a letter first")

    @classmethod
    def from_environ(cls) -> Stage:
        """The stage that REHEARSAL_NAME names."""
        return cls(name=os.environ.get("REHEARSAL_NAME") or _DEFAULT_NAME)

    @property
    def region_namespace(self) -> str:
        return f"{self.name}-region"

    @property
    def internet_namespace(self) -> str:
        return f"{self.name}-internet"

    def namespace_of(self, resource_id: str) -> str:
        """The namespace of an instance, a load balancer or a VPC's router."""
        return f"{self.name}-{resource_id}"

    @property
    def _suffix(self) -> str:
        return "" if self.name == _DEFAULT_NAME else f"-{self.name}"

    @property
    def run_directory(self) -> Path:
        """Pid files, sockets and logs."""
        return Path(f"/run/rekindle-rehearsal{self._suffix}")

    @property
    def data_directory(self) -> Path:
        """Disks of hosts and volumes: large, on a real disk, gone after `down`."""
        return Path(f"/var/tmp/rekindle-rehearsal{self._suffix}")  # noqa: S108

    @property
    def cgroup(self) -> str:
        """The control group beneath which all machines of the stage run."""
        return f"rekindle-rehearsal-{self.name}"

    @property
    def pid_file(self) -> Path:
        return self.run_directory / "region.pid"

    @property
    def ready_file(self) -> Path:
        return self.run_directory / "ready"

    @property
    def log_file(self) -> Path:
        return self.run_directory / "region.log"

    @property
    def control_socket(self) -> Path:
        return self.run_directory / "control.sock"


def cache_directory() -> Path:
    """Where what is slow to make is kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "rekindle"


def namespace_path(namespace: str) -> Path:
    """The file that stands for a network namespace."""
    return Path("/run/netns") / namespace
