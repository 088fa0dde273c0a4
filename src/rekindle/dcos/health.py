"""Whether the cluster itself is well: Exhibitor's ensemble, the units of every node, versions, names."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rekindle.dcos.session import Session

SERVING = 3  # Exhibitor's code (FACTS 8)


@dataclass(frozen=True)
class Ensemble:
    """The ZooKeeper servers that Exhibitor knows: (hostname, code, is leader)."""

    servers: tuple[tuple[str, int, bool], ...]

    def is_whole(self, masters: int) -> bool:
        """Whether that many serve, all of them, under one leader."""
        leaders = sum(is_leader for _, _, is_leader in self.servers)
        serving = sum(code == SERVING for _, code, _ in self.servers)
        return leaders == 1 and serving == len(self.servers) == masters


@dataclass(frozen=True)
class Unit:
    """A unit of DC/OS, healthy on all nodes or not."""

    id: str
    is_healthy: bool


@dataclass(frozen=True)
class Version:
    """What runs: the release and its variant."""

    version: str
    variant: str


class Health:
    """Calls that tell whether a cluster is up."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def ensemble(self) -> Ensemble:
        """Needs no token, so it answers before the IAM does."""
        found = self._session.get("/exhibitor/exhibitor/v1/cluster/status")
        return Ensemble(tuple((item["hostname"], int(item["code"]), bool(item["isLeader"])) for item in found))

    def units(self) -> tuple[Unit, ...]:
        """Every unit, as dcos-diagnostics sees it now."""
        found = self._session.get("/system/health/v1/units")["units"]
        return tuple(Unit(item["id"], item["health"] == 0) for item in found)

    def version(self) -> Version:
        """Needs no token."""
        found = self._session.get("/dcos-metadata/dcos-version.json")
        return Version(found["version"], found.get("dcos-variant", "open"))

    def cluster_id(self) -> str:
        metadata: Mapping[str, Any] = self._session.get("/metadata")
        return str(metadata.get("CLUSTER_ID", ""))

    def addresses(self, name: str) -> tuple[str, ...]:
        """What Mesos-DNS knows of a name; it answers an unknown one with an empty record."""
        found = self._session.get(f"/mesos_dns/v1/hosts/{name}")
        return tuple(item["ip"] for item in found if item.get("ip"))
