"""A replay from a journal's URL alone: real Pulumi and a real journal, on an AWS API of this process."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from lost_region import AWAY, BARRIER, VOLUMES, Cluster, Killed, LostRegion, api, lost_region
from moto.moto_api._internal.models import moto_api_backend

from rekindle import replay
from rekindle.errors import GateFailed, InputError, Refused, Superseded
from rekindle.journal.entries import Fenced, SupersededBy

pytestmark = pytest.mark.integration


@pytest.fixture
def region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LostRegion]:
    with api(monkeypatch):
        yield lost_region(tmp_path, monkeypatch)
    moto_api_backend.reset()


def test_the_lost_environment_stands_again_and_is_superseded(region: LostRegion) -> None:
    cluster = Cluster()
    plan = replay.plan(region.request())
    assert not plan.problems
    assert plan.restores == region.copies

    report = region.run(cluster, failed_since=BARRIER.replace(hour=4))
    assert cluster.calls == ["bootstrap", "apply kafka", "apply all", "barriers"]
    assert cluster.known == {f"/{name}" for name in VOLUMES}
    made = region.clients.ec2(AWAY).describe_volumes()["Volumes"]
    assert {v["SnapshotId"] for v in made} == set(region.copies.values())
    assert {v["AvailabilityZone"] for v in made} == {f"{AWAY}{az}" for az in "abc"}
    assert report.rpo_seconds == 3600
    assert report.barrier_at == BARRIER.isoformat()

    with pytest.raises(Superseded, match="dev-dr, epoch 1"):
        region.journal("dev").fold().require_in_force("dev")
    with region.writing("dev-dr") as (journal, secrets):
        assert secrets.get("orders/token").reveal() == "planted"
        assert journal.fold().release == region.release
        assert replay.last(journal) == report
    assert (region.taken_over("dev-dr"), region.taken_over("dev")) == ([1.0], [0.0])
    kept = (region.folder / "empty" / "release" / "stacks" / "Pulumi.dev-dr.yaml").read_text()
    assert 'rekindle:standby: "false"' in kept

    again = Cluster()
    assert region.run(again, directory="elsewhere") == report
    assert again.calls == []


@pytest.mark.parametrize("cut", ["bootstrap", "barriers"])
def test_killed_it_goes_on_from_another_directory(region: LostRegion, cut: str) -> None:
    with pytest.raises(Killed):
        region.run(Cluster(cut=cut))
    cluster = Cluster()
    report = region.run(cluster, directory="another")
    whole = ["bootstrap", "apply kafka", "apply all", "barriers"]
    assert cluster.calls == whole[whole.index(cut) :]
    assert len(region.clients.ec2(AWAY).describe_volumes()["Volumes"]) == len(VOLUMES)
    assert report.epoch == 1
    kept = (region.folder / "another" / "release" / "stacks" / "Pulumi.dev-dr.yaml").read_text()
    assert 'rekindle:standby: "false"' in kept


def test_what_is_missing_is_named_and_nothing_is_changed(region: LostRegion) -> None:
    region.clients.ec2(AWAY).delete_snapshot(SnapshotId=region.copies["kafka-2"])
    cluster = Cluster()
    with pytest.raises(Refused, match="kafka-2"):
        region.run(cluster)
    assert region.journal("dev").fold().superseded is None
    assert not region.clients.ec2(AWAY).describe_volumes()["Volumes"]

    region.run(cluster, accept_loss=frozenset({"kafka-2"}))
    assert cluster.known == {"/kafka-1", "/kafka-3"}
    made = {v["Tags"][0]["Value"]: v for v in region.clients.ec2(AWAY).describe_volumes()["Volumes"]}
    assert len(made) == len(VOLUMES)


def test_no_service_starts_while_another_volume_has_the_name_of_a_restored_one(region: LostRegion) -> None:
    tags = {"ResourceType": "volume", "Tags": [{"Key": "Name", "Value": "kafka-2"}]}
    region.clients.ec2(AWAY).create_volume(AvailabilityZone=f"{AWAY}b", Size=4, TagSpecifications=[tags])
    cluster = Cluster()
    with pytest.raises(GateFailed, match="kafka-2 in us-west-2b"):
        region.run(cluster)
    assert cluster.calls == ["bootstrap"]


def test_less_than_the_barrier_leaves_the_public_name_where_it_is(region: LostRegion) -> None:
    with pytest.raises(GateFailed, match="was 7"):
        region.run(Cluster(said={"offsets": {"0": 6}}))
    assert region.taken_over("dev-dr") == []


def test_an_environment_that_runs_something_is_not_built_onto(region: LostRegion) -> None:
    region.run(Cluster())
    with region.writing("dev"), pytest.raises(InputError, match="not the place of a journal"):
        replay.plan(replay.Request(**{**vars(region.request()), "journal": "s3://journal"}))
    other = region.request()
    with region.writing("qa") as (journal, _):
        journal.append(*_history_of(region))
        region.releases("qa").save(region.releases("dev").load(region.release))
    with pytest.raises(Refused, match="master-1"):
        replay.run(replay.Request(**{**vars(other), "environment": "qa"}), Cluster())


def test_a_failback_lifts_the_mark_of_what_it_rebuilt_and_ends_the_replay_before_it(region: LostRegion) -> None:
    with region.writing("dev-dr") as (journal, _):
        journal.append(SupersededBy(environment="dev", epoch=1))
    region.run(Cluster())
    region.journal("dev-dr").fold().require_in_force("dev-dr")
    with region.writing("dev") as (journal, _):
        journal.append(Fenced(epoch=1))  # as the failback onto it does
    cluster = Cluster()
    with pytest.raises(Refused, match="master-1"):
        region.run(cluster, directory="elsewhere")
    assert cluster.calls == []


def _history_of(region: LostRegion):  # type: ignore[no-untyped-def]
    folded = region.journal("dev").fold()
    return [folded.releases[-1], *folded.restore_points.values()]
