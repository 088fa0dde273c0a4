"""Checkpoints: the fold of all objects up to one, so that what came before need not be read."""

from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

from rekindle.journal.chain import Head
from rekindle.journal.fold import Folded
from rekindle.journal.naming import checkpoint_key, checkpoint_prefix
from rekindle.journal.seal import seal, unseal
from rekindle.journal.store import AlreadyExists, Store
from rekindle.plan import digest
from rekindle.secrets import Keyring


@dataclass(frozen=True, kw_only=True)
class Base:
    """What a journal is read on top of."""

    head: Head = field(default_factory=Head)
    generation: int = 0
    folded: Folded = field(default_factory=Folded)


@dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """All checkpoints of one environment's journal."""

    store: Store
    keyring: Keyring
    environment: str

    def newest(self) -> Base:
        """The newest, verified; the empty one if there is none."""
        for key in islice(self.store.list(checkpoint_prefix(self.environment)), 1):
            content = unseal(self.keyring, key, self.store.get(key))
            return Base(
                head=Head(**content["head"]),
                generation=content["generation"],
                folded=Folded.of_document(content["folded"]),
            )
        return Base()

    def keep(self, base: Base) -> tuple[str, str]:
        """Its key, and the digest of its fold; one that is there already says the same."""
        key, folded = checkpoint_key(self.environment, base.head.sequence), base.folded.document()
        content = {"head": base.head.document(), "generation": base.generation, "folded": folded}
        with suppress(AlreadyExists):
            self.store.create(key, seal(self.keyring, key, content))
        return key, digest(folded)
