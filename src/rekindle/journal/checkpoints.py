"""Checkpoints: the fold of all objects up to one, so that what came before need not be read."""

from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

from pydantic import TypeAdapter

from rekindle.journal.chain import START, Head
from rekindle.journal.content import Number, parsed
from rekindle.journal.entries import Frozen
from rekindle.journal.fold import Folded, FoldedContent
from rekindle.journal.naming import checkpoint_key, checkpoint_prefix
from rekindle.journal.seal import damaged, seal, unseal
from rekindle.journal.store import AlreadyExists, Store
from rekindle.plan import digest
from rekindle.secrets import Keyring


@dataclass(frozen=True, kw_only=True)
class Base:
    """What a journal is read on top of."""

    head: Head = START
    generation: int = 0
    folded: Folded = field(default_factory=Folded)


class _Content(Frozen):
    """What a checkpoint says, once its MAC held."""

    head: Head
    generation: Number
    folded: FoldedContent


_CONTENT = TypeAdapter(_Content)


@dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """All checkpoints of one environment's journal."""

    store: Store
    keyring: Keyring
    environment: str

    def newest(self) -> Base:
        """The newest, verified; the empty one if there is none."""
        for key in islice(self.store.list(checkpoint_prefix(self.environment)), 1):
            content = parsed(_CONTENT, key, unseal(self.keyring, key, self.store.get(key)))
            if key != checkpoint_key(self.environment, content.head.sequence):
                raise damaged(key, f"is the checkpoint of another object: of number {content.head.sequence}")
            return Base(head=content.head, generation=content.generation, folded=content.folded.folded())
        return Base()

    def keep(self, base: Base) -> tuple[str, str]:
        """Its key, and the digest of its fold; one that is there already says the same."""
        key, folded = checkpoint_key(self.environment, base.head.sequence), base.folded.document()
        content = {"head": base.head.document(), "generation": base.generation, "folded": folded}
        with suppress(AlreadyExists):
            self.store.create(key, seal(self.keyring, key, content))
        return key, digest(folded)
