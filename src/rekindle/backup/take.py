"""Takes a restore point, or finishes the one that a killed backup left."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pydantic import JsonValue

from rekindle.aws import compute
from rekindle.aws.clients import Clients
from rekindle.aws.compute import Snapshot, VolumeFacts
from rekindle.backup import freezing, mounts, points
from rekindle.backup.barriers import Group, completed, noted
from rekindle.backup.hosts import Hosts
from rekindle.backup.mounts import Mount
from rekindle.backup.orphans import Orphan, orphans_of, told
from rekindle.backup.planning import BackupPlan
from rekindle.errors import CommandFailed, Incomplete, InputError, RekindleError, SnapshotLost
from rekindle.inventory import Inventory, Stores, Volume
from rekindle.journal.entries import Operation, RestorePoint, VolumeCopy
from rekindle.journal.journal import Journal
from rekindle.journal.mirror import Mirror
from rekindle.journal.release import Artifact
from rekindle.progress import Tell

NAME = "backup"


@dataclass(frozen=True, kw_only=True)
class Backup:
    """What a backup works with."""

    inventory: Inventory
    journal: Journal
    clients: Clients
    hosts: Hosts
    mirror: Mirror
    release: str  # in force, and what it fetches
    artifacts: Sequence[Artifact]
    groups: Sequence[Group] = ()  # volumes that are in none are saved service by service
    tell: Tell
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    is_frozen: bool = True  # False only to show what a backup without the freeze is worth

    @property
    def region(self) -> str:
        if self.inventory.region is None:
            raise InputError(
                "volumes outside AWS have no snapshots", where=f"inventory of {self.inventory.environment}"
            )
        return self.inventory.region

    @property
    def stores(self) -> Stores:
        if self.inventory.stores is None:
            raise InputError("it names no stores to copy to", where=f"inventory of {self.inventory.environment}")
        return self.inventory.stores


def plan(backup: Backup) -> BackupPlan:
    """What `run` would do; changes nothing."""
    volumes = backup.inventory.volumes
    folded = backup.journal.fold()
    return BackupPlan(
        environment=backup.inventory.environment,
        release=backup.release,
        volumes=volumes,
        mounts=tuple(
            mount
            for group in completed(backup.groups, volumes)
            for mount in _mounts(backup, group, _facts(backup, group.volumes))
        ),
        barriers=tuple(group.name for group in backup.groups if group.barrier),
        recovery_region=backup.stores.region,
        is_unprotected=backup.stores.region == backup.region,
        to_finish=tuple(point.id for point in points.unfinished(folded)),
        missing_artifacts=_missing(backup),
        orphans=_orphans(backup),
    )


def run(backup: Backup) -> RestorePoint:
    """A new restore point, complete: all of it is on the recovery side.

    What an earlier backup left pending is finished first, or given up and said to be failed. Raises
    Incomplete while artifacts of the release are not mirrored, and whatever failed otherwise; no
    file system stays frozen.
    """
    for left in points.unfinished(backup.journal.fold()):
        _resume(backup, left)
    point = points.begun(backup.now(), backup.release, backup.inventory.volumes)
    backup.journal.append(point, _operation("begun", point))
    point = _finish(backup, _taken(backup, point))
    _tidy(backup)
    return point


def _resume(backup: Backup, left: RestorePoint) -> None:
    if points.is_of_one_moment(left):
        backup.tell(f"finishing {left.id}, which an earlier backup left pending")
        try:
            _finish(backup, left)
        except SnapshotLost as error:  # a new one must not wait for what cannot be mended
            backup.tell(f"{left.id} cannot be finished: {error.what}")
    else:
        backup.tell(f"giving up {left.id}: the backup that began it was ended before its snapshots were of one moment")
        _thaw_leftovers(backup, left)
        _fail(backup, left, "interrupted before its snapshots were of one moment")


def _taken(backup: Backup, point: RestorePoint) -> RestorePoint:
    """The restore point with its snapshots started, group by group; failed and said so if one cannot be."""
    taken: dict[str, str] = {}
    barrier: dict[str, JsonValue] = {}
    try:
        for group in completed(backup.groups, backup.inventory.volumes):
            barrier |= noted(group, backup.now)
            taken |= _snapshots(backup, point, group)
    except RekindleError as error:
        _fail(backup, point, str(error))
        raise
    is_frozen = backup.is_frozen and all(group.is_frozen for group in backup.groups)
    consistency = points.FROZEN if is_frozen else points.CRASH
    point = points.snapshotted(point, taken, barrier, consistency)
    backup.journal.append(point)
    return point


def _snapshots(backup: Backup, point: RestorePoint, group: Group) -> dict[str, str]:
    """Snapshot ids by volume id of one group's volumes, all of one moment."""
    before = _facts(backup, group.volumes)
    found = _mounts(backup, group, before)
    backup.tell(f"{group.name}: snapshots of {', '.join(v.name for v in group.volumes)}")
    try:
        freezing.freeze(backup.hosts, found, point.id)
        taken = _started(backup, point, group.volumes)
    except BaseException:
        _thaw_quietly(backup, found, point)
        raise
    freezing.thaw(backup.hosts, found, point.id)
    _refuse_moved(before, _facts(backup, group.volumes))
    return taken


