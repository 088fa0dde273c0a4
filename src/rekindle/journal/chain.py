"""Objects of the journal: numbered, each with the digest of the one before it and a MAC."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pydantic import ConfigDict, TypeAdapter

from rekindle.journal import entries as entry_types
from rekindle.journal.content import Digest, Number, parsed
from rekindle.journal.entries import AnyEntry, Frozen
from rekindle.journal.naming import journal_key, journal_prefix, sequence_of
from rekindle.journal.seal import damaged, digest_of, seal, unseal
from rekindle.journal.store import Missing, Store
from rekindle.secrets import Keyring

NOTHING = "0" * 64
READERS = 16
AHEAD = 256  # objects fetched before they are looked at


@dataclass(frozen=True)
class Head:
    """The newest object: its number and the SHA-256 of its bytes."""

    sequence: Number
    digest: Digest

    __pydantic_config__ = ConfigDict(extra="forbid")

    def document(self) -> dict[str, Any]:
        return {"sequence": self.sequence, "digest": self.digest}


@dataclass(frozen=True, kw_only=True)
class Link:
    """One object of the journal, verified: where it leaves the head, and what it says."""

    head: Head
    generation: int  # of the lock under which it was written
    entries: tuple[AnyEntry, ...]


START = Head(0, NOTHING)
"""Of a journal in which nothing was written yet."""


class _Content(Frozen):
    """What an object of the journal says, once its MAC held."""

    previous: Digest
    generation: Number
    entries: tuple[AnyEntry, ...]


_CONTENT = TypeAdapter(_Content)


@dataclass(frozen=True, kw_only=True)
class Chain:
    """All objects of one environment's journal."""

    store: Store
    keyring: Keyring
    environment: str

    def sealed(self, after: Head, generation: int, entries: Sequence[AnyEntry]) -> tuple[str, bytes]:
        """Key and bytes of the object that follows `after`."""
        key = journal_key(self.environment, after.sequence + 1)
        content = {
            "previous": after.digest,
            "generation": generation,
            "entries": [entry_types.document(entry) for entry in entries],
        }
        return key, seal(self.keyring, key, content)

    def read(self, after: Head, generation: int = 0) -> Iterator[Link]:
        """Objects after a known one, oldest first, each verified against the one before it."""
        known = journal_key(self.environment, after.sequence) if after.sequence else ""
        keys, head = self.store.list(journal_prefix(self.environment), known), after
        for key, body in self._fetched(keys):
            link = self.verified(key, body, head, generation)
            head, generation = link.head, link.generation
            yield link

    def _fetched(self, keys: Iterator[str]) -> Iterator[tuple[str, bytes]]:
        with ThreadPoolExecutor(max_workers=READERS) as pool:
            while some := list(islice(keys, AHEAD)):
                yield from zip(some, pool.map(self._fetch, some), strict=True)

    def _fetch(self, key: str) -> bytes:
        try:
            return self.store.get(key)
        except Missing as error:
            raise damaged(key, "is missing") from error

    def verified(self, key: str, body: bytes, previous: Head, generation: int) -> Link:
        """The object that follows `previous`; JournalDamaged if this is not it."""
        sequence = sequence_of(key)
        if sequence != previous.sequence + 1:
            raise damaged(journal_key(self.environment, previous.sequence + 1), f"is missing, though {key} is there")
        content = parsed(_CONTENT, key, unseal(self.keyring, key, body))
        if content.previous != previous.digest:
            raise damaged(key, "does not follow the object before it: one of the two was replaced")
        if content.generation < generation:
            raise damaged(key, f"was written under lock {content.generation}, after lock {generation} was taken")
        return Link(
            head=Head(sequence, digest_of(body)),
            generation=content.generation,
            entries=content.entries,
        )
