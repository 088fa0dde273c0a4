"""The table of flows: who may open connections to whom, on which ports, and why.

The only source of security groups and of the packet tests. Ports are those of DC/OS 1.13 to 2.2, as its
preflight checks and its documentation of ports name them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias

from rekindle.inventory import Role

Protocol: TypeAlias = Literal["tcp", "udp", "icmp"]
Ports: TypeAlias = tuple[int, int]  # first and last; (-1, -1) for icmp


class Origin(StrEnum):
    """Who opens a connection, besides hosts of a role."""

    OPERATORS = "operators"  # the addresses of network.admin_allowed_cidrs
    INTERNET = "internet"
    LOAD_BALANCER = "load_balancer"


@dataclass(frozen=True)
class Flow:
    """One line of the table; `to` is a role, or the public load balancer."""

    source: Role | Origin
    to: Role | Origin
    protocol: Protocol
    ports: Ports
    why: str


CLUSTER = (Role.MASTER, Role.PRIVATE_AGENT, Role.PUBLIC_AGENT)
AGENTS = (Role.PRIVATE_AGENT, Role.PUBLIC_AGENT)
BEHIND_BASTION = (Role.BOOTSTRAP, *CLUSTER)


def _table() -> Iterator[Flow]:
    yield Flow(Origin.OPERATORS, Role.BASTION, "tcp", (22, 22), "operators log in")
    yield Flow(Origin.INTERNET, Origin.LOAD_BALANCER, "tcp", (80, 80), "clients of public services")
    yield Flow(Origin.LOAD_BALANCER, Role.PUBLIC_AGENT, "tcp", (80, 80), "public services behind the load balancer")
    yield Flow(Origin.LOAD_BALANCER, Role.PUBLIC_AGENT, "tcp", (9090, 9090), "health of the edge proxy")
    for role in BEHIND_BASTION:
        yield Flow(Role.BASTION, role, "tcp", (22, 22), "hosts are reached through the bastion only")
    for role in CLUSTER:
        yield Flow(role, Role.BOOTSTRAP, "tcp", (80, 80), "nodes fetch the installer and its packages")
    yield from _among_nodes()
    yield from _to_masters()
    yield from _to_agents()


def _among_nodes() -> Iterator[Flow]:
    for source in CLUSTER:
        for to in CLUSTER:
            yield Flow(source, to, "tcp", (61420, 62501), "dcos-net: 61420, 62080, 62501")
            yield Flow(source, to, "udp", (64000, 64000), "dcos-net: overlay")
            yield Flow(source, to, "icmp", (-1, -1), "path MTU, and people looking for faults")


def _to_masters() -> Iterator[Flow]:
    yield Flow(Role.MASTER, Role.MASTER, "tcp", (1, 65535), "ZooKeeper, CockroachDB, replicated log, leaders")
    yield Flow(Role.MASTER, Role.MASTER, "udp", (1, 65535), "DNS")
    for source in AGENTS:
        yield Flow(source, Role.MASTER, "udp", (53, 53), "DNS")
        yield Flow(source, Role.MASTER, "tcp", (53, 53), "DNS")
        yield Flow(source, Role.MASTER, "tcp", (80, 80), "Admin Router")
        yield Flow(source, Role.MASTER, "tcp", (443, 443), "Admin Router")
        yield Flow(source, Role.MASTER, "tcp", (2181, 2181), "ZooKeeper, for frameworks")
        yield Flow(source, Role.MASTER, "tcp", (5050, 5050), "Mesos master")
        yield Flow(source, Role.MASTER, "tcp", (8080, 8080), "Marathon, for what routes by its labels")
        yield Flow(source, Role.MASTER, "tcp", (8123, 8123), "Mesos-DNS")
        yield Flow(source, Role.MASTER, "udp", (61053, 61053), "Mesos-DNS")
        yield Flow(source, Role.MASTER, "tcp", (61053, 61053), "Mesos-DNS")


def _to_agents() -> Iterator[Flow]:
    for to in AGENTS:
        for source in CLUSTER:
            yield Flow(source, to, "tcp", (1024, 32000), "tasks and the Mesos agent, on offered ports")
            yield Flow(source, to, "tcp", (61001, 61091), "agent's Admin Router, REX-Ray, telegraf")
        yield Flow(Role.MASTER, to, "tcp", (80, 80), "health checks of public services")


FLOWS: tuple[Flow, ...] = tuple(_table())


def flows_into(to: Role | Origin) -> tuple[Flow, ...]:
    """The lines that end at one place: the rules of its security group."""
    return tuple(flow for flow in FLOWS if flow.to == to)
