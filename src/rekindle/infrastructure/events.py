"""Pulumi's event log, read while the engine writes it: what is being done, what failed."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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

    def _new(self) -> Iterator[Mapping[str, Any]]:
        if not self.log.exists():
            return
        with self.log.open("rb") as stream:
            stream.seek(self._offset)
            for line in stream:
                if not line.endswith(b"\n"):
                    return  # the engine is writing it
                self._offset += len(line)
                yield json.loads(line)

    def _take(self, event: Mapping[str, Any]) -> None:
        if begun := event.get("resourcePreEvent"):
            self._begun(begun["metadata"])
        elif ended := event.get("resOutputsEvent") or event.get("resOpFailedEvent"):
            self._doing.pop(ended["metadata"]["urn"], None)
            self.changed += ended["metadata"]["op"] in DOING
        elif said := event.get("diagnosticEvent"):
            if said["severity"] == "error":
                self.errors.append(" ".join(said["message"].split()))
        elif failed := event.get("errorEvent"):
            self.errors.append(failed["error"])

    def _begun(self, step: Mapping[str, Any]) -> None:
        if step["op"] in DOING:
            self._doing[step["urn"]] = f"{DOING[step['op']]} {name_of(step['urn'])}"
            shown = list(self._doing.values())[-SHOWN:]
            self.tell(f"{self.changed} done; {', '.join(shown)}")


def name_of(urn: str) -> str:
    """ "aws:ec2/vpc:Vpc main" of a URN: what a person calls it."""
    type_chain, _, name = urn.split("::", 2)[2].rpartition("::")
    return f"{type_chain.rpartition('$')[2]} {name}"
