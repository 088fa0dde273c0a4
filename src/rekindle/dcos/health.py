"""Whether the cluster itself is well: Exhibitor's ensemble, the units of every node, versions, names."""

from dataclasses import dataclass

from rekindle.dcos import answers
from rekindle.dcos.answers import read, read_list
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
        found = read_list(answers.Server, self._session.request("GET", "/exhibitor/exhibitor/v1/cluster/status"))
        return Ensemble(tuple((server.hostname, server.code, server.isLeader) for server in found))

    def units(self) -> tuple[Unit, ...]:
        """Every unit, as dcos-diagnostics sees it now."""
        found = read(answers.Units, self._session.request("GET", "/system/health/v1/units"))
        return tuple(Unit(unit.id, unit.health == 0) for unit in found.units)

    def version(self) -> Version:
        """Needs no token."""
        found = read(answers.DcosVersion, self._session.request("GET", "/dcos-metadata/dcos-version.json"))
        return Version(found.version, found.variant)

    def cluster_id(self) -> str:
        return read(answers.Metadata, self._session.request("GET", "/metadata")).CLUSTER_ID

    def addresses(self, name: str) -> tuple[str, ...]:
        """What Mesos-DNS knows of a name; it answers an unknown one with an empty record."""
        found = read_list(answers.Address, self._session.request("GET", f"/mesos_dns/v1/hosts/{name}"))
        return tuple(address.ip for address in found if address.ip)
