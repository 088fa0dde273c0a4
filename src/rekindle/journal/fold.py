"""What entries amount to: the last applied states, what is in flight, and what else is in force."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import singledispatchmethod
from typing import Any

from pydantic import JsonValue

from rekindle.errors import Superseded
from rekindle.journal import entries as entry_types
from rekindle.journal.entries import (
    REPLAY,
    AnyEntry,
    Begun,
    Entry,
    Failed,
    Fenced,
    Frozen,
    Operation,
    Pinned,
    ReleaseEntry,
    RestorePoint,
    SecretSet,
    Succeeded,
    SupersededBy,
)
from rekindle.journal.seal import damaged
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
    replay: tuple[Operation, ...] = ()  # what the newest replay that built this environment did, oldest first

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


_MANY = ("failed", "in_flight", "releases", "pins", "restore_points", "secrets", "operations", "replay")
_ONE = ("superseded", "fenced")


class FoldedContent(Frozen):
    """A fold as a checkpoint keeps it."""

    applied: tuple[tuple[str, str, dict[str, JsonValue] | None], ...]
    failed: tuple[Failed, ...]
    in_flight: tuple[Begun, ...]
    releases: tuple[ReleaseEntry, ...]
    pins: tuple[Pinned, ...]
    restore_points: tuple[RestorePoint, ...]
    secrets: tuple[SecretSet, ...]
    operations: tuple[Operation, ...]
    superseded: SupersededBy | None
    fenced: Fenced | None
    replay: tuple[Operation, ...] = ()  # an older version kept none

    def folded(self) -> Folded:
        """What the document was made from."""
        return Folded(
            applied={(target, subject): state for target, subject, state in self.applied},
            failed={entry.key: entry for entry in self.failed},
            in_flight={entry.key: entry for entry in self.in_flight},
            releases=self.releases,
            pins={entry.host: entry for entry in self.pins},
            restore_points={entry.id: entry for entry in self.restore_points},
            secrets={entry.name: entry for entry in self.secrets},
            operations={entry.name: entry for entry in self.operations},
            superseded=self.superseded,
            fenced=self.fenced,
            replay=self.replay,
        )


def fold(entries: Iterable[AnyEntry], start: Folded | None = None) -> Folded:
    """Entries in order, on top of an earlier fold; folding in parts gives what folding at once does."""
    return fold_objects([("", entries)], start)


def fold_objects(objects: Iterable[tuple[str, Iterable[AnyEntry]]], start: Folded | None = None) -> Folded:
    """Entries of objects, each with its key; JournalDamaged names the object that cannot follow those before it."""
    folding = _Folding(start or Folded())
    for key, entries in objects:
        folding.object = key
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
        self.replay = list(start.replay)
        self.object = ""  # whose entries are taken

    def result(self) -> Folded:
        return Folded(
            applied=self.applied,
            in_flight=self.in_flight,
            failed=self.failed,
            releases=tuple(self.releases.values()),
            pins=self.pins,
            restore_points=self.restore_points,
            secrets=self.secrets,
            operations=self.operations,
            superseded=self.superseded,
            fenced=self.fenced,
            replay=tuple(self.replay),
        )

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
            raise damaged(self.object, f"says that {entry.subject} on {entry.target} succeeded, which never began")
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
        if entry.is_of_a_replay:
            self._take_replay(entry)

    def _take_replay(self, entry: Operation) -> None:
        """What came before belongs to another replay, once one begins that is not this one gone on with."""
        begins = entry.name == REPLAY and entry.phase == "begun"
        if begins and not any(known.name == REPLAY and known.details == entry.details for known in self.replay):
            self.replay.clear()
        self.replay.append(entry)

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
