"""Mesos: agents with what they offer, and whether the master's registry is whole."""

from collections.abc import Mapping
from dataclasses import dataclass

from rekindle.dcos import answers
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
        found = answers.read(answers.Agents, self._session.request("GET", "/mesos/slaves"))
        return tuple(_agent(item) for item in found.slaves)

    def metrics(self) -> Mapping[str, float]:
        """The leading master's metrics: `registrar/log/recovered`, `master/slaves_active`, …"""
        found = answers.mapping(self._session.request("GET", "/mesos/metrics/snapshot"))
        return {name: float(value) for name, value in found.items() if isinstance(value, int | float)}


def _agent(item: answers.ListedAgent) -> Agent:
    has, used = item.resources, item.used_resources
    return Agent(
        id=item.id,
        hostname=item.hostname,
        attributes={key: str(value) for key, value in item.attributes.items()},
        is_active=item.active,
        cpus=has.cpus,
        mem=has.mem,
        disk=has.disk,
        used_cpus=used.cpus,
        used_mem=used.mem,
        roles=frozenset(item.reserved_resources),
    )
