"""Which snapshots cost and restore nothing: by their age, and by what the journal says of the point they are of."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from rekindle.aws import compute
from rekindle.aws.clients import Clients
from rekindle.aws.compute import Snapshot
from rekindle.backup import points
from rekindle.backup.orphans import Orphan, orphans_of, told
from rekindle.inventory import Volume
from rekindle.journal.fold import Folded

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
HOME, AWAY = "us-east-1", "us-west-2"
BEGUN = points.begun(NOW, "r1", [Volume(name="a", volume_id="vol-a", az="a", size_gib=4, service="kafka")])
TAKEN = points.snapshotted(BEGUN, {"vol-a": "snap-a"}, {}, points.FROZEN)
WHOLE = points.completed(points.copying(TAKEN, {"a": "copy-a"}, AWAY), NOW)
FAILED = points.failed(TAKEN, NOW)


def snapshot(id: str, age: timedelta, point: str = "") -> Snapshot:
    tags = {points.ENVIRONMENT_TAG: "dev", points.POINT_TAG: point}
    return Snapshot(
        snapshot_id=id,
        volume_id="vol-a",
        state="completed",
        progress=100,
        size_gib=4,
        started=NOW - age,
        encrypted=True,
        tags=tags if point else {},
    )


class Regions:
    """EC2 of each region is its name."""

    def ec2(self, region: str) -> str:
        return region


DAY, SECOND = timedelta(days=1), timedelta(seconds=1)


@pytest.mark.parametrize(
    ("found", "known", "is_orphan"),
    [
        (snapshot("snap-x", DAY + SECOND), (), True),
        (snapshot("snap-x", DAY), (), False),  # perhaps of a command that the journal does not know yet
        (snapshot("snap-x", DAY + SECOND, "rp-of-nobody"), (), True),
        (snapshot("snap-a", 9 * DAY), (WHOLE,), False),
        (snapshot("copy-a", 9 * DAY), (WHOLE,), False),
        (snapshot("snap-a", 9 * DAY), (TAKEN,), False),
        (snapshot("snap-x", 9 * DAY, BEGUN.id), (BEGUN,), False),  # to be finished
        (snapshot("snap-x", 9 * DAY, WHOLE.id), (WHOLE,), True),  # made twice, its answer lost
        (snapshot("snap-a", 9 * DAY, FAILED.id), (FAILED,), True),
    ],
)
def test_an_orphan_is_old_and_named_by_no_point_that_counts(
    monkeypatch: pytest.MonkeyPatch, found: Snapshot, known: Any, is_orphan: bool
) -> None:
    monkeypatch.setattr(compute, "snapshots", lambda region, tags: [found] if region == AWAY else [])
    folded = Folded(restore_points={point.id: point for point in known})
    orphans = orphans_of(cast(Clients, Regions()), [AWAY, HOME, AWAY], "dev", folded, NOW)
    assert [o.snapshot_id for o in orphans] == ([found.snapshot_id] if is_orphan else [])
    for orphan in orphans:
        assert (orphan.region, orphan.size_gib) == (AWAY, 4)
        assert orphan.point == found.tags.get(points.POINT_TAG, "")
        assert orphan.is_of_failed == (FAILED in known)


def test_each_region_is_asked_once_for_the_environments_own(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, dict[str, str]]] = []
    monkeypatch.setattr(compute, "snapshots", lambda region, tags: asked.append((region, tags)) or [])
    assert orphans_of(cast(Clients, Regions()), [AWAY, HOME, AWAY], "dev", Folded(), NOW) == ()
    assert asked == [(HOME, {points.ENVIRONMENT_TAG: "dev"}), (AWAY, {points.ENVIRONMENT_TAG: "dev"})]


def test_a_region_with_orphans_is_one_line() -> None:
    def orphan(id: str, region: str) -> Orphan:
        return Orphan(snapshot_id=id, region=region, size_gib=4, point="", is_of_failed=False)

    assert told([orphan("snap-1", HOME), orphan("snap-2", AWAY), orphan("snap-3", HOME)]) == (
        "no restore point names 2 snapshots in us-east-1 (8 GiB): snap-1, snap-3",
        "no restore point names 1 snapshots in us-west-2 (4 GiB): snap-2",
    )
    assert told([]) == ()
