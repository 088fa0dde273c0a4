"""What the journal's tests stand on: stores that can be damaged and counted, and holders that are alive or dead."""

import json
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from rekindle.errors import CommandFailed, Unreachable
from rekindle.journal.entries import Pinned
from rekindle.journal.holder import Holder
from rekindle.journal.journal import Journal
from rekindle.journal.lock import Lock, LockId, Locks
from rekindle.journal.store import AlreadyExists, DirectoryStore, Missing, S3Store, Store
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
    path.mkdir(parents=True, exist_ok=True)

    def write(key: str, body: bytes) -> None:
        (path / key).parent.mkdir(parents=True, exist_ok=True)
        (path / key).unlink(missing_ok=True)
        (path / key).write_bytes(body)

    return World(DirectoryStore(path), write, lambda key: (path / key).unlink())


def of_memory() -> World:
    held = Holding()
    return World(held, held.objects.__setitem__, held.objects.__delitem__)


def of_bucket(client: Any) -> World:
    make_bucket(client)
    return World(
        S3Store(client, BUCKET),
        lambda key, body: client.put_object(Bucket=BUCKET, Key=key, Body=body),
        lambda key: client.delete_object(Bucket=BUCKET, Key=key),
    )


def make_bucket(client: Any) -> None:
    """As the foundation makes it."""
    client.create_bucket(
        Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION}, ObjectLockEnabledForBucket=True
    )


@dataclass
class Counting:
    """A store that counts what it is asked, and may be slow to create."""

    inner: Store
    seconds: float = 0.0
    created: list[str] = field(default_factory=list)
    read: list[str] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)

    def create(self, key: str, body: bytes) -> None:
        time.sleep(self.seconds)
        self.inner.create(key, body)
        self.created.append(key)

    def get(self, key: str) -> bytes:
        self.read.append(key)
        return self.inner.get(key)

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        self.calls["list"] += 1
        return self.inner.list(prefix, after)


@dataclass
class Unsteady(Counting):
    """A store that has orders for its next writes: "lost" before they land, "unheard" after, "refused", else none."""

    orders: list[str] = field(default_factory=list)

    def create(self, key: str, body: bytes) -> None:
        order = self.orders.pop(0) if self.orders else ""
        if order == "refused":
            raise CommandFailed("no room")
        if order == "lost":
            raise Unreachable("no answer")
        super().create(key, body)
        if order == "unheard":
            raise Unreachable("no answer")


@dataclass
class Holding:
    """A store that is in memory, and can be given anything."""

    objects: dict[str, bytes] = field(default_factory=dict)
    creating: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def create(self, key: str, body: bytes) -> None:
        with self.creating:
            if key in self.objects:
                raise AlreadyExists("is there already", where=key)
            self.objects[key] = body

    def get(self, key: str) -> bytes:
        if key not in self.objects:
            raise Missing("is not there", where=key)
        return self.objects[key]

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        keys = list(self.objects)  # at once: others may be writing
        return iter(sorted(key for key in keys if key.startswith(prefix) and key > after))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def odd_documents(draw: st.DrawFn, whole: dict[str, Any]) -> dict[str, Any]:
    """This document with one part, at any depth, replaced, removed or added."""
    document = json.loads(json.dumps(whole))
    part: Any = document
    while True:
        key = draw(st.sampled_from([*(part if isinstance(part, dict) else range(len(part))), "more"]))
        inner = part[key] if key != "more" else None
        if isinstance(inner, dict | list) and inner and draw(st.booleans()):
            part = inner
            continue
        break
    if isinstance(part, list):
        part.append(draw(JSON)) if key == "more" else part.__setitem__(key, draw(JSON))
    elif key != "more" and draw(st.booleans()):
        del part[key]
    else:
        part[key] = draw(JSON)
    return dict(document)


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


def newest_lock(store: Store, environment: str = "dev") -> LockId:
    """The lock that a person is shown now."""
    locks = Locks(store=store, environment=environment, keyring=KEYRING)
    held = locks.newest()
    assert held
    return locks.id_of(held)


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


@dataclass
class Interrupted(Counting):
    """A store beside which something happens once: before or after the first call that does `when` to `key`…"""

    when: str = "list"
    key: str = ""
    then: Callable[[], Any] | None = None
    after: bool = False

    def create(self, key: str, body: bytes) -> None:
        with self._around("create", key):
            super().create(key, body)

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        with self._around("list", prefix):
            return iter(list(super().list(prefix, after)))

    @contextmanager
    def _around(self, when: str, key: str) -> Iterator[None]:
        happens = self.then if (when, self.key) == (self.when, key[: len(self.key)]) else None
        if happens:
            self.then = None
        if happens and not self.after:
            happens()
        yield
        if happens and self.after:
            happens()
