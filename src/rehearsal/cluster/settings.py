"""What a node is told at installation: who it is and who its masters are."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Json = dict[str, Any]

DCOS_VERSION = "2.1.4"
MESOS_VERSION = "1.10.1"
MARATHON_VERSION = "1.10.36"
COSMOS_VERSION = "0.6.2"
METRONOME_VERSION = "0.6.70"
IMAGE_COMMIT = "dc387dfd54bbb54b06435fe5870a59ada8ba70f1"


@dataclass(frozen=True, kw_only=True)
class Directories:
    """The directories a node keeps its state in; tests point them elsewhere."""

    dcos: Path = Path("/var/lib/dcos")
    agent: Path = Path("/var/lib/mesos/slave")
    volumes: Path = Path("/var/lib/rexray/volumes")
    run: Path = Path("/run/dcos")


@dataclass(frozen=True, kw_only=True)
class NodeSettings:
    """A node's address, its role (master, slave or slave_public) and the cluster's settings."""

    ip: str
    role: str
    cluster_name: str
    masters: tuple[str, ...]
    public_ip: str = ""
    resolvers: tuple[str, ...] = ("8.8.8.8", "8.8.4.4")
    dns_search: str = ""
    bind: str = "0.0.0.0"  # noqa: S104 - as the real components do
    superuser_uid: str = ""
    superuser_public_key: str = ""
    rexray: Json = field(default_factory=dict)
    enforce_group_role: bool = True
    token_lifetime_seconds: int = 432_000
    bootstrap_id: str = ""
    directories: Directories = field(default_factory=Directories)

    @property
    def zookeeper(self) -> str:
        """The ensemble as ZooKeeper clients spell it."""
        return ",".join(f"{master}:2181" for master in self.masters)

    @property
    def is_master(self) -> bool:
        """True on a master."""
        return self.role == "master"


def load(path: Path, *, ip: str, role: str, public_ip: str = "") -> NodeSettings:
    """Settings from the file that the installer rendered; the node adds its address and role."""
    document = json.loads(path.read_text())
    return NodeSettings(
        ip=ip,
        role=role,
        public_ip=public_ip or ip,
        cluster_name=document["cluster_name"],
        masters=tuple(document["masters"]),
        resolvers=tuple(document["resolvers"]),
        dns_search=document["dns_search"],
        superuser_uid=document["superuser_uid"],
        superuser_public_key=document["superuser_public_key"],
        rexray=document["rexray"],
        enforce_group_role=document["enforce_group_role"],
        bootstrap_id=document["bootstrap_id"],
    )
