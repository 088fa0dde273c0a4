"""The environment's data key: made once, replaced when a person says so, each version kept wrapped in the store."""

import json
import re
from collections.abc import Mapping

from pydantic import Field, ValidationError

from rekindle.errors import JournalDamaged
from rekindle.journal.entries import Frozen
from rekindle.journal.naming import journal_prefix
from rekindle.journal.seal import SEAL, damaged, seal, unseal
from rekindle.journal.store import AlreadyExists, Store
from rekindle.secrets import Envelope, Keyring

LARGEST = 64 * 1024  # bytes of a key document: a data key wrapped by KMS has a few hundred
KEY = re.compile(r"keys/(?P<environment>[^/]+)/(?P<version>[1-9][0-9]{0,5})\.json")


class KeyDocument(Frozen):
    """A version of the data key, in the envelope that opens it; sealed by itself."""

    first: int = Field(ge=0)  # journal object that it seals, as it does all that follow
    envelope: dict[str, str]


def open_keyring(store: Store, environment: str, envelope: Envelope, *, keep: bool) -> Keyring:
    """The keyring of the versions under `keys/<environment>/`, the newest in force.

    Where there is none a first one is made, and kept there if `keep`: what only looks leaves nothing behind.
    JournalDamaged if there is none although the environment has a journal, which another key cannot open, or if one
    is missing, altered or another's.
    """
    if (keyring := _kept(store, environment, envelope)) is not None:
        return keyring
    _refuse_lost(store, environment)
    keyring, key, body = _made(environment, envelope, first=0, earlier=None)
    if not keep:
        return keyring
    try:
        store.create(key, body)
        return keyring
    except AlreadyExists:  # another command was first: its key is the environment's
        return open_keyring(store, environment, envelope, keep=False)


def with_newer(store: Store, environment: str, envelope: Envelope, keyring: Keyring) -> Keyring:
    """The keyring, and what was made since it was opened, as another command may have while the lock was waited for."""
    newest = max(_versions(store, environment), default=0)
    return keyring if newest <= keyring.version else open_keyring(store, environment, envelope, keep=False)


def replaced(
    store: Store,
    environment: str,
    envelope: Envelope,
    keyring: Keyring,
    *,
    first: int,
) -> Keyring:
    """The keyring with a new version, kept, which seals the journal from object `first` on."""
    made, key, body = _made(environment, envelope, first=first, earlier=keyring)
    store.create(key, body)
    return made


def known_environments(store: Store) -> frozenset[str]:
    """Names of the environments that the store has a key of."""
    return frozenset(found["environment"] for key in store.list("keys/") if (found := KEY.fullmatch(key)))


def _kept(store: Store, environment: str, envelope: Envelope) -> Keyring | None:
    """The keyring of all versions that the store holds; None if it holds none."""
    keyring = None
    for number, version in enumerate(sorted(_versions(store, environment)), start=1):
        if version != number:
            raise _lost(environment, number)
        keyring = _opened(store, environment, envelope, version, keyring)
    return keyring


def _versions(store: Store, environment: str) -> list[int]:
    found = [(key, KEY.fullmatch(key)) for key in store.list(f"keys/{environment}/")]
    for key, named in found:
        if named is None:
            raise damaged(key, "is no key document")
    return [int(named["version"]) for _, named in found if named]


def _opened(store: Store, environment: str, envelope: Envelope, version: int, earlier: Keyring | None) -> Keyring:
    key = _key(environment, version)
    body = store.get(key)
    named = _document(key, body)
    keyring = Keyring(envelope.unwrap(environment, named.envelope), version=version, first=named.first, earlier=earlier)
    unseal(keyring, key, body)
    return keyring


def _made(environment: str, envelope: Envelope, *, first: int, earlier: Keyring | None) -> tuple[Keyring, str, bytes]:
    """A new version, and the object that keeps it."""
    data_key, wrapped = envelope.wrap_new(environment)
    keyring = Keyring(data_key, version=earlier.version + 1 if earlier else 1, first=first, earlier=earlier)
    key = _key(environment, keyring.version)
    document = KeyDocument(first=first, envelope=dict(wrapped))
    return keyring, key, seal(keyring, key, document.model_dump(mode="json"))


def _document(key: str, body: bytes) -> KeyDocument:
    """What it says of its envelope; nothing of it is believed until the key in it has verified its seal."""
    found = SEAL.search(body[-128:]) if len(body) <= LARGEST else None
    try:
        document = json.loads(body) if found else None
        fields: Mapping[str, object] = {name: document[name] for name in KeyDocument.model_fields} if document else {}
        return KeyDocument.model_validate(fields, strict=True)
    except (ValueError, RecursionError, KeyError, TypeError, ValidationError) as error:
        raise damaged(key, "is torn, or no key document") from error


def _refuse_lost(store: Store, environment: str) -> None:
    if any(store.list(journal_prefix(environment))):
        raise _lost(environment, 1)


def _lost(environment: str, version: int) -> JournalDamaged:
    return JournalDamaged(
        f"is missing, and the journal of {environment} cannot be opened without it",
        where=_key(environment, version),
        next_step="Remove the delete marker, or bring the object's earlier version back.",
    )


def _key(environment: str, version: int) -> str:
    return f"keys/{environment}/{version}.json"
