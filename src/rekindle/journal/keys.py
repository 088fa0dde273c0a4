"""The environment's data key: made once, kept wrapped in the store."""

import json
from collections.abc import Mapping

from rekindle.errors import JournalDamaged
from rekindle.journal.naming import journal_prefix
from rekindle.journal.store import AlreadyExists, Missing, Store
from rekindle.plan import canonical
from rekindle.secrets import Envelope, Keyring


def open_keyring(store: Store, environment: str, envelope: Envelope, *, keep: bool) -> Keyring:
    """The keyring whose wrapped data key is `keys/<environment>.json`.

    Where there is none a new one is made, and kept there if `keep`: what only looks leaves nothing behind.
    JournalDamaged if there is none although the environment has a journal, which another key cannot open.
    """
    key = f"keys/{environment}.json"
    try:
        return Keyring(envelope.unwrap(environment, _wrapped(store, key)))
    except Missing:
        _refuse_lost(store, environment, key)
        data_key, wrapped = envelope.wrap_new(environment)
    if not keep:
        return Keyring(data_key)
    try:
        store.create(key, canonical(wrapped))
        return Keyring(data_key)
    except AlreadyExists:  # another command was first: its key is the environment's
        return Keyring(envelope.unwrap(environment, _wrapped(store, key)))


def known_environments(store: Store) -> frozenset[str]:
    """Names of the environments that the store has a key of."""
    return frozenset(key.removeprefix("keys/").removesuffix(".json") for key in store.list("keys/"))


def _refuse_lost(store: Store, environment: str, key: str) -> None:
    if any(store.list(journal_prefix(environment))):
        raise JournalDamaged(
            f"is missing, and the journal of {environment} cannot be opened without it",
            where=key,
            next_step="Remove the delete marker, or bring the object's earlier version back.",
        )


def _wrapped(store: Store, key: str) -> Mapping[str, str]:
    try:
        document: Mapping[str, str] = json.loads(store.get(key))
        return document
    except ValueError as error:
        raise JournalDamaged("is torn", where=key, next_step="Bring the object's earlier version back.") from error