def _started(backup: Backup, point: RestorePoint, volumes: Sequence[Volume]) -> dict[str, str]:
    names = {v.volume_id for v in volumes}
    environment, cluster = backup.inventory.environment, backup.inventory.cluster_name
    tags = {v.volume_id: points.tags(environment, cluster, point, v) for v in point.volumes if v.volume_id in names}
    client = backup.clients.ec2_once(backup.region)
    return compute.create_snapshots(client, tags, description=f"Rekindle {environment} {point.id}")


def _finish(backup: Backup, point: RestorePoint) -> RestorePoint:
    """Complete: snapshots whole, copies whole, and every artifact of the release mirrored."""
    point = _copied(backup, point)
    if missing := _missing(backup):
        raise Incomplete(
            f"{point.id} is not complete: the mirror lacks {', '.join(missing)}",
            where=f"bucket {backup.stores.mirror_bucket}",
            next_step=f"Run `rekindle apply {backup.inventory.environment}`, which mirrors them, then `backup` again.",
        )
    point = points.completed(point, backup.now())
    backup.journal.append(point, _operation("ended", point, outcome="complete"))
    return point


def _copied(backup: Backup, point: RestorePoint) -> RestorePoint:
    source = backup.clients.ec2(backup.region)
    ids = [v.snapshot_id for v in point.volumes if v.snapshot_id]
    try:
        compute.wait_for_snapshots(source, ids, progress=_telling(backup, "snapshots"))
    except SnapshotLost as error:
        _fail(backup, point, str(error))
        raise
    if backup.stores.region == backup.region:
        return points.copying(point, {v.name: v.snapshot_id or "" for v in point.volumes}, backup.region)
    copies = _copies(backup, point)
    point = points.copying(point, copies, backup.stores.region)
    backup.journal.append(point)
    target = backup.clients.ec2(backup.stores.region)
    compute.wait_for_snapshots(target, list(copies.values()), progress=_telling(backup, "copies"))
    return point


def _copies(backup: Backup, point: RestorePoint) -> dict[str, str]:
    """Copy ids by volume name; those that an earlier run started are found by their tags."""
    environment = backup.inventory.environment
    there = compute.snapshots(backup.clients.ec2(backup.stores.region), tags=points.key_tags(environment, point))
    started = {s.tags.get("Name"): s.snapshot_id for s in there if s.state != "error"}
    return {v.name: started.get(v.name) or _copy(backup, point, v) for v in point.volumes}


def _copy(backup: Backup, point: RestorePoint, volume: VolumeCopy) -> str:
    environment = backup.inventory.environment
    return compute.copy_snapshot(
        backup.clients.ec2_once(backup.stores.region),
        volume.snapshot_id or "",
        backup.region,
        kms_key_arn=backup.stores.kms_key_arn,
        tags=points.tags(environment, backup.inventory.cluster_name, point, volume),
        description=f"Rekindle {environment} {point.id}",
    )


def _fail(backup: Backup, point: RestorePoint, why: str) -> None:
    point = points.failed(point, backup.now())
    backup.journal.append(point, _operation("ended", point, outcome="failed", error=why))


