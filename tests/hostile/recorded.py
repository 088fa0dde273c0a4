"""What is kept beside an environment: journal, lock, keys, secrets, bundles."""

import gzip
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from tests.hostile.declared import PROJECT
from tests.hostile.parser import Parser

from rekindle import secrets
from rekindle.infrastructure import Recorded
from rekindle.journal import entries as kinds
from rekindle.journal.holder import Holder
from rekindle.journal.journal import Journal
from rekindle.journal.keys import open_keyring
from rekindle.journal.lock import Lock, Locks
from rekindle.journal.release import MANIFEST, Release, Releases
from rekindle.journal.seal import seal, unseal
from rekindle.journal.store import AlreadyExists, Missing
from rekindle.plan import canonical
from rekindle.replay import last
from rekindle.secrets import Keyring, PassphraseEnvelope, Secret

ENVIRONMENT = "dev"
KEYRING = Keyring(b"k" * 32)
NOW = datetime(2026, 11, 21, 3, tzinfo=UTC)
secrets.SCRYPT["n"] = 2  # what a passphrase costs to guess is not what is tried here


class Kept:
    """A store in memory."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def create(self, key: str, body: bytes, **more: Any) -> None:
        if key in self.objects:
            raise AlreadyExists("is there already", where=key)
        self.objects[key] = body

    def get(self, key: str) -> bytes:
        if key not in self.objects:
            raise Missing("is not there", where=key)
        return self.objects[key]

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        return iter(sorted(key for key in self.objects if key.startswith(prefix) and key > after))


def parsers(scratch: Path) -> Iterator[Parser]:
    """All of them."""
    store = Kept()
    _begin(store)
    for kind in ("journal", "checkpoints", "lock"):
        keys = sorted(key for key in store.objects if key.startswith(f"{kind}/"))
        for key in keys if kind == "journal" else keys[:1]:  # of the others, only the newest is read
            yield Parser(key, _in_place(store, key), [store.objects[key]], "json")
            content = json.dumps(unseal(KEYRING, key, store.objects[key])).encode()
            yield Parser(f"{key}, sealed", _sealed(store, key), [content], "json")
    yield from _keys()
    yield from _releases()
    yield Parser("secret", _secret, [KEYRING.encrypt(Secret("value"), "secrets/dev/a/1")])


def _begin(store: Any) -> None:
    """An environment with something of everything on record."""
    step = {"target": "marathon", "subject": "app:/a", "before_digest": None, "after_digest": "0" * 64}
    seconds = count()
    with Lock.acquire(store, ENVIRONMENT, KEYRING, Holder.of_this_process("apply")) as lock:
        journal = Journal.open(store, ENVIRONMENT, KEYRING, lock=lock)
        for _ in range(2):
            journal.append(
                kinds.ReleaseEntry(release="0" * 64, command="apply", rekindle_version="0"),
                kinds.Begun(**step, after={"cmd": "x"}, release="r", command="apply"),
                kinds.Succeeded(**step),
                kinds.Begun(**{**step, "subject": "app:/b"}, after=None, release="r", command="apply"),
                kinds.Failed(**{**step, "subject": "app:/b"}, error="x"),
                kinds.Pinned(host="m", instance_id="i-1", host_key="ssh-ed25519 AAAA"),
                kinds.RestorePoint(
                    id="p", release="r", status="complete", consistency="frozen", barrier={"a": 1}, started=NOW,
                    volumes=(kinds.VolumeCopy(name="v", volume_id="vol-1", az="z", size_gib=1),),
                ),
                kinds.SecretSet(name="a", version=1, digest="0"),
                kinds.Operation(
                    name=f"pulumi dev {next(seconds)}", phase="begun",
                    details={"host": "h", "boot_id": "b", "pid": 1, "start": 2, "command": "up"},
                ),
                kinds.SupersededBy(environment="dev-dr", epoch=1),
                kinds.Fenced(epoch=1),
            )  # fmt: skip
            journal.checkpoint()


def _read(store: Any) -> None:
    """All that commands make of what is recorded."""
    Locks(store=store, environment=ENVIRONMENT, keyring=KEYRING).newest()
    journal = Journal.open(store, ENVIRONMENT, KEYRING)
    canonical(journal.fold().document())
    journal.fold().require_in_force(ENVIRONMENT)
    list(journal.entries())
    Recorded(journal, ENVIRONMENT).unfinished()
    last(journal)


def _in_place(store: Kept, key: str) -> Callable[[bytes], None]:
    right = store.objects[key]

    def feed(body: bytes) -> None:
        store.objects[key] = body
        try:
            _read(store)
        finally:
            store.objects[key] = right

    return feed


def _sealed(store: Kept, key: str) -> Callable[[bytes], None]:
    place = _in_place(store, key)
    return lambda body: _as_sealed(key, body, place)


def _keys() -> Iterator[Parser]:
    envelope = PassphraseEnvelope(Secret("a passphrase"))
    store = Kept()
    open_keyring(store, ENVIRONMENT, envelope, keep=True)
    (key,) = store.objects
    right = store.objects[key]

    def feed(body: bytes) -> None:
        store.objects[key] = body
        try:
            open_keyring(store, ENVIRONMENT, envelope, keep=False)
        finally:
            store.objects[key] = right

    yield Parser("key document", feed, [right], "json")


def _releases() -> Iterator[Parser]:
    """The bundle and what is said of it, and a bundle with another manifest that somebody sealed."""
    store, release = Kept(), Release.of(PROJECT)
    releases = Releases(store=store, environment=ENVIRONMENT, keyring=KEYRING)
    releases.save(release)
    for key in store.objects:
        yield Parser(f"release: {key[:20]}", _loading(store, key, releases, release.digest), [store.objects[key]])
    sealed = next(key for key in store.objects if key.endswith(".json"))
    content = json.dumps(unseal(KEYRING, sealed, store.objects[sealed])).encode()
    load = _loading(store, sealed, releases, release.digest)
    yield Parser("release, sealed", lambda body: _as_sealed(sealed, body, load), [content], "json")
    yield Parser(
        "manifest", lambda body: _opened(release, _packed(release, body)), [_members(release)[MANIFEST]], "json"
    )


def _loading(store: Kept, key: str, releases: Releases, digest: str) -> Callable[[bytes], None]:
    right = store.objects[key]

    def feed(body: bytes) -> None:
        store.objects[key] = body
        try:
            releases.load(digest)
        finally:
            store.objects[key] = right

    return feed


def _as_sealed(key: str, body: bytes, feed: Callable[[bytes], None]) -> None:
    """As one who has the environment's key would write it."""
    try:
        value = json.loads(body)
        body = seal(KEYRING, key, value) if isinstance(value, dict) else body
    except (ValueError, RecursionError, TypeError):
        return  # nobody can seal this
    feed(body)


def _opened(release: Release, body: bytes) -> None:
    """All that is read of a bundle that has passed its seal."""
    odd = replace(release, body=body)
    odd.artifacts, odd.values, odd.entry("apply")
    odd.verify()


def _packed(release: Release, manifest: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in (_members(release) | {MANIFEST: manifest}).items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return gzip.compress(packed.getvalue(), 1)


@cache
def _members(release: Release) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(release.body), mode="r:gz") as archive:
        streams = {member.name: archive.extractfile(member) for member in archive.getmembers()}
        return {name: stream.read() for name, stream in streams.items() if stream}


def _secret(body: bytes) -> None:
    KEYRING.decrypt(body, "secrets/dev/a/1")
