"""The phases of a replay, on the state that each leaves behind: what is skipped, dropped or done too early shows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from disaster import AWAY, BARRIER, VOLUMES, Cuts, Disaster, disaster
from moto import mock_aws

from rekindle import replay
from rekindle.aws.clients import Clients
from rekindle.environment import load
from rekindle.errors import Superseded
from rekindle.journal.entries import ReleaseEntry

EVERYTHING = {"edge": True, "kafka": True, "mailer": True, "orders": True}
SUSPENDED = EVERYTHING | {"mailer": False}
RESTORED = frozenset(f"/{name}" for name in VOLUMES)
Done: TypeAlias = tuple[Disaster, replay.ReplayReport]
IN_ORDER: list[tuple[str, dict[str, Any]]] = [  # what is made, and what must be so by then
    ("up", {"marked": True, "stands": False, "leads": "dev"}),
    ("bootstrap", {"stands": True, "secrets": True, "services": {}, "leads": "dev"}),
    ("apply some", {"up": True, "services": {}, "leads": "dev"}),
    ("apply all", {"services": {"kafka": True}, "leads": "dev"}),
    ("barriers", {"services": SUSPENDED, "checked": False, "leads": "dev"}),
    ("switch", {"services": SUSPENDED, "checked": True, "leads": "dev"}),
    ("answers", {"services": SUSPENDED, "leads": "dev-dr"}),
    ("apply all", {"services": SUSPENDED, "leads": "dev-dr"}),
]


@pytest.fixture(scope="module")
def done(clients: Clients, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    """A replay that nothing disturbed, and its report; only looked at."""
    with mock_aws(), disaster(tmp_path_factory.mktemp("done"), clients) as world:
        world.looks = True
        yield world, world.run(failed_since=BARRIER.replace(hour=4))


def test_each_phase_finds_done_what_must_be_done_before_it(done: Done) -> None:
    world, _ = done
    assert [what for what, _ in world.seen] == [what for what, _ in IN_ORDER]
    for (what, was), (_, must) in zip(world.seen, IN_ORDER, strict=True):
        assert {name: was[name] for name in must} == must, what
    assert world.clusters["dev-dr"].services == EVERYTHING


def test_the_lost_environment_is_superseded_and_the_new_one_is_in_force(done: Done) -> None:
    world, _ = done
    with pytest.raises(Superseded, match="dev-dr, epoch 1"):
        world.reading("dev").fold().require_in_force("dev")
    world.reading("dev-dr").fold().require_in_force("dev-dr")


def test_the_new_environment_has_the_release_and_the_secrets_for_its_own(done: Done) -> None:
    world, report = done
    assert world.secrets("dev-dr") == {"orders/token": "planted"}
    used = [e for e in world.reading("dev-dr").entries() if isinstance(e, ReleaseEntry)]
    assert [(e.release, e.command) for e in used] == [(world.release, "replay")]
    assert report.release == world.releases("dev-dr").load(world.release).digest  # under its own key
    assert not world.reading("dev-dr").fold().operations  # what began has ended


def test_every_volume_is_from_its_own_snapshot_and_no_service_may_begin_it_empty(done: Done) -> None:
    world, _ = done
    found = world.clients.ec2(AWAY).describe_volumes()["Volumes"]
    assert {v["Tags"][0]["Value"]: v["SnapshotId"] for v in found} == world.copies
    assert set(world.clusters["dev-dr"].known) == {RESTORED}  # the data services' start, and both later ones


def test_what_must_be_kept_is_in_the_folder(done: Done) -> None:
    world, report = done
    kept = load(Path(report.folder), "dev-dr")
    assert (kept.standby, kept.restore) == (False, world.copies)


def test_the_report_says_from_when_what_and_how_long(done: Done) -> None:
    world, report = done
    assert (report.environment, report.recovery_environment, report.epoch) == ("dev", "dev-dr", 1)
    assert (report.restore_point, report.barrier_at) == ("rp-1", BARRIER.isoformat())
    assert report.barrier["kafka"]["said"] == {"offsets": {"0": 7}}
    assert report.rpo_seconds == 3600
    assert report.failed_since == BARRIER.replace(hour=4).isoformat()
    assert report.started < report.answers_since < report.ended
    assert report.rto_seconds
    assert report.is_unprotected
    assert replay.last(world.reading("dev-dr")) == report


def test_run_again_a_replay_that_is_over_is_only_reported(done: Done) -> None:
    world, report = done
    world.cuts, before = Cuts(), world.clusters["dev-dr"].known.copy()
    assert world.run("elsewhere") == report
    assert {what.split()[1] for what in world.cuts.made} == {"lock"}
    assert world.clusters["dev-dr"].known == before
