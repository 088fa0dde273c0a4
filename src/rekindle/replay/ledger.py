"""Where a replay stands, by the journal of the environment that it builds."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rekindle.journal.entries import REPLAY, Operation
from rekindle.journal.journal import Journal
from rekindle.replay.planning import Phase
from rekindle.replay.report import PhaseTime, ReplayReport
from rekindle.replay.situation import Begun

PHASE = f"{REPLAY}: "


@dataclass
class Ledger:
    """The newest replay in a journal: what it began with, its phases, its report."""

    journal: Journal
    details: Mapping[str, Any] | None = None  # what it began with
    first: dict[Phase, datetime] = field(default_factory=dict)  # when each phase first began
    done: dict[Phase, PhaseTime] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)  # what phases found out
    report: ReplayReport | None = None

    @classmethod
    def read(cls, journal: Journal) -> "Ledger":
        """The newest replay that the journal tells of."""
        ledger = cls(journal)
        ledger._take(journal.fold().replay)
        return ledger

    @property
    def begun(self) -> Begun | None:
        """What the replay began with, None if there was none."""
        if self.details is None:
            return None
        known = self.details
        return Begun(
            epoch=known["epoch"],
            release=known["release"],
            restore_point=known["restore_point"],
            restores=dict(known["restores"]),
            started=datetime.fromisoformat(known["started"]),
            failed_since=datetime.fromisoformat(known["failed_since"]) if known["failed_since"] else None,
            accepted=tuple(known["accepted"]),
        )

    def begin(self, environment: str, begun: Begun) -> None:
        """The replay is on record before it changes anything; begun again, all its phases are to be done."""
        details = {
            "environment": environment,
            "attempt": self.details["attempt"] + 1 if self.details else 1,
            "epoch": begun.epoch,
            "release": begun.release,
            "restore_point": begun.restore_point,
            "restores": begun.restores,
            "started": begun.started.isoformat(),
            "failed_since": begun.failed_since.isoformat() if begun.failed_since else None,
            "accepted": list(begun.accepted),
        }
        self._append(REPLAY, "begun", details)

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
            if entry.name == REPLAY:
                self._take_replay(entry)
            else:
                self._take_phase(Phase(entry.name.removeprefix(PHASE)), entry)

    def _take_replay(self, entry: Operation) -> None:
        if entry.phase == "ended":
            self.report = ReplayReport.of_document(entry.details["report"])
            return
        if entry.details != self.details:
            self.details, self.report = entry.details, None
            self.first, self.done, self.facts = {}, {}, {}

    def _take_phase(self, phase: Phase, entry: Operation) -> None:
        if entry.phase == "begun":
            self.first.setdefault(phase, entry.at)
            return
        seconds = (entry.at - self.first[phase]).total_seconds()
        self.done[phase] = PhaseTime(name=phase, seconds=round(seconds, 3))
        self.facts |= entry.details
