"""Placement: which hosts there are, and in which az each stands."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rekindle.environment.addresses import ZONES, Zone
from rekindle.environment.settings import Environment, Machine
from rekindle.inventory import Role


@dataclass(frozen=True)
class Placed:
    """One host to be."""

    name: str  # "private-agent-2": its pool and its number, from 1
    role: Role
    pool: str
    az: str
    machine: Machine

    @property
    def zone(self) -> Zone:
        return ZONES[self.role]


def placed_hosts(environment: Environment) -> tuple[Placed, ...]:
    """Every host of an environment; a pool that grows leaves the hosts it has where they are."""
    return tuple(_placed(environment))


def _placed(environment: Environment) -> Iterator[Placed]:
    first = environment.azs[0]
    yield Placed("bastion", Role.BASTION, "bastion", first, environment.bastion)
    yield Placed("bootstrap", Role.BOOTSTRAP, "bootstrap", first, environment.bootstrap)
    masters = environment.masters
    azs = environment.azs if masters.spread else (first,)
    yield from _pool("master", Role.MASTER, masters.count, azs, masters)
    for name, pool in environment.pools.items():
        yield from _pool(name, pool.role, pool.count, pool.azs or environment.azs, pool)


def _pool(name: str, role: Role, count: int, azs: Sequence[str], machine: Machine) -> Iterator[Placed]:
    for index in range(count):
        yield Placed(f"{name}-{index + 1}", role, name, azs[index % len(azs)], machine)
