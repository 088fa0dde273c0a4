"""Where objects of the journal live: created once, never changed, listed in the order of their keys."""

import os
import secrets
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from rekindle.aws.errors import is_code, translated
from rekindle.aws.objects import list_keys, put_once, read
from rekindle.errors import InputError, RekindleError, Unreachable


class AlreadyExists(RekindleError):
    """The key is taken: another writer was first, or the object is there since before."""


class Missing(RekindleError):
    """No object has this key."""


class Store(Protocol):
    """Objects by key; a key is written at most once, and an object is whole or absent."""

    def create(self, key: str, body: bytes, *, retain_until: datetime | None = None) -> None:
        """Writes a new object, durable when this returns; AlreadyExists if the key is taken."""

    def get(self, key: str) -> bytes:
        """The object's bytes; Missing if there is none."""

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        """Keys that begin with `prefix` and sort after `after`, ascending."""
