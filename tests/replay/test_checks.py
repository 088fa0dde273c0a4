"""What is asked of volumes before a service starts on them, and of services before the name moves, as tables."""

from typing import Any

import pytest

from rekindle.aws.compute import VolumeFacts
from rekindle.errors import GateFailed, JournalDamaged
from rekindle.replay.checks import require_barrier, require_restored, require_single


def volume(
    volume_id: str,
    name: str = "kafka-1",
    az: str = "us-west-2a",
    state: str = "available",
    snapshot_id: str | None = None,
) -> VolumeFacts:
    return VolumeFacts(
        volume_id=volume_id,
        state=state,
        az=az,
        size_gib=4,
        snapshot_id=snapshot_id,
        attached_to=None,
        device=None,
        tags={"Name": name},
    )


@pytest.mark.parametrize(
    ("others", "named"),
    [
        ([], ()),
        ([volume("vol-2")], ("kafka-1 in us-west-2a", "vol-1", "vol-2")),
        ([volume("vol-2", state="in-use"), volume("vol-3")], ("vol-1", "vol-2", "vol-3")),
        ([volume("vol-2", name="kafka-2")], ()),
        ([volume("vol-2", az="us-west-2b")], ()),  # no agent of the other zone sees it
        ([volume("vol-2", state="deleting"), volume("vol-3", state="deleted")], ()),
    ],
)
def test_a_volume_is_alone_of_its_name_in_its_zone(others: list[VolumeFacts], named: tuple[str, ...]) -> None:
    found = [volume("vol-1"), *others]
    if not named:
        require_single(found)
        return
    with pytest.raises(GateFailed) as failed:
        require_single(found)
    assert all(name in str(failed.value) for name in named)


@pytest.mark.parametrize(
    ("found", "named"),
    [
        ({"kafka-1": "snap-1", "kafka-2": "snap-2"}, None),
        ({"kafka-1": "snap-1", "kafka-2": "snap-1"}, "kafka-2 was made from snap-1, not from snap-2"),
        ({"kafka-1": None, "kafka-2": "snap-2"}, "kafka-1 was made from nothing, not from snap-1"),
        ({"kafka-1": "snap-1"}, "kafka-2 does not exist"),
        ({"kafka-1": "snap-1", "kafka-2": "snap-2", "new-1": None}, None),  # in no restore point
    ],
)
def test_a_volume_is_from_its_own_snapshot(found: dict[str, str | None], named: str | None) -> None:
    restores = {"kafka-1": "snap-1", "kafka-2": "snap-2"}
    facts = {name: volume(f"vol-{name}", name, snapshot_id=snapshot) for name, snapshot in found.items()}
    if named is None:
        require_restored(restores, facts)
        return
    with pytest.raises(GateFailed, match=named):
        require_restored(restores, facts)


def said(offsets: Any) -> dict[str, Any]:
    return {"at": "2026-11-21T03:00:00+00:00", "said": {"offsets": offsets, "name": "not compared"}}


@pytest.mark.parametrize(
    ("promised", "now", "behind"),
    [
        ({"0": 7}, {"0": 7}, None),
        ({"0": 7}, {"0": 8}, None),
        ({"0": 7}, {"0": 6}, "kafka: 0 is 6, and was 7"),
        ({"0": 7}, {}, "kafka: 0 is None, and was 7"),
        ({"0": 7}, {"1": 7}, "kafka: 0 is None, and was 7"),
        ({"0": 7, "1": 7}, {"0": 7, "1": 3}, "kafka: 1 is 3, and was 7"),
        ({"orders": {"0": 7}}, {"orders": {"0": 6}}, "kafka: orders 0 is 6, and was 7"),
        ({"orders": {"0": 7}}, {"orders": 9}, "kafka: orders 0 is None, and was 7"),
        ({"orders": {"0": 7}}, {"payments": {"0": 7}}, "kafka: orders 0 is None, and was 7"),
        ({"0": 7}, {"0": "8"}, "kafka: 0 is 8, and was 7"),  # no number
        ({"0": 0.5}, {"0": 0.4}, "kafka: 0 is 0.4, and was 0.5"),
        ([7, 7], [7, 6], "kafka: 1 is 6, and was 7"),
        ([7, 7], [7], "kafka: 1 is None, and was 7"),
        ({"0": 0}, {}, "kafka: 0 is None, and was 0"),
        ({}, {}, None),
        (None, {}, None),
    ],
)
def test_no_less_came_back_than_was_promised(promised: Any, now: Any, behind: str | None) -> None:
    if behind is None:
        require_barrier({"kafka": said(promised)}, {"kafka": {"offsets": now}})
        return
    with pytest.raises(GateFailed) as failed:
        require_barrier({"kafka": said(promised)}, {"kafka": {"offsets": now}})
    assert behind in failed.value.what
    assert "The public name was not moved" in failed.value.next_step


@pytest.mark.parametrize("now", [{}, {"other": {"offsets": {"0": 9}}}, {"kafka": {}}, {"kafka": []}, {"kafka": None}])
def test_a_group_that_says_nothing_any_more_is_behind(now: Any) -> None:
    with pytest.raises(GateFailed, match="kafka: 0 is None, and was 7"):
        require_barrier({"kafka": said({"0": 7})}, now)


def test_every_group_is_compared() -> None:
    groups = {"kafka": said({"0": 7}), "other": said({"0": 7})}
    with pytest.raises(GateFailed, match="other: 0 is 1, and was 7"):
        require_barrier(groups, {"kafka": {"offsets": {"0": 9}}, "other": {"offsets": {"0": 1}}})


def test_what_a_service_says_beside_what_grows_is_not_compared() -> None:
    require_barrier({"kafka": {"said": {"leader": 3}}}, {"kafka": {"leader": 1}})


@pytest.mark.parametrize("odd", [None, 7, "offsets", [], {}, {"at": "now"}, {"said": None}, {"said": [7]}])
def test_a_barrier_that_is_none_is_damage_and_no_promise_that_was_kept(odd: Any) -> None:
    with pytest.raises(JournalDamaged, match="barrier of kafka"):
        require_barrier({"kafka": odd}, {"kafka": {"offsets": {"0": 7}}})
