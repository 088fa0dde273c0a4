"""Whether what came back is what was promised. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rekindle.aws.compute import VolumeFacts
from rekindle.errors import GateFailed, JournalDamaged

GOING = frozenset({"deleting", "deleted"})  # states of a volume that nothing can mount any more
OFFSETS = "offsets"  # the part of a barrier that only grows


def require_barrier(promised: Mapping[str, Any], now: Mapping[str, Mapping[str, Any]]) -> None:
    """GateFailed unless every group holds at least what its barrier said; one without a barrier promised nothing.

    JournalDamaged for a barrier that is none.
    """
    behind = [
        f"{group}: {line}"
        for group, noted in promised.items()
        for line in _behind(_offsets(group, noted), _mapping(now.get(group)).get(OFFSETS))
    ]
    if behind:
        raise GateFailed(
            f"less came back than was acknowledged before the barrier: {'; '.join(behind)}",
            next_step="The public name was not moved. Look at the service's volumes before you go on.",
        )


def require_restored(restores: Mapping[str, str], found: Mapping[str, VolumeFacts]) -> None:
    """GateFailed unless each volume was made from its own snapshot (ids by volume name)."""
    wrong = [
        f"{name} was made from {facts.snapshot_id or 'nothing'}, not from {restores[name]}"
        if (facts := found.get(name))
        else f"{name} does not exist"
        for name in sorted(restores)
        if name not in found or found[name].snapshot_id != restores[name]
    ]
    if wrong:
        raise GateFailed(
            f"these volumes do not hold what was restored: {'; '.join(wrong)}",
            next_step="No service was started on them. Delete them, and run the same replay again.",
        )


def require_single(found: Iterable[VolumeFacts]) -> None:
    """GateFailed if two volumes of an availability zone have one name: REX-Ray would mount the first that it finds."""
    alike: dict[tuple[str, str], list[str]] = {}
    for volume in found:
        if volume.state not in GOING:
            alike.setdefault((volume.tags.get("Name", ""), volume.az), []).append(volume.volume_id)
    double = [
        f"{name} in {az} is {' and '.join(sorted(ids))}" for (name, az), ids in sorted(alike.items()) if len(ids) > 1
    ]
    if double:
        raise GateFailed(
            f"these volumes exist more than once: {'; '.join(double)}",
            next_step="No service was started on them. Delete or rename the one that is not in use, "
            "then run the same replay again.",
        )


def _offsets(group: str, noted: Any) -> Any:
    """What grows, of a barrier as the restore point holds it."""
    said = _mapping(noted).get("said")
    if not isinstance(said, Mapping):
        raise JournalDamaged(
            "is no barrier: it does not say what was acknowledged",
            where=f"barrier of {group} in the restore point",
            next_step="Choose another restore point.",
        )
    return said.get(OFFSETS)


def _mapping(value: Any) -> Mapping[Any, Any]:
    """A value whose parts have names or numbers; empty for any other."""
    if isinstance(value, list):
        return dict(enumerate(value))
    return value if isinstance(value, Mapping) else {}


def _behind(promised: Any, now: Any, path: str = "") -> Iterator[str]:
    """Numbers that are smaller now than they were promised, or missing."""
    if isinstance(promised, Mapping | list):
        for key, value in _mapping(promised).items():
            yield from _behind(value, _mapping(now).get(key), f"{path}{key} ")
    elif isinstance(promised, int | float) and not (isinstance(now, int | float) and now >= promised):
        yield f"{path}is {now}, and was {promised}"
