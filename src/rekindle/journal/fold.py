"""What entries amount to: the last applied states, what is in flight, and what else is in force."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import singledispatchmethod
from typing import Any

from rekindle.errors import JournalDamaged, Superseded
from rekindle.journal import entries as entry_types
from rekindle.journal.entries import (
    AnyEntry,
    Begun,
    Entry,
    Failed,
    Fenced,
    Operation,
    Pinned,
    ReleaseEntry,
    RestorePoint,
    SecretSet,
    Succeeded,
    SupersededBy,
)
from rekindle.plan import Key, State


@dataclass(frozen=True, kw_only=True)
class Folded:
    """Where an environment stands, by its journal."""

    applied: Mapping[Key, State | None] = field(default_factory=dict)  # None: last removed
    in_flight: Mapping[Key, Begun] = field(default_factory=dict)  # begun, and no word since
    failed: Mapping[Key, Failed] = field(default_factory=dict)  # and not mended since
    releases: tuple[ReleaseEntry, ...] = ()  # each digest once, the last used one last
    pins: Mapping[str, Pinned] = field(default_factory=dict)  # by host
    restore_points: Mapping[str, RestorePoint] = field(default_factory=dict)  # by id, oldest first
    secrets: Mapping[str, SecretSet] = field(default_factory=dict)  # newest version, by name
    operations: Mapping[str, Operation] = field(default_factory=dict)  # begun and not ended, by name
    superseded: SupersededBy | None = None
    fenced: Fenced | None = None

    @property
    def release(self) -> str | None:
        """Digest of the release used last."""
        return self.releases[-1].release if self.releases else None

    @property
    def mark_in_force(self) -> SupersededBy | None:
        """Who took this environment's place; None if nobody did, or it was fenced since."""
        mark, fenced = self.superseded, self.fenced
        return None if mark is None or (fenced and fenced.epoch >= mark.epoch) else mark

    def require_in_force(self, environment: str) -> None:
        """Superseded if a recovery environment took this one's place, until it is fenced."""
        by = self.mark_in_force
        if by is None:
            return
        raise Superseded(
            f"superseded by {by.environment}, epoch {by.epoch}, at {by.at:%F %T} UTC",
            where=environment,
            next_step=f"Work on {by.environment}. To use {environment} again, fence it first: "
            "see 'After a recovery' in docs/runbook-recovery.md.",
        )

    def document(self) -> dict[str, Any]:
        """As JSON values, for a checkpoint."""
        return {
            "applied": [[target, subject, state] for (target, subject), state in self.applied.items()],
            **{name: [_document(entry) for entry in _many(getattr(self, name))] for name in _MANY},
            **{name: _document(getattr(self, name)) for name in _ONE},
        }

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> "Folded":
        """What `document` was made from."""
        folding = _Folding(Folded())
        folding.applied = {(target, subject): state for target, subject, state in document["applied"]}
        for name in _MANY:
            for entry in entry_types.parse(document[name]):
                folding.take(entry)
        for entry in entry_types.parse([document[name] for name in _ONE if document[name]]):
            folding.take(entry)
        return folding.result()


_MANY = ("failed", "in_flight", "releases", "pins", "restore_points", "secrets", "operations")  # a retry is both
_ONE = ("superseded", "fenced")


def fold(entries: Iterable[AnyEntry], start: Folded | None = None) -> Folded:
    """Entries in order, on top of an earlier fold; folding in parts gives what folding at once does."""
    folding = _Folding(start or Folded())
    for entry in entries:
        folding.take(entry)
    return folding.result()


class _Folding:
    """A fold under way: its own copies, changed entry by entry."""

    def __init__(self, start: Folded) -> None:
        self.applied = dict(start.applied)
        self.in_flight = dict(start.in_flight)
        self.failed = dict(start.failed)
        self.releases = {entry.release: entry for entry in start.releases}
        self.pins = dict(start.pins)
        self.restore_points = dict(start.restore_points)
        self.secrets = dict(start.secrets)
        self.operations = dict(start.operations)
        self.superseded = start.superseded
        self.fenced = start.fenced

    def result(self) -> Folded:
        return Folded(**{**vars(self), "releases": tuple(self.releases.values())})

    @singledispatchmethod
    def take(self, entry: Entry) -> None:
        """Nothing changes by a checkpoint or a taken lock."""

    @take.register
    def _(self, entry: Begun) -> None:
        self.in_flight[entry.key] = entry

    @take.register
    def _(self, entry: Succeeded) -> None:
        begun = self.in_flight.pop(entry.key, None)
        if begun is None:
            raise JournalDamaged(f"{entry.subject} on {entry.target} succeeded, but never began")
        self.applied[entry.key] = begun.after
        self.failed.pop(entry.key, None)

    @take.register
    def _(self, entry: Failed) -> None:
        self.in_flight.pop(entry.key, None)
        self.failed[entry.key] = entry

    @take.register
    def _(self, entry: ReleaseEntry) -> None:
        self.releases.pop(entry.release, None)
        self.releases[entry.release] = entry

    @take.register
    def _(self, entry: Pinned) -> None:
        self.pins[entry.host] = entry

    @take.register
    def _(self, entry: RestorePoint) -> None:
        self.restore_points[entry.id] = entry

    @take.register
    def _(self, entry: SecretSet) -> None:
        self.secrets[entry.name] = entry

    @take.register
    def _(self, entry: Operation) -> None:
        self.operations.pop(entry.name, None)
        if entry.phase == "begun":
            self.operations[entry.name] = entry

    @take.register
    def _(self, entry: SupersededBy) -> None:
        self.superseded = entry

    @take.register
    def _(self, entry: Fenced) -> None:
        self.fenced = entry


def _many(entries: Mapping[Any, Entry] | tuple[Entry, ...]) -> Iterable[Entry]:
    return entries.values() if isinstance(entries, Mapping) else entries


def _document(entry: Entry | None) -> dict[str, Any] | None:
    return None if entry is None else entry_types.document(entry)
