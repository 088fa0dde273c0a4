"""Engines on record in an environment's journal."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from pydantic import BaseModel, ValidationError

from rekindle.errors import JournalDamaged
from rekindle.infrastructure.process import Process
from rekindle.journal.entries import Operation
from rekindle.journal.journal import Journal


@dataclass(frozen=True)
class Recorded:
    """Remembers the engines of one stack in the journal, each under a name of its own."""

    journal: Journal
    stack: str

    def unfinished(self) -> Sequence[Process]:
        """Engines that began and whose end is not on record, oldest first."""
        open_ones = self.journal.fold().operations
        return tuple(_process(entry) for name, entry in open_ones.items() if name.startswith(self._prefix))

    def began(self, engine: Process, command: str) -> None:
        self.journal.append(self._entry(engine, "begun", command=command, **asdict(engine)))

    def ended(self, engine: Process, outcome: str) -> None:
        self.journal.append(self._entry(engine, "ended", outcome=outcome))

    @property
    def _prefix(self) -> str:
        return f"pulumi {self.stack} "

    def _entry(self, engine: Process, phase: str, **details: str | int) -> Operation:
        name = f"{self._prefix}{engine.boot_id}/{engine.pid}.{engine.start}"
        return Operation.model_validate({"name": name, "phase": phase, "details": details})


def _process(entry: Operation) -> Process:
    try:
        return _Details.model_validate(dict(entry.details)).process()
    except ValidationError as error:
        raise JournalDamaged(f"the operation {entry.name} does not say which process it was") from error


class _Details(BaseModel):
    """What the beginning of an engine is recorded with."""

    host: str
    boot_id: str
    pid: int
    start: int

    def process(self) -> Process:
        return Process(host=self.host, boot_id=self.boot_id, pid=self.pid, start=self.start)
