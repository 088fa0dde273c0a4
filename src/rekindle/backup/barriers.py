"""Groups of volumes that are saved as one moment, and what was acknowledged before it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import TypeAlias

from pydantic import JsonValue

from rekindle.inventory import Inventory, Volume
from rekindle.packages import BackupSpec, BarrierSpec, Package

Barrier: TypeAlias = Callable[[], Mapping[str, JsonValue]]
"""Asks a service for its barrier, such as the offsets acknowledged; the freeze begins after it answered."""


Ask: TypeAlias = Callable[[BarrierSpec], Mapping[str, JsonValue]]
"""How a service's barrier is asked for: `rekindle.services.barrier`, bound to a cluster."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Volumes of one service."""

    name: str
    volumes: tuple[Volume, ...]
    barrier: Barrier | None = None
    is_frozen: bool = True  # False: the service promises to recover from the crash of a machine


def groups_of(packages: Sequence[Package], inventory: Inventory, ask: Ask) -> tuple[Group, ...]:
    """The groups that packages declare, of the volumes that the environment has."""
    return tuple(
        _group(package.name, package.spec.backup, inventory, ask) for package in packages if package.spec.backup
    )


def _group(name: str, spec: BackupSpec, inventory: Inventory, ask: Ask) -> Group:
    declared = spec.barrier
    return Group(
        name=name,
        volumes=tuple(volume for volume in inventory.volumes if volume.name in spec.volumes),
        barrier=None if declared is None else lambda: ask(declared),
        is_frozen=spec.consistency == "frozen",
    )


def noted(group: Group, now: Callable[[], datetime]) -> dict[str, JsonValue]:
    """The group's barrier, by its name, with the moment before it was asked.

    All that was acknowledged before `at` is promised to be in the restore point.
    """
    if group.barrier is None:
        return {}
    at = now().isoformat()
    return {group.name: {"at": at, "said": dict(group.barrier())}}


def completed(groups: Sequence[Group], volumes: Sequence[Volume]) -> tuple[Group, ...]:
    """These groups, and one for each service whose volumes none of them has: no volume is left out."""
    grouped = {volume.name for group in groups for volume in group.volumes}
    left = sorted((v for v in volumes if v.name not in grouped), key=attrgetter("service", "name"))
    return (
        *groups,
        *(Group(name=name, volumes=tuple(own)) for name, own in groupby(left, key=attrgetter("service"))),
    )
