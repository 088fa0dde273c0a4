"""Where a replay stands, by the journal of the environment that it builds."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import AwareDatetime, PositiveInt, TypeAdapter, ValidationError

from rekindle.errors import JournalDamaged
from rekindle.journal.entries import REPLAY, Operation
from rekindle.journal.journal import Journal
from rekindle.replay.planning import Phase
from rekindle.replay.report import PhaseTime, ReplayReport
from rekindle.replay.situation import Begun

PHASE = f"{REPLAY}: "
ANSWERS_SINCE = "answers_since"  # a fact of the phase `public name`
_BEGUN, _ATTEMPT = TypeAdapter(Begun), TypeAdapter(PositiveInt)
_MOMENT = TypeAdapter(AwareDatetime)


@dataclass
class Ledger:
    """The newest replay in a journal: what it began with, its phases, its report."""

    journal: Journal
    begun: Begun | None = None  # what it began with; None: there was none
    attempt: int = 0  # how often one began
    first: dict[Phase, datetime] = field(default_factory=dict)  # when each phase first began
    done: dict[Phase, PhaseTime] = field(default_factory=dict)
    answers_since: datetime | None = None  # as the phase found out that moved the public name
    report: ReplayReport | None = None

    @classmethod
    def read(cls, journal: Journal) -> "Ledger":
        """The newest replay that the journal tells of; JournalDamaged for entries that are none of a replay's."""
        ledger = cls(journal)
        ledger._take(journal.fold().replay)
        return ledger

    def begin(self, environment: str, begun: Begun) -> None:
        """The replay is on record before it changes anything; begun again, all its phases are to be done."""
        known = _BEGUN.dump_python(begun, mode="json")
        self._append(REPLAY, "begun", {"environment": environment, "attempt": self.attempt + 1, **known})

    @contextmanager
    def phase(self, phase: Phase) -> Iterator[dict[str, Any]]:
        """A phase between two entries; what is put into the dictionary is kept with its end."""
        facts: dict[str, Any] = {}
        self._append(PHASE + phase, "begun", {})
        yield facts
        self._append(PHASE + phase, "ended", facts)

    def finish(self, report: ReplayReport) -> None:
        """The replay is over; run again, it says so."""
        self._append(REPLAY, "ended", {"report": report.document()})

    def _append(self, name: str, phase: str, details: Mapping[str, Any]) -> None:
        entry = Operation.model_validate({"name": name, "phase": phase, "details": details})
        self.journal.append(entry)
        self._take(self.journal.fold().replay[-1:])

    def _take(self, entries: Iterable[Operation]) -> None:
        for entry in entries:
            try:
                self._take_operation(entry)
            except (KeyError, ValueError, ValidationError) as error:
                raise JournalDamaged(
                    f"the entry of {entry.at:%F %T} UTC, {entry.name} {entry.phase}, is none of a replay's",
                    where=f"journal of {self.journal.environment}",
                    next_step="Was it written by a later version of Rekindle? Use that one.",
                ) from error

    def _take_operation(self, entry: Operation) -> None:
        if entry.name == REPLAY:
            self._take_replay(entry)
        else:
            self._take_phase(Phase(entry.name.removeprefix(PHASE)), entry)

    def _take_replay(self, entry: Operation) -> None:
        if entry.phase == "ended":
            self.report = ReplayReport.of_document(entry.details["report"])
            return
        self.begun = _BEGUN.validate_python(entry.details)
        self.attempt = _ATTEMPT.validate_python(entry.details["attempt"])
        self.report, self.answers_since, self.first, self.done = None, None, {}, {}

    def _take_phase(self, phase: Phase, entry: Operation) -> None:
        if entry.phase == "begun":
            self.first.setdefault(phase, entry.at)
            return
        seconds = (entry.at - self.first[phase]).total_seconds()
        self.done[phase] = PhaseTime(name=phase, seconds=round(seconds, 3))
        if ANSWERS_SINCE in entry.details:
            self.answers_since = _MOMENT.validate_python(entry.details[ANSWERS_SINCE])
