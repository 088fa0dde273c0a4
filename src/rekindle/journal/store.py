"""Where objects of the journal live: created once, never changed, listed in the order of their keys."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Protocol

from rekindle.aws.clients import Client
from rekindle.aws.objects import Listed, RetentionMode, list_versions, put_once, read, require_small
from rekindle.errors import CommandFailed, InputError, JournalDamaged, RekindleError
from rekindle.journal.clock import utc_now
from rekindle.journal.retention import retention

READ_ONLY = 0o400
UNFINISHED = ".unfinished"


class AlreadyExists(RekindleError):
    """The key is taken: another writer was first, or the object is there since before."""


class Missing(RekindleError):
    """No object has this key."""


class Store(Protocol):
    """Objects by key; a key is written at most once, and an object is whole or absent."""

    def create(self, key: str, body: bytes) -> None:
        """Writes a new object, durable when this returns; AlreadyExists if the key is taken.

        After any other error it may be there, or come to be there yet.
        """

    def get(self, key: str) -> bytes:
        """The object's bytes; Missing if there is none."""

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        """Keys that begin with `prefix` and sort after `after`, ascending."""


def create_or_own(store: Store, key: str, body: bytes) -> None:
    """The object is there with these bytes, written now or by an earlier try whose answer was lost.

    AlreadyExists if it is another writer's.
    """
    try:
        store.create(key, body)
    except AlreadyExists:
        if store.get(key) != body:
            raise


class S3Store:
    """A bucket with versions and object lock, by conditional writes; each object is retained for its kind's time."""

    def __init__(
        self,
        client: Client,
        bucket: str,
        *,
        retention_mode: RetentionMode = "GOVERNANCE",
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._retention_mode = retention_mode
        self._clock = clock

    def create(self, key: str, body: bytes) -> None:
        created = put_once(
            self._client,
            self._bucket,
            key,
            body,
            retain_until=self._clock() + retention(key),
            retention_mode=self._retention_mode,
        )
        if not created:
            raise AlreadyExists("is there already", where=self._url(key))

    def get(self, key: str) -> bytes:
        body = read(self._client, self._bucket, key)
        if body is None:
            raise Missing("is not there", where=self._url(key))
        return body

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        """JournalDamaged at a key that was deleted or written over: its versions show that."""
        for listed in list_versions(self._client, self._bucket, prefix, after):
            self._require_untouched(listed)
            yield listed.key

    def _require_untouched(self, listed: Listed) -> None:
        if listed.delete_markers:
            raise JournalDamaged(
                "was deleted: it has a delete marker",
                where=self._url(listed.key),
                next_step=f"Remove the delete marker (`{self._versions_of(listed.key)}` shows it), {_FIND_OUT}",
            )
        if listed.versions != 1:
            raise JournalDamaged(
                f"was written over: it has {listed.versions} versions",
                where=self._url(listed.key),
                next_step=f"Remove all but the oldest (`{self._versions_of(listed.key)}` shows them), {_FIND_OUT}",
            )

    def _versions_of(self, key: str) -> str:
        return f"aws s3api list-object-versions --bucket {self._bucket} --prefix {key}"

    def _url(self, key: str) -> str:
        return f"s3://{self._bucket}/{key}"


_FIND_OUT = "find out who did it, and run the command again."


class DirectoryStore:
    """A folder, for one machine or a shared mount; an object appears by a link, whole and synced.

    A folder cannot retain: whoever may write to it may bring an older state back (docs/adr/0003).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._named: set[Path] = set()  # folders whose names outlive a power cut

    def create(self, key: str, body: bytes) -> None:
        target = self._file(key)
        with self._told(target):
            self._require_folder()
            target.parent.mkdir(parents=True, exist_ok=True)
            is_new = self._placed(body, target)
            self._sync_names(target)
        if not is_new:
            raise AlreadyExists("is there already", where=str(target))

    def get(self, key: str) -> bytes:
        file = self._file(key)
        with self._told(file):
            try:
                require_small(file.stat().st_size, str(file))
                return file.read_bytes()
            except FileNotFoundError as error:
                raise Missing("is not there", where=str(file)) from error

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        with self._told(self._path):
            self._require_folder()
            keys = sorted(key for key in self._keys(prefix) if key.startswith(prefix) and key > after)
        return iter(keys)

    def _keys(self, prefix: str) -> Iterator[str]:
        start = self._path / prefix.rpartition("/")[0]
        for folder, folders, files in os.walk(start, onerror=_raise_unless_absent):
            if Path(folder) == self._path and UNFINISHED in folders:
                folders.remove(UNFINISHED)
            yield from (str((Path(folder) / file).relative_to(self._path)) for file in files)

    def _require_folder(self) -> None:
        """A mount that is not there must not look like a store in which nothing was written."""
        if not self._path.is_dir():
            raise InputError("there is no such folder", where=str(self._path), next_step="Make it, or mount it.")

    def _placed(self, body: bytes, target: Path) -> bool:
        """Whether the object appeared, whole; not if the name is taken."""
        unfinished = self._path / UNFINISHED / secrets.token_hex(16)
        unfinished.parent.mkdir(exist_ok=True)
        try:
            _write(unfinished, body)
            os.link(unfinished, target)
        except FileExistsError:
            return False
        finally:
            unfinished.unlink(missing_ok=True)
        return True

    def _sync_names(self, target: Path) -> None:
        """The new name, and those of the folders it is in, outlive a power cut."""
        for folder in target.parents:
            _sync(folder)
            if folder == self._path or folder in self._named:
                break
        self._named |= set(target.parents)

    def _file(self, key: str) -> Path:
        if not key or key[0] in "/." or ".." in key.split("/") or "\0" in key:
            raise InputError(f"{key!r} cannot be a key", where=str(self._path))
        return self._path / key

    @contextmanager
    def _told(self, path: Path) -> Iterator[None]:
        """Inside it what the file system refuses becomes three sentences."""
        try:
            yield
        except OSError as error:
            raise CommandFailed(
                f"the journal's folder cannot be used: {error.strerror}",
                where=str(error.filename or path),
                next_step=f"Give {self._path} room and the rights to read and write, and run the command again.",
            ) from error


def _raise_unless_absent(error: OSError) -> None:
    """A prefix under which nothing was written is empty; a folder that cannot be read is an error."""
    if not isinstance(error, FileNotFoundError):
        raise error


def _write(file: Path, body: bytes) -> None:
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, READ_ONLY), "wb") as stream:
        stream.write(body)
        stream.flush()
        os.fsync(stream.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
