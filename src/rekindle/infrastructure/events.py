"""Pulumi's event log, read while the engine writes it: what is being done, what failed."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from rekindle.parsing import NotPlain, from_json
from rekindle.progress import Tell

DOING = {
    "create": "creating",
    "update": "updating",
    "delete": "deleting",
    "replace": "replacing",
    "create-replacement": "replacing",
    "delete-replaced": "deleting",
    "refresh": "reading",
    "import": "importing",
}
SHOWN = 3  # resources named in one line of progress


@dataclass
class Events:
    """What the event log has told so far."""

    log: Path
    tell: Tell
    changed: int = 0
    errors: list[str] = field(default_factory=list)
    _doing: dict[str, str] = field(default_factory=dict)
    _offset: int = 0

    def read(self) -> None:
        """Takes in what was written since the last time, and tells it."""
        for event in self._new():
            self._take(event)

    def _new(self) -> Iterator["Event"]:
        if not self.log.exists():
            return
        with self.log.open("rb") as stream:
            stream.seek(self._offset)
            for line in stream:
                if not line.endswith(b"\n"):
                    return  # the engine is writing it
                self._offset += len(line)
                if event := _event(line):
                    yield event

    def _take(self, event: "Event") -> None:
        if begun := event.resourcePreEvent:
            self._begun(begun.metadata)
        elif ended := event.resOutputsEvent or event.resOpFailedEvent:
            self._doing.pop(ended.metadata.urn, None)
            self.changed += ended.metadata.op in DOING
        elif said := event.diagnosticEvent:
            if said.severity == "error":
                self.errors.append(" ".join(said.message.split()))
        elif failed := event.errorEvent:
            self.errors.append(failed.error)

    def _begun(self, step: "Metadata") -> None:
        if step.op in DOING:
            self._doing[step.urn] = f"{DOING[step.op]} {name_of(step.urn)}"
            shown = list(self._doing.values())[-SHOWN:]
            self.tell(f"{self.changed} done; {', '.join(shown)}")


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class Metadata(_Part):
    op: str
    urn: str


class Resource(_Part):
    metadata: Metadata


class Diagnostic(_Part):
    severity: str
    message: str


class Error(_Part):
    error: str


class Event(_Part):
    """One line of the log (pulumi 3.250, sdk/go/common/apitype/events.go), as far as it is read here."""

    resourcePreEvent: Resource | None = None
    resOutputsEvent: Resource | None = None
    resOpFailedEvent: Resource | None = None
    diagnosticEvent: Diagnostic | None = None
    errorEvent: Error | None = None


def _event(line: bytes) -> Event | None:
    """What a line tells; None for one that tells nothing here: the engine's exit code decides, not its log."""
    try:
        return Event.model_validate(from_json(line))
    except (NotPlain, ValidationError):
        return None


def name_of(urn: str) -> str:
    """ "aws:ec2/vpc:Vpc main" of a URN: what a person calls it; what is no URN is called what it is."""
    parts = urn.split("::", 2)
    if len(parts) < 3:
        return urn
    type_chain, _, name = parts[2].rpartition("::")
    return f"{type_chain.rpartition('$')[2]} {name}"
