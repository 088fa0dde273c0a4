"""What the journal's tests stand on: stores that can be damaged and counted, and holders that are alive or dead."""

import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rekindle.journal.entries import Pinned
from rekindle.journal.holder import Holder
from rekindle.journal.journal import Journal
from rekindle.journal.lock import Lock
from rekindle.journal.store import DirectoryStore, S3Store, Store
from rekindle.process import started
from rekindle.secrets import Keyring

KEYRING = Keyring(b"k" * 32)
BUCKET, REGION = "journal", "us-west-2"


@dataclass
class World:
    """A store, and the ways to damage it that Rekindle itself does not have."""

    store: Store
    replace: Callable[[str, bytes], None]
    remove: Callable[[str], None]


def of_directory(path: Path) -> World:
    def write(key: str, body: bytes) -> None:
        (path / key).parent.mkdir(parents=True, exist_ok=True)
        (path / key).unlink(missing_ok=True)
        (path / key).write_bytes(body)

    return World(DirectoryStore(path), write, lambda key: (path / key).unlink())


def of_bucket(client: Any) -> World:
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    return World(
        S3Store(client, BUCKET),
        lambda key, body: client.put_object(Bucket=BUCKET, Key=key, Body=body),
        lambda key: client.delete_object(Bucket=BUCKET, Key=key),
    )


@dataclass
class Counting:
    """A store that counts what it is asked, and may be slow to create."""

    inner: Store
    seconds: float = 0.0
    created: list[str] = field(default_factory=list)
    read: list[str] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)

    def create(self, key: str, body: bytes, *, retain_until: datetime | None = None) -> None:
        time.sleep(self.seconds)
        self.inner.create(key, body, retain_until=retain_until)
        self.created.append(key)

    def get(self, key: str) -> bytes:
        self.read.append(key)
        return self.inner.get(key)

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        self.calls["list"] += 1
        return self.inner.list(prefix, after)


@dataclass
class Clock:
    """A clock that goes on only when told to, or slept on."""

    now: datetime = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
    slept: list[float] = field(default_factory=list)
    on_sleep: Callable[["Clock"], None] = lambda clock: None

    def __call__(self) -> datetime:
        return self.now

    def go_on(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.go_on(seconds)
        self.on_sleep(self)


@contextmanager
def writing(store: Store, environment: str = "dev", **options: Any) -> Iterator[Journal]:
    """A journal of this process, locked."""
    with Lock.acquire(store, environment, KEYRING, Holder.of_this_process("apply")) as lock:
        yield Journal.open(store, environment, KEYRING, lock=lock, **options)


def reading(store: Store, environment: str = "dev") -> Journal:
    return Journal.open(store, environment, KEYRING)


def pin(host: str) -> Pinned:
    return Pinned(host=host, instance_id="i-1", host_key="ssh-ed25519 AAAA")


def living_here() -> Holder:
    return Holder.of_this_process("apply")


@contextmanager
def another_process_here() -> Iterator[Holder]:
    """A holder that is another living process of this machine."""
    process = subprocess.Popen(["sleep", "60"])
    try:
        start = started(process.pid)
        assert start is not None
        yield replace(living_here(), name="ada@here", pid=process.pid, started=start)
    finally:
        process.kill()
        process.wait()


def dead_here() -> Holder:
    with another_process_here() as holder:
        pass
    return holder


def elsewhere() -> Holder:
    return replace(living_here(), name="ada@elsewhere", place="another machine", pid=7, started=7)
