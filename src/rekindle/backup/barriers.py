"""What a service says it had acknowledged before its volumes were frozen."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TypeAlias

from pydantic import JsonValue

Barrier: TypeAlias = Callable[[], Mapping[str, JsonValue]]
"""Asks a service for its barrier, such as the offsets acknowledged; the freeze begins after it answered."""


def noted(
    barriers: Mapping[str, Barrier], services: frozenset[str], now: Callable[[], datetime]
) -> dict[str, JsonValue]:
    """The barrier of each of these services that has one, with the moment before it was asked.

    All that was acknowledged before `at` is promised to be in the restore point.
    """
    taken: dict[str, JsonValue] = {}
    for service in sorted(services & barriers.keys()):
        at = now().isoformat()
        taken[service] = {"at": at, "said": dict(barriers[service]())}
    return taken
