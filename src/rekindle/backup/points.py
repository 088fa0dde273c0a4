"""A restore point on its way from begun to complete or failed. Pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from pydantic import JsonValue

from rekindle.inventory import Volume
from rekindle.journal.entries import RestorePoint, VolumeCopy
from rekindle.journal.fold import Folded

FROZEN, CRASH, UNPROVEN = "frozen", "crash", "unproven"
ENVIRONMENT_TAG, POINT_TAG = "rekindle:environment", "rekindle:restore-point"
GIB = 1024**3


def begun(at: datetime, release: str, volumes: Iterable[Volume]) -> RestorePoint:
    """A restore point of which nothing exists yet."""
    return RestorePoint(
        id=f"rp-{at:%Y%m%dT%H%M%S}{at.microsecond // 1000:03d}Z",
        release=release,
        status="pending",
        consistency=UNPROVEN,
        volumes=tuple(_copy_of(volume) for volume in volumes),
        started=at,
    )


def snapshotted(
    point: RestorePoint, taken: Mapping[str, str], barrier: Mapping[str, JsonValue], consistency: str
) -> RestorePoint:
    """All snapshots are started (ids by volume id), and are of one moment for each service."""
    return point.model_copy(
        update={
            "barrier": dict(barrier),
            "consistency": consistency,
            "volumes": tuple(
                v.model_copy(update={"snapshot_id": taken[v.volume_id], "state": "snapshotted"}) for v in point.volumes
            ),
        }
    )


def copying(point: RestorePoint, copies: Mapping[str, str], region: str) -> RestorePoint:
    """All copies are started (ids by volume name)."""
    return point.model_copy(
        update={
            "volumes": tuple(
                v.model_copy(update={"copy_id": copies[v.name], "copy_region": region, "state": "copying"})
                for v in point.volumes
            )
        }
    )


def completed(point: RestorePoint, at: datetime) -> RestorePoint:
    """Everything it names is on the recovery side."""
    volumes = tuple(v.model_copy(update={"state": "complete"}) for v in point.volumes)
    size = sum(v.size_gib for v in volumes) * GIB
    return point.model_copy(update={"status": "complete", "volumes": volumes, "ended": at, "size_bytes": size})


def failed(point: RestorePoint, at: datetime) -> RestorePoint:
    """Nothing is restored from it."""
    return point.model_copy(update={"status": "failed", "ended": at})


def is_of_one_moment(point: RestorePoint) -> bool:
    """Whether its snapshots exist and are worth finishing."""
    return point.consistency != UNPROVEN and all(v.snapshot_id for v in point.volumes)


def unfinished(folded: Folded) -> tuple[RestorePoint, ...]:
    """Restore points that a killed backup left pending, oldest first."""
    return tuple(point for point in folded.restore_points.values() if point.status == "pending")


def latest(folded: Folded) -> RestorePoint | None:
    """The restore point that was complete last."""
    whole = [point for point in folded.restore_points.values() if point.status == "complete"]
    return max(whole, key=lambda point: point.started, default=None)


def barrier_at(point: RestorePoint) -> datetime:
    """What was acknowledged before this moment is in it: the earliest of its barriers, else its beginning."""
    return min(filter(None, map(_moment, point.barrier.values())), default=point.started)


def _moment(noted: JsonValue) -> datetime | None:
    """When a barrier was asked for; None if this does not say so, in a form that has one meaning."""
    try:
        moment = datetime.fromisoformat(str(noted["at"])) if isinstance(noted, dict) else None
    except (KeyError, ValueError):
        return None
    return moment if moment and moment.tzinfo else None


def tags(environment: str, cluster: str, point: RestorePoint, volume: VolumeCopy) -> dict[str, str]:
    """By which a snapshot, or its copy, is found again."""
    return {**key_tags(environment, point), "Name": volume.name, "cluster": cluster, "rekindle:service": volume.service}


def key_tags(environment: str, point: RestorePoint) -> dict[str, str]:
    """What all snapshots and copies of one restore point share."""
    return {ENVIRONMENT_TAG: environment, POINT_TAG: point.id}


def _copy_of(volume: Volume) -> VolumeCopy:
    return VolumeCopy(
        name=volume.name,
        volume_id=volume.volume_id,
        az=volume.az,
        size_gib=volume.size_gib,
        service=volume.service,
    )
