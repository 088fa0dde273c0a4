"""Snapshots that no restore point names: of restore points that failed, and of answers that were lost."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from rekindle.aws import compute
from rekindle.aws.clients import Clients
from rekindle.aws.compute import Snapshot
from rekindle.backup import points
from rekindle.journal.fold import Folded

OLD = timedelta(days=1)  # younger ones may be of a command that the journal read does not know yet


@dataclass(frozen=True, kw_only=True)
class Orphan:
    """A snapshot that costs, and that nothing will be restored from."""

    snapshot_id: str
    region: str
    size_gib: int
    point: str  # id, as its tag says
    is_of_failed: bool  # the journal says that this restore point failed


def orphans_of(
    clients: Clients, regions: Iterable[str], environment: str, folded: Folded, now: datetime
) -> tuple[Orphan, ...]:
    """The environment's old snapshots that are of no pending restore point, and named by none."""
    tags = {points.ENVIRONMENT_TAG: environment}
    return tuple(
        _orphan(snapshot, region, folded)
        for region in sorted(set(regions))
        for snapshot in compute.snapshots(clients.ec2(region), tags=tags)
        if _is_orphan(snapshot, folded, now)
    )


def told(found: Iterable[Orphan]) -> tuple[str, ...]:
    """One line for each region that has some."""
    by_region: dict[str, list[Orphan]] = {}
    for orphan in found:
        by_region.setdefault(orphan.region, []).append(orphan)
    return tuple(
        f"no restore point names {len(own)} snapshots in {region} ({sum(o.size_gib for o in own)} GiB): "
        + ", ".join(o.snapshot_id for o in own)
        for region, own in by_region.items()
    )


def _is_orphan(snapshot: Snapshot, folded: Folded, now: datetime) -> bool:
    return (
        snapshot.started < now - OLD
        and snapshot.snapshot_id not in _named(folded)
        and _status(snapshot, folded) != "pending"
    )


def _named(folded: Folded) -> set[str | None]:
    whole = [point for point in folded.restore_points.values() if point.status != "failed"]
    return {name for point in whole for volume in point.volumes for name in (volume.snapshot_id, volume.copy_id)}


def _status(snapshot: Snapshot, folded: Folded) -> str | None:
    point = folded.restore_points.get(_point(snapshot))
    return point.status if point else None


def _point(snapshot: Snapshot) -> str:
    return snapshot.tags.get(points.POINT_TAG, "")


def _orphan(snapshot: Snapshot, region: str, folded: Folded) -> Orphan:
    return Orphan(
        snapshot_id=snapshot.snapshot_id,
        region=region,
        size_gib=snapshot.size_gib,
        point=_point(snapshot),
        is_of_failed=_status(snapshot, folded) == "failed",
    )
