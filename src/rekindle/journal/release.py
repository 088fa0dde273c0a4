"""Releases: what was declared when a command ran, as one content-addressed bundle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rekindle.journal.entries import Frozen, ReleaseEntry
from rekindle.journal.store import Store


class Artifact(Frozen):
    """Something fetched from elsewhere, known by its digest."""

    name: str  # file name
    url: str  # where it was fetched from; empty for what was generated
    sha256: str
    size: int
    content_type: str = "application/octet-stream"


@dataclass(frozen=True)
class Release:
    """A bundle: `digest` names its content, whatever packed it and when."""

    digest: str
    body: bytes  # tar.gz

    @classmethod
    def of(
        cls, root: Path, *, artifacts: Sequence[Artifact] = (), values: Mapping[str, Any] | None = None
    ) -> "Release":
        """The release that a project's folder declares; deterministic."""
        raise NotImplementedError

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        raise NotImplementedError

    @property
    def values(self) -> Mapping[str, Any]:
        raise NotImplementedError

    def entry(self, command: str) -> ReleaseEntry:
        """The journal's word for working from this release."""
        raise NotImplementedError

    def verify(self) -> None:
        """JournalDamaged unless each file has the digest that the manifest says, and the manifest the release's."""
        raise NotImplementedError

    def unpack(self, into: Path) -> None:
        """Writes Pulumi.yaml, stacks/, roles/, packages/ into a folder."""
        raise NotImplementedError


class Releases:
    """Bundles in a store, by digest."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def save(self, release: Release) -> str:
        """Its digest; a bundle that is there already is left as it is."""
        raise NotImplementedError

    def load(self, digest: str) -> Release:
        """The bundle, verified; Missing if it is not there."""
        raise NotImplementedError