def _thaw_leftovers(backup: Backup, left: RestorePoint) -> None:
    """What a killed backup may have frozen changes again, even before its hosts see to it."""
    names = {v.name for v in left.volumes}
    volumes = [v for v in backup.inventory.volumes if v.name in names]
    try:
        found = mounts.found(backup.hosts, backup.inventory.hosts, _facts(backup, volumes))
    except RekindleError as error:
        backup.tell(f"what {left.id} froze is thawed by its hosts themselves: {error.what}")
    else:
        _thaw_quietly(backup, found, left)


def _thaw_quietly(backup: Backup, found: Sequence[Mount], point: RestorePoint) -> None:
    """Thaws each mount on its own; one that was not frozen, or is not reached, is thawed by its host."""
    for mount in found:
        try:
            freezing.thaw(backup.hosts, [mount], point.id)
        except CommandFailed:  # it was not frozen
            continue
        except RekindleError as error:
            backup.tell(f"{mount.host} is not reached; it thaws {mount.volume} by itself: {error.what}")


def _tidy(backup: Backup) -> None:
    """What points that failed left is deleted, what is of nobody's is told of; neither is the backup's failure."""
    try:
        found = _orphans(backup)
        for orphan in found:
            if orphan.is_of_failed:
                compute.delete_snapshot(backup.clients.ec2(orphan.region), orphan.snapshot_id)
                backup.tell(f"deleted {orphan.snapshot_id} in {orphan.region}: {orphan.point} failed")
        for line in told(o for o in found if not o.is_of_failed):
            backup.tell(line)
    except RekindleError as error:
        backup.tell(f"snapshots that no restore point names may be left: {error.located()}")


def _orphans(backup: Backup) -> tuple[Orphan, ...]:
    regions, environment = (backup.region, backup.stores.region), backup.inventory.environment
    return orphans_of(backup.clients, regions, environment, backup.journal.fold(), backup.now())


def _facts(backup: Backup, volumes: Sequence[Volume]) -> dict[str, VolumeFacts]:
    """EC2's word on each volume, by name; InputError names one that is gone."""
    client = backup.clients.ec2(backup.region)
    found = {facts.volume_id: facts for facts in compute.volumes(client, ids=[v.volume_id for v in volumes])}
    for volume in volumes:
        if volume.volume_id not in found:
            raise InputError(
                f"volume {volume.name} ({volume.volume_id}) does not exist",
                where=f"AWS ec2 in {backup.region}",
                next_step=f"Run `pulumi up --stack {backup.inventory.environment}`, or replay from a restore point.",
            )
    return {volume.name: found[volume.volume_id] for volume in volumes}


def _mounts(backup: Backup, group: Group, facts: Mapping[str, VolumeFacts]) -> tuple[Mount, ...]:
    """What is to be frozen of a group; nothing of one that promises to recover from a crash."""
    if not (backup.is_frozen and group.is_frozen):
        return ()
    return mounts.mounts(backup.hosts, backup.inventory.hosts, facts)


def _refuse_moved(before: Mapping[str, VolumeFacts], after: Mapping[str, VolumeFacts]) -> None:
    moved = [name for name, facts in before.items() if facts.attached_to != after[name].attached_to]
    if moved:
        raise CommandFailed(
            f"{', '.join(moved)} moved to another host while the snapshots were taken",
            next_step="Wait until its task runs again, then run `backup` again.",
        )


def _missing(backup: Backup) -> tuple[str, ...]:
    return tuple(artifact.name for artifact in backup.mirror.missing(backup.artifacts))


def _telling(backup: Backup, what: str) -> Callable[[Sequence[Snapshot]], None]:
    def tell(snapshots: Sequence[Snapshot]) -> None:
        done = sum(s.progress for s in snapshots) // max(len(snapshots), 1)
        backup.tell(f"{what}: {sum(s.state == 'completed' for s in snapshots)} of {len(snapshots)} ({done} %)")

    return tell


def _operation(phase: str, point: RestorePoint, **details: str) -> Operation:
    return Operation.model_validate({"name": NAME, "phase": phase, "details": {"restore_point": point.id, **details}})
