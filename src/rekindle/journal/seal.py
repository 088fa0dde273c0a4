"""Sealed documents: JSON that names its own key and carries a MAC over all of it."""

import hashlib
import hmac
import json
from typing import Any

from rekindle.errors import JournalDamaged
from rekindle.plan import canonical
from rekindle.secrets import Keyring

FORMAT = 1
WHAT_TO_DO = (
    "Nothing goes on from a damaged journal. Bring the object's earlier version back, or name the loss: "
    "see 'A damaged journal' in docs/runbook-recovery.md."
)


def seal(keyring: Keyring, key: str, content: dict[str, Any]) -> bytes:
    """The object to keep under `key`."""
    document = {"format": FORMAT, "key": key, **content}
    return canonical({**document, "mac": keyring.mac(canonical(document))})


def unseal(keyring: Keyring, key: str, body: bytes) -> dict[str, Any]:
    """The content; JournalDamaged says whether the object is torn, altered or another one."""
    document = _decoded(key, body)
    mac = document.pop("mac", None)
    if not isinstance(mac, str):
        raise damaged(key, "carries no MAC: it was not written by Rekindle")
    if not hmac.compare_digest(mac, keyring.mac(canonical(document))):
        raise damaged(key, "was altered, or written without the environment's key: its MAC is wrong")
    named, version = document.pop("key", None), document.pop("format", None)
    if named != key:
        raise damaged(key, f"is another object under this name: it was written as {named}")
    if version != FORMAT:
        raise damaged(key, f"has format {version}, which this version of Rekindle cannot read")
    return document


def digest_of(body: bytes) -> str:
    """SHA-256 in hex: what the next object of a chain names."""
    return hashlib.sha256(body).hexdigest()


def damaged(key: str, what: str) -> JournalDamaged:
    return JournalDamaged(what, where=key, next_step=WHAT_TO_DO)


def _decoded(key: str, body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError as error:
        raise damaged(key, f"is torn: {len(body)} bytes that are no whole document") from error
    if not isinstance(document, dict):
        raise damaged(key, "is no document")
    return document
