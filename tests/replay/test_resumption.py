"""A replay that is cut, in every phase and on both sides of every entry, goes on and ends as one that was not."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from pydantic import JsonValue
from rich.console import Console
from test_planning import NOON, POINT, READY

from rekindle.errors import Refused
from rekindle.journal.entries import RestorePoint
from rekindle.journal.holder import Holder
from rekindle.journal.journal import Journal
from rekindle.journal.lock import Lock
from rekindle.journal.store import DirectoryStore
from rekindle.progress import Progress
from rekindle.replay.carry_out import Action, carry_out
from rekindle.replay.ledger import ANSWERS_SINCE, Ledger
from rekindle.replay.planning import Phase, ReplayPlan, plan_of
from rekindle.replay.report import ReplayReport
from rekindle.replay.situation import Choices
from rekindle.secrets import Keyring

KEYRING = Keyring(b"k" * 32)
NO_CHOICES = Choices()


class Killed(BaseException):
    """Stands for kill -9: nothing that runs afterwards may tidy up."""


@dataclass
class World:
    """What phases make true, and how often each was begun."""

    store: DirectoryStore
    built: list[Phase] = field(default_factory=list)
    cut: tuple[Phase, str] | None = None
    at: datetime = NOON
    point: RestorePoint | None = POINT
    tells: bool = True  # from when the name was answered

    def now(self) -> datetime:
        self.at += timedelta(seconds=1)
        return self.at

    def actions(self) -> Mapping[Phase, Action]:
        return {phase: lambda phase=phase: self.make(phase) for phase in Phase}

    def make(self, phase: Phase) -> dict[str, JsonValue]:
        if self.cut == (phase, "before"):
            raise Killed
        self.built.append(phase)
        if self.cut == (phase, "after"):
            raise Killed
        return {ANSWERS_SINCE: self.at.isoformat()} if phase is Phase.PUBLIC_NAME and self.tells else {}

    @contextmanager
    def journal(self) -> Iterator[Journal]:
        with Lock.acquire(self.store, "dev-dr", KEYRING, Holder.of_this_process("replay")) as lock:
            yield Journal.open(self.store, "dev-dr", KEYRING, lock=lock, clock=self.now)

    def run(self, plan: ReplayPlan, choices: Choices = NO_CHOICES, *, is_new: bool = False) -> ReplayReport:
        with self.journal() as journal:
            ledger = Ledger.read(journal)
            resumed = replace(plan, is_resumed=ledger.begun is not None and not is_new)
            return carry_out(
                resumed,
                choices,
                self.actions(),
                ledger,
                Progress(Console(file=StringIO())),
                restore_point=self.point,
                started=self.now(),
                folder="release",
                now=self.now,
            )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(DirectoryStore(tmp_path))


PLAN = plan_of(READY, Choices())


def test_phases_are_done_once_and_in_their_order(world: World) -> None:
    report = world.run(PLAN, Choices(failed_since=NOON - timedelta(minutes=1)))
    assert world.built == list(Phase)
    assert [p.name for p in report.phases] == list(Phase)
    assert report.rpo_seconds == 540
    assert report.rto_seconds is not None
    assert 60 < report.rto_seconds < 60 + report.replay_seconds


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("side", ["before", "after"])
def test_a_cut_in_any_phase_is_gone_on_from(world: World, phase: Phase, side: str) -> None:
    world.cut = (phase, side)
    with pytest.raises(Killed):
        world.run(PLAN, Choices(failed_since=NOON))
    world.cut = None
    report = world.run(PLAN)
    expected = list(Phase)
    if side == "after":
        expected.insert(expected.index(phase), phase)
    assert world.built == expected
    assert report.failed_since == NOON.isoformat()
    assert len(report.phases) == len(Phase)


def test_the_clock_of_a_cut_replay_runs_from_its_first_beginning(world: World) -> None:
    world.cut = (Phase.CHECKS, "before")
    with pytest.raises(Killed):
        world.run(PLAN)
    world.cut, world.at = None, world.at + timedelta(hours=1)
    report = world.run(PLAN)
    assert report.replay_seconds > 3600
    assert next(p.seconds for p in report.phases if p.name == Phase.CHECKS) > 3600


def test_it_reports_what_it_began_with_and_what_the_services_had_acknowledged(world: World) -> None:
    report = world.run(PLAN, Choices(accept_loss=frozenset({"b", "a"})))
    assert (report.environment, report.recovery_environment, report.epoch) == ("dev", "dev-dr", 1)
    assert (report.release, report.restore_point, report.barrier) == ("r1", "rp-1", POINT.barrier)
    assert (report.failed_since, report.rto_seconds, report.accepted_losses) == (None, None, ("a", "b"))
    assert report.started < report.answers_since < report.ended


def test_without_a_restore_point_it_promises_nothing(world: World) -> None:
    world.point = None
    empty = plan_of(replace(READY, restore_point=None), Choices(accept_loss=frozenset({"restore-point"})))
    report = world.run(empty)
    assert (report.restore_point, report.barrier, report.barrier_at, report.rpo_seconds) == (None, {}, None, None)


def test_where_nobody_told_when_the_name_was_answered_it_was_by_the_end(world: World) -> None:
    world.tells = False
    report = world.run(PLAN, Choices(failed_since=NOON))
    assert report.answers_since == report.ended
    assert report.rto_seconds


def test_a_replay_that_is_over_is_on_record(world: World) -> None:
    report = world.run(PLAN)
    with world.journal() as journal:
        assert Ledger.read(journal).report == report


def test_begun_again_all_phases_are_to_be_done(world: World) -> None:
    world.cut = (Phase.CHECKS, "before")
    with pytest.raises(Killed):
        world.run(PLAN)
    with world.journal() as journal:
        ledger = Ledger.read(journal)
        assert ledger.begun
        ledger.begin("dev", ledger.begun)
        assert ledger.done == {}
    with world.journal() as journal:
        assert Ledger.read(journal).done == {}


def test_a_second_loss_is_a_replay_of_its_own(world: World) -> None:
    world.run(PLAN)
    report = world.run(replace(PLAN, epoch=2), is_new=True)
    assert (world.built, report.epoch) == ([*Phase, *Phase], 2)


def test_a_plan_with_problems_leaves_no_trace(world: World) -> None:
    with pytest.raises(Refused):
        world.run(plan_of(replace(READY, release=None), Choices()))
    assert world.built == []
    with world.journal() as journal:
        assert Ledger.read(journal).begun is None
