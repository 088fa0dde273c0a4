"""A restore point on its way, and which volumes make a group."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rekindle.backup import barriers, points
from rekindle.backup.barriers import Group
from rekindle.inventory import Inventory, Ssh, Volume
from rekindle.journal.entries import RestorePoint
from rekindle.journal.fold import Folded
from rekindle.packages import BackupSpec, BarrierSpec

AT = datetime(2026, 11, 21, 3, 0, 0, 999999, tzinfo=UTC)


def volume(name: str, service: str = "kafka") -> Volume:
    return Volume(name=name, volume_id=f"vol-{name}", az="us-east-1a", size_gib=4, service=service)


VOLUMES = (volume("a"), volume("b"), volume("c", "cassandra"))
BEGUN = points.begun(AT, "r1", VOLUMES[:2])
TAKEN = points.snapshotted(BEGUN, {"vol-a": "snap-a", "vol-b": "snap-b"}, {"kafka": 1}, points.FROZEN)
COPYING = points.copying(TAKEN, {"a": "copy-a", "b": "copy-b"}, "us-west-2")
COMPLETE = points.completed(COPYING, AT + timedelta(seconds=9))
FAILED = points.failed(TAKEN, AT)


def test_it_begins_with_nothing_of_it_proven() -> None:
    assert BEGUN.id == "rp-20261121T030000999Z"
    assert (BEGUN.status, BEGUN.consistency, BEGUN.release, BEGUN.started) == ("pending", "unproven", "r1", AT)
    assert [(v.name, v.volume_id, v.az, v.size_gib, v.service, v.state) for v in BEGUN.volumes] == [
        ("a", "vol-a", "us-east-1a", 4, "kafka", "pending"),
        ("b", "vol-b", "us-east-1a", 4, "kafka", "pending"),
    ]
    assert (BEGUN.ended, BEGUN.size_bytes) == (None, None)


def test_each_step_keeps_what_was_known() -> None:
    assert (TAKEN.status, TAKEN.consistency, TAKEN.barrier) == ("pending", "frozen", {"kafka": 1})
    assert [(v.snapshot_id, v.copy_id, v.state) for v in TAKEN.volumes] == [
        ("snap-a", None, "snapshotted"),
        ("snap-b", None, "snapshotted"),
    ]
    assert [(v.snapshot_id, v.copy_id, v.copy_region, v.state) for v in COPYING.volumes] == [
        ("snap-a", "copy-a", "us-west-2", "copying"),
        ("snap-b", "copy-b", "us-west-2", "copying"),
    ]
    assert COPYING.status == "pending"
    assert (COMPLETE.status, COMPLETE.ended, COMPLETE.size_bytes) == ("complete", AT + timedelta(seconds=9), 8 * 2**30)
    assert {v.state for v in COMPLETE.volumes} == {"complete"}
    assert (FAILED.status, FAILED.ended, FAILED.volumes) == ("failed", AT, TAKEN.volumes)


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        (BEGUN, False),
        (TAKEN, True),
        (COPYING, True),
        (TAKEN.model_copy(update={"consistency": points.CRASH}), True),
        (TAKEN.model_copy(update={"consistency": points.UNPROVEN}), False),
        (TAKEN.model_copy(update={"volumes": (TAKEN.volumes[0], BEGUN.volumes[1])}), False),
    ],
)
def test_it_is_worth_finishing_when_all_its_snapshots_are_of_one_moment(point: RestorePoint, expected: bool) -> None:
    assert points.is_of_one_moment(point) is expected


def folded(*found: RestorePoint) -> Folded:
    return Folded(restore_points={point.id: point for point in found})


def later(point: RestorePoint, name: str, hours: int) -> RestorePoint:
    return point.model_copy(update={"id": name, "started": AT + timedelta(hours=hours)})


def test_those_left_pending_are_unfinished_oldest_first() -> None:
    found = folded(later(TAKEN, "1", 1), COMPLETE, later(FAILED, "2", 2), later(BEGUN, "3", 3))
    assert [point.id for point in points.unfinished(found)] == ["1", "3"]


def test_the_latest_is_the_complete_one_that_began_last() -> None:
    assert points.latest(folded()) is None
    assert points.latest(folded(BEGUN, later(FAILED, "x", 1))) is None
    found = folded(later(COMPLETE, "new", 2), later(COMPLETE, "old", 1), later(TAKEN, "pending", 3))
    assert getattr(points.latest(found), "id", None) == "new"


@pytest.mark.parametrize(
    ("barrier", "expected"),
    [
        ({}, AT),
        ({"kafka": {"at": "2026-11-21T03:00:05+00:00"}}, AT.replace(second=5, microsecond=0)),
        (
            {"a": {"at": "2026-11-21T03:00:05+00:00"}, "b": {"at": "2026-11-21T03:00:04+00:00"}},
            AT.replace(second=4, microsecond=0),
        ),
        *(({"a": odd}, AT) for odd in ("odd", {"said": 1}, {"at": "then"}, {"at": 7}, {"at": "2026-11-21T03:00:05"})),
    ],
)
def test_what_it_holds_is_counted_from_the_earliest_barrier(barrier: dict[str, Any], expected: datetime) -> None:
    assert points.barrier_at(TAKEN.model_copy(update={"barrier": barrier})) == expected


def test_a_group_has_the_volumes_that_its_package_names() -> None:
    inventory = Inventory(
        environment="dev", region=None, cluster_name="dev", hosts=(), volumes=VOLUMES, ssh=Ssh(user="admin")
    )
    asked: list[BarrierSpec] = []

    def ask(spec: BarrierSpec) -> Mapping[str, Any]:
        asked.append(spec)
        return {"offsets": 1}

    spec = BarrierSpec(service="orders", path="/barrier")
    packages: Any = [
        package("kafka", BackupSpec(volumes=("b", "a"), barrier=spec)),
        package("web", None),
        package("cassandra", BackupSpec(volumes=("c", "none"), consistency="crash")),
    ]
    kafka, cassandra = barriers.groups_of(packages, inventory, ask)
    assert (kafka.name, kafka.volumes, kafka.is_frozen) == ("kafka", VOLUMES[:2], True)
    assert (cassandra.name, cassandra.volumes, cassandra.is_frozen) == ("cassandra", VOLUMES[2:], False)
    assert cassandra.barrier is None
    assert not asked, "asked before its turn"
    assert kafka.barrier
    assert kafka.barrier() == {"offsets": 1}
    assert asked == [spec]


class Packaged:
    """A package, as far as a group looks at it."""

    def __init__(self, name: str, backup: BackupSpec | None) -> None:
        self.name, self.spec, self.backup = name, self, backup


def package(name: str, backup: BackupSpec | None) -> Packaged:
    return Packaged(name, backup)


def test_a_barrier_is_noted_with_the_moment_before_it_was_asked() -> None:
    asked = []

    def now() -> datetime:
        asked.append("the clock")
        return AT

    def barrier() -> Mapping[str, Any]:
        asked.append("the service")
        return {"offsets": {"0": 7}}

    group = Group(name="kafka", volumes=VOLUMES[:2], barrier=barrier)
    assert barriers.noted(group, now) == {"kafka": {"at": AT.isoformat(), "said": {"offsets": {"0": 7}}}}
    assert asked == ["the clock", "the service"]
    assert barriers.noted(Group(name="web", volumes=()), now) == {}


def test_no_volume_is_left_out() -> None:
    declared = Group(name="kafka", volumes=VOLUMES[:1], is_frozen=False)
    found = barriers.completed([declared], VOLUMES)
    assert [(g.name, [v.name for v in g.volumes], g.is_frozen) for g in found] == [
        ("kafka", ["a"], False),
        ("cassandra", ["c"], True),
        ("kafka", ["b"], True),
    ]
    assert barriers.completed([], VOLUMES[:2]) == (Group(name="kafka", volumes=VOLUMES[:2]),)
    assert all(group.barrier is None for group in found)
