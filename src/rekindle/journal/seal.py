"""Sealed documents: JSON that names its own key and carries a MAC over all of it, looked at before it is parsed."""

import hashlib
import hmac
import json
import re
from typing import Any

from rekindle.errors import JournalDamaged
from rekindle.journal.naming import place_of
from rekindle.plan import canonical
from rekindle.secrets import Keyring

FORMAT = 2
LARGEST = 32 * 1024**2  # bytes of a document: a checkpoint of a thousand hosts is a tenth of it
SEAL = re.compile(rb',"sealed_by":([1-9][0-9]{0,8}),"mac":"([0-9a-f]{64})"\}\Z')  # the end of every document
WHAT_TO_DO = (
    "Nothing goes on from a damaged journal. Bring the object's earlier version back, or name the loss: "
    "see 'A damaged journal' in docs/runbook-recovery.md."
)


def seal(keyring: Keyring, key: str, content: dict[str, Any]) -> bytes:
    """The object to keep under `key`."""
    document = canonical({**content, "format": FORMAT, "key": key})
    return document[:-1] + f',"sealed_by":{keyring.version},"mac":"{keyring.mac(document)}"}}'.encode()


def unseal(keyring: Keyring, key: str, body: bytes) -> dict[str, Any]:
    """The content; JournalDamaged says whether the object is torn, altered, another one, or sealed by a former key."""
    content = _parsed(key, _verified(keyring, key, body))
    named, version = content.pop("key", None), content.pop("format", None)
    if named != key:
        raise damaged(key, f"is another object under this name: it was written as {named}")
    if version != FORMAT:
        raise damaged(key, f"has format {version}, which this version of Rekindle cannot read")
    return content


def digest_of(body: bytes) -> str:
    """SHA-256 in hex: what the next object of a chain names."""
    return hashlib.sha256(body).hexdigest()


def damaged(key: str, what: str) -> JournalDamaged:
    return JournalDamaged(what, where=key, next_step=WHAT_TO_DO)


def _verified(keyring: Keyring, key: str, body: bytes) -> bytes:
    """The document without its seal, as it was sealed by a key that was in force at its place."""
    found = SEAL.search(body, max(0, len(body) - 128)) if len(body) <= LARGEST else None
    if found is None:
        raise damaged(key, _unsealed(body))
    version, document = int(found[1]), body[: found.start()] + b"}"
    sealing = keyring.of(version)
    if sealing is None:
        raise damaged(key, f"is sealed by version {version} of the key, which is lost, or newer than this command")
    if not hmac.compare_digest(found[2].decode(), sealing.mac(document)):
        raise damaged(key, "was altered, or written without the environment's key: its MAC is wrong")
    if version < keyring.in_force_at(place_of(key)):
        raise damaged(key, f"is sealed by version {version} of the environment's key after that was replaced")
    return document


def _unsealed(body: bytes) -> str:
    """What is wrong with bytes that do not end as a sealed document does."""
    if len(body) > LARGEST:
        return f"has {len(body)} bytes, and no document has more than {LARGEST}"
    if body[:1] not in (b"", b"{"):
        return "is no document"
    if not body.endswith(b"}"):
        return f"is torn: {len(body)} bytes that are no whole document"
    return "carries no MAC: it was not written by Rekindle"


def _parsed(key: str, document: bytes) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(document)
        return content
    except (ValueError, RecursionError) as error:
        raise damaged(key, "is no document, though its MAC is right") from error
