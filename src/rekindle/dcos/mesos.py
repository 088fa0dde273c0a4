"""Mesos: agents with what they offer, and whether the master's registry is whole."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rekindle.dcos.session import Session


@dataclass(frozen=True)
class Agent:
    """One registered agent and what it has, in CPUs, MiB and MiB."""

    id: str
    hostname: str
    attributes: Mapping[str, str]
    is_active: bool
    cpus: float
    mem: float
    disk: float
    used_cpus: float
    used_mem: float
    roles: frozenset[str]  # that have reservations, such as slave_public

    @property
    def is_public(self) -> bool:
        return self.attributes.get("public_ip") == "true" or "slave_public" in self.roles


class Mesos:
    """Calls of the leading master, through Admin Router."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def agents(self) -> tuple[Agent, ...]:
        """All registered agents."""
        return tuple(_agent(item) for item in self._session.get("/mesos/slaves")["slaves"])

    def metrics(self) -> Mapping[str, float]:
        """The leading master's metrics: `registrar/log/recovered`, `master/slaves_active`, …"""
        found: Mapping[str, float] = self._session.get("/mesos/metrics/snapshot")
        return found

    def state(self) -> Mapping[str, Any]:
        """The whole state; large on a large cluster."""
        found: Mapping[str, Any] = self._session.get("/mesos/state")
        return found


def _agent(item: Mapping[str, Any]) -> Agent:
    resources, used = item.get("resources", {}), item.get("used_resources", {})
    return Agent(
        id=item["id"],
        hostname=item["hostname"],
        attributes={key: str(value) for key, value in item.get("attributes", {}).items()},
        is_active=bool(item.get("active")),
        cpus=float(resources.get("cpus", 0)),
        mem=float(resources.get("mem", 0)),
        disk=float(resources.get("disk", 0)),
        used_cpus=float(used.get("cpus", 0)),
        used_mem=float(used.get("mem", 0)),
        roles=frozenset(item.get("reserved_resources", {})),
    )
