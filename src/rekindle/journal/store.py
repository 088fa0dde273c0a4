"""Where objects of the journal live: created once, never changed, listed in the order of their keys."""

import os
import secrets
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Protocol

from rekindle.aws.clients import Client
from rekindle.aws.objects import RetentionMode, list_keys, put_once, read
from rekindle.errors import InputError, RekindleError

READ_ONLY = 0o400
UNFINISHED = ".unfinished"


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


class S3Store:
    """A bucket, by conditional writes; with versions and object lock where the bucket has them."""

    def __init__(self, client: Client, bucket: str, *, retention_mode: RetentionMode = "GOVERNANCE") -> None:
        self._client = client
        self._bucket = bucket
        self._retention_mode = retention_mode

    def create(self, key: str, body: bytes, *, retain_until: datetime | None = None) -> None:
        created = put_once(
            self._client, self._bucket, key, body, retain_until=retain_until, retention_mode=self._retention_mode
        )
        if not created:
            raise AlreadyExists("is there already", where=self._url(key))

    def get(self, key: str) -> bytes:
        body = read(self._client, self._bucket, key)
        if body is None:
            raise Missing("is not there", where=self._url(key))
        return body

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        return list_keys(self._client, self._bucket, prefix, after)

    def _url(self, key: str) -> str:
        return f"s3://{self._bucket}/{key}"


class DirectoryStore:
    """A folder, for one machine or a shared mount; an object appears by a link, whole and synced.

    A folder cannot retain: whoever may write to it may remove objects, which is then found.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def create(self, key: str, body: bytes, *, retain_until: datetime | None = None) -> None:
        target = self._file(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self._write_unfinished(body)
        try:
            os.link(unfinished, target)
        except FileExistsError as error:
            raise AlreadyExists("is there already", where=str(target)) from error
        finally:
            unfinished.unlink()
        _sync(target.parent)

    def get(self, key: str) -> bytes:
        try:
            return self._file(key).read_bytes()
        except FileNotFoundError as error:
            raise Missing("is not there", where=str(self._file(key))) from error

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        start = self._path / prefix.rpartition("/")[0]
        keys = (str(file.relative_to(self._path)) for file in start.rglob("*") if file.is_file())
        return iter(sorted(key for key in keys if key.startswith(prefix) and key > after and key[0] != "."))

    def _write_unfinished(self, body: bytes) -> Path:
        folder = self._path / UNFINISHED
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / secrets.token_hex(16)
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, READ_ONLY), "wb") as stream:
            stream.write(body)
            stream.flush()
            os.fsync(stream.fileno())
        return file

    def _file(self, key: str) -> Path:
        if not key or key[0] in "/." or ".." in key.split("/"):
            raise InputError(f"{key!r} cannot be a key", where=str(self._path))
        return self._path / key


def _sync(folder: Path) -> None:
    """Makes a new name in the folder outlive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
