"""What entries amount to: the last applied states, what is in flight, and what else is in force."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from rekindle.journal.entries import (
    AnyEntry,
    Begun,
    Failed,
    Fenced,
    Operation,
    Pinned,
    ReleaseEntry,
    RestorePoint,
    SecretSet,
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

    def require_in_force(self, environment: str) -> None:
        """Superseded if a recovery environment took this one's place, until it is fenced."""
        raise NotImplementedError


def fold(entries: Iterable[AnyEntry], start: Folded | None = None) -> Folded:
    """Entries in order, on top of an earlier fold; folding in parts gives what folding at once does."""
    raise NotImplementedError
