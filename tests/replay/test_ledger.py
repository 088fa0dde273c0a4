"""Where a replay stands by its entries, and that odd ones are damage which is named, never a traceback."""

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_planning import BEGUN, NOON
from test_survey import REPORT

from rekindle.errors import JournalDamaged
from rekindle.journal.entries import REPLAY, Entry, Operation, ReleaseEntry
from rekindle.journal.fold import Folded, fold
from rekindle.replay.ledger import ANSWERS_SINCE, PHASE, Ledger
from rekindle.replay.planning import Phase
from rekindle.replay.report import PhaseTime, ReplayReport
from rekindle.replay.situation import Begun


@dataclass
class Written:
    """A journal that holds these entries, and takes more."""

    held: list[Entry]
    environment: str = "dev-dr"

    def fold(self) -> Folded:
        return fold(self.held)  # type: ignore[arg-type]

    def append(self, *entries: Entry) -> None:
        self.held += [e.model_copy(update={"at": NOON + timedelta(minutes=len(self.held))}) for e in entries]


def ledger(*held: Entry) -> Ledger:
    return Ledger.read(Written(list(held)))  # type: ignore[arg-type]


def operation(name: str, phase: str, details: Any = None, minute: int = 0) -> Operation:
    entry = Operation.model_validate({"name": name, "phase": phase, "details": details or {}})
    return entry.model_copy(update={"at": NOON + timedelta(minutes=minute)})


def written(begun: Begun = BEGUN) -> Ledger:
    """Begun, on record."""
    made = ledger()
    made.begin("dev", begun)
    return made


@pytest.mark.parametrize(
    "begun",
    [
        BEGUN,
        replace(BEGUN, failed_since=NOON - timedelta(hours=1), restore_point=None, restores={}, accepted=()),
    ],
)
def test_what_a_replay_began_with_is_read_as_it_was_written(begun: Begun) -> None:
    again = Ledger.read(written(begun).journal)
    assert (again.begun, again.attempt, again.done, again.report) == (begun, 1, {}, None)


def test_a_phase_counts_from_its_first_beginning_to_its_end() -> None:
    again = Ledger.read(written().journal)
    again._append(PHASE + Phase.CLUSTER, "begun", {})
    assert Phase.CLUSTER not in again.done
    with again.phase(Phase.CLUSTER):
        pass
    assert again.done == {Phase.CLUSTER: PhaseTime(name="cluster", seconds=120)}
    assert Ledger.read(again.journal).done == again.done


def test_a_phase_that_fails_is_not_done() -> None:
    made = written()
    with pytest.raises(RuntimeError), made.phase(Phase.CLUSTER):
        raise RuntimeError
    assert Ledger.read(made.journal).done == {}


def test_when_the_name_was_answered_is_kept_with_its_phase() -> None:
    made = written()
    with made.phase(Phase.PUBLIC_NAME) as facts:
        facts[ANSWERS_SINCE] = NOON.isoformat()
    assert made.answers_since == Ledger.read(made.journal).answers_since == NOON


def test_begun_again_nothing_is_done_and_nothing_is_reported() -> None:
    made = written()
    with made.phase(Phase.PUBLIC_NAME) as facts:
        facts[ANSWERS_SINCE] = NOON.isoformat()
    made.finish(REPORT)
    made.begin("dev", replace(BEGUN, epoch=2))
    for known in (made, Ledger.read(made.journal)):
        assert (known.attempt, known.done, known.answers_since, known.report) == (2, {}, None, None)
        assert known.begun == replace(BEGUN, epoch=2)


def test_a_report_is_read_as_it_was_written() -> None:
    made = written()
    full = replace(
        REPORT, phases=(PhaseTime(name="cluster", seconds=1.5),), accepted_losses=("a",), barrier={"kafka": {"said": 1}}
    )
    made.finish(full)
    assert made.report == Ledger.read(made.journal).report == full


def test_entries_of_other_work_are_none_of_its_business() -> None:
    others = (
        ReleaseEntry(release="r", command="apply", rekindle_version="1"),
        operation("pulumi dev-dr x", "begun", {"epoch": "odd"}),
        operation("replays of old", "ended"),
        operation("backup", "ended"),
    )
    assert ledger(*others).begun is None


GOOD = {
    "environment": "dev",
    "attempt": 1,
    "epoch": 1,
    "release": "r1",
    "restore_point": "rp-1",
    "restores": {"kafka-1": "snap-1"},
    "started": NOON.isoformat(),
    "failed_since": None,
    "accepted": [],
}


@pytest.mark.parametrize(
    "odd",
    [
        operation(REPLAY, "begun"),
        *(
            operation(REPLAY, "begun", {k: v for k, v in GOOD.items() if k != key})
            for key in GOOD
            if key != "environment"
        ),
        operation(REPLAY, "begun", GOOD | {"epoch": "first"}),
        operation(REPLAY, "begun", GOOD | {"attempt": 0}),
        operation(REPLAY, "begun", GOOD | {"restores": ["snap-1"]}),
        operation(REPLAY, "begun", GOOD | {"restores": {"kafka-1": None}}),
        operation(REPLAY, "begun", GOOD | {"started": "yesterday"}),
        operation(REPLAY, "begun", GOOD | {"started": "2026-11-21T03:00:00"}),  # of no time zone
        operation(REPLAY, "begun", GOOD | {"accepted": "all"}),
        operation(REPLAY, "ended"),
        operation(REPLAY, "ended", {"report": None}),
        operation(REPLAY, "ended", {"report": {"environment": "dev"}}),
        operation(REPLAY, "ended", {"report": REPORT.document() | {"phases": [{"name": 1}]}}),
        operation(PHASE + "unheard of", "begun"),
        operation(PHASE + "cluster", "ended"),  # and never began
    ],
)
def test_an_odd_entry_is_named(odd: Operation) -> None:
    with pytest.raises(JournalDamaged) as damaged:
        ledger(odd)
    assert "dev-dr" in str(damaged.value) or "report" in str(damaged.value)
    assert damaged.value.next_step


def test_an_odd_moment_is_named() -> None:
    begun = operation(PHASE + "public name", "begun")
    with pytest.raises(JournalDamaged, match="public name ended"):
        ledger(begun, operation(PHASE + "public name", "ended", {ANSWERS_SINCE: "soon"}))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from([REPLAY, *(PHASE + phase for phase in Phase), "replay: x", "replay:"]) | st.text(max_size=9)
DETAILS = st.dictionaries(st.sampled_from([*GOOD, "report", ANSWERS_SINCE]), JSON, max_size=9) | st.builds(
    lambda key, value: GOOD | {key: value}, st.sampled_from(list(GOOD)), JSON
)
OPERATIONS = st.builds(operation, NAMES, st.sampled_from(["begun", "ended"]), DETAILS)


@settings(max_examples=60)
@given(st.lists(OPERATIONS, max_size=4))
def test_whatever_operations_say_it_is_read_or_named(held: list[Operation]) -> None:
    with suppress(JournalDamaged):
        assert isinstance(ledger(*held), Ledger)


@settings(max_examples=60)
@given(JSON | st.builds(lambda key, value: REPORT.document() | {key: value}, st.sampled_from([*vars(REPORT)]), JSON))
def test_whatever_a_report_says_it_is_read_or_named(document: Any) -> None:
    with suppress(JournalDamaged):
        assert isinstance(ReplayReport.of_document(document), ReplayReport)
