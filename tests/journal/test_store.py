"""A key is written once, an object is whole, keys come in order: the same of both stores."""

import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from journal_world import BUCKET, REGION, World, make_bucket

from rekindle.aws import objects
from rekindle.aws.clients import Clients
from rekindle.aws.objects import RetentionMode
from rekindle.errors import CommandFailed, InputError, JournalDamaged, RekindleError
from rekindle.journal.store import UNFINISHED, AlreadyExists, DirectoryStore, Missing, S3Store, create_or_own


def test_an_object_is_created_once(world: World) -> None:
    world.store.create("a/1", b"first")
    with pytest.raises(AlreadyExists):
        world.store.create("a/1", b"second")
    assert world.store.get("a/1") == b"first"


def test_even_the_same_bytes_are_not_created_twice(world: World) -> None:
    world.store.create("a/1", b"same")
    with pytest.raises(AlreadyExists):
        world.store.create("a/1", b"same")


def test_what_is_not_there_is_missing(world: World) -> None:
    with pytest.raises(Missing, match="a/1"):
        world.store.get("a/1")


@pytest.fixture
def bucket(aws: Clients) -> Any:
    client = aws.s3(REGION)
    make_bucket(client)
    return client


@pytest.mark.parametrize(
    ("prefix", "after", "keys"),
    [
        ("a/", "", ["a/1", "a/1/x", "a/2", "a/3"]),
        ("a/", "a/1", ["a/1/x", "a/2", "a/3"]),
        ("a/", "a/3", []),
        ("a", "", ["a-b/1", "a/1", "a/1/x", "a/2", "a/3"]),
        ("c/", "", []),
    ],
)
def test_keys_are_listed_in_order(bucket: Any, prefix: str, after: str, keys: list[str]) -> None:
    store = S3Store(bucket, BUCKET)
    for key in ("a/2", "a/1", "a/3", "a/1/x", "a-b/1"):
        store.create(key, b"")
    assert list(store.list(prefix, after)) == keys


def test_a_folder_lists_as_a_bucket_does(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    for key in ("a/2.json", "a/1.json", "a/1/x.json", "a-b/1.json"):
        store.create(key, b"")
    assert list(store.list("a/")) == ["a/1.json", "a/1/x.json", "a/2.json"]
    assert list(store.list("a/1")) == ["a/1.json", "a/1/x.json"]
    assert list(store.list("a")) == ["a-b/1.json", "a/1.json", "a/1/x.json", "a/2.json"]


def test_a_list_longer_than_a_page_is_whole(bucket: Any) -> None:
    keys = [f"a/{number:04d}" for number in range(60)]
    for key in keys:
        bucket.put_object(Bucket=BUCKET, Key=key, Body=b"")
    assert list(S3Store(bucket, BUCKET).list("a/")) == keys
    assert list(S3Store(bucket, BUCKET).list("a/", keys[29])) == keys[30:]


def delete(client: Any, key: str) -> None:
    client.delete_object(Bucket=BUCKET, Key=key)


def write_over(client: Any, key: str) -> None:
    client.put_object(Bucket=BUCKET, Key=key, Body=b"1")


def delete_and_write(client: Any, key: str) -> None:
    delete(client, key)
    S3Store(client, BUCKET).create(key, b"1")


@pytest.mark.parametrize(
    ("act", "words"),
    [(delete, "was deleted"), (write_over, "it has 2 versions"), (delete_and_write, "was deleted")],
)
@pytest.mark.parametrize("number", [0, 1, 24, 25, 26, 59])
def test_a_list_stops_at_a_key_that_was_touched(
    bucket: Any, act: Callable[[Any, str], None], words: str, number: int
) -> None:
    """Wherever it stands: at the edge of a page too."""
    store, keys = S3Store(bucket, BUCKET), [f"a/{number:04d}" for number in range(60)]
    for key in keys:
        bucket.put_object(Bucket=BUCKET, Key=key, Body=b"1")
    act(bucket, keys[number])
    listed: list[str] = []
    with pytest.raises(JournalDamaged, match=words) as caught:
        listed.extend(store.list("a/"))
    assert caught.value.where == f"s3://{BUCKET}/{keys[number]}"
    assert f"--bucket {BUCKET} --prefix {keys[number]}" in caught.value.next_step
    assert list(islice(store.list("a/"), number)) == keys[:number]


def test_what_was_known_before_is_not_looked_at_again(bucket: Any) -> None:
    store = S3Store(bucket, BUCKET)
    for key in ("a/1", "a/2", "a/3"):
        store.create(key, b"")
    write_over(bucket, "a/1")
    assert list(store.list("a/", "a/1")) == ["a/2", "a/3"]


def test_a_list_for_its_first_key_asks_once(bucket: Any) -> None:
    asked: list[Any] = []
    for number in range(60):
        bucket.put_object(Bucket=BUCKET, Key=f"a/{number:04d}", Body=b"1")
    bucket.meta.events.register("before-call.s3", lambda **call: asked.append(call["model"].name), unique_id="count")
    assert next(S3Store(bucket, BUCKET).list("a/")) == "a/0000"
    assert asked == ["ListObjectVersions"]
    bucket.meta.events.unregister("before-call.s3", unique_id="count")


def test_of_many_who_create_one_key_one_wins(world: World) -> None:
    def contend(number: int) -> bool:
        try:
            world.store.create("a/1", str(number).encode())
            return True
        except AlreadyExists:
            return False

    with ThreadPoolExecutor(max_workers=16) as pool:
        won = [number for number, won in enumerate(pool.map(contend, range(16))) if won]
    assert world.store.get("a/1") == str(won[0]).encode()
    assert len(won) == 1


YEARS = timedelta(days=3650)


@pytest.mark.parametrize(
    ("key", "kept"),
    [
        ("keys/dev.json", YEARS),
        ("secrets/dev/a/1", YEARS),
        ("releases/1", YEARS),
        ("journal/dev/000000000001.json", YEARS),
        ("checkpoints/dev/1.json", YEARS),
        ("lock/dev/1.json", timedelta(days=400)),
        ("lock/dev/1/1.json", timedelta(days=400)),
        ("what-comes-later/1", YEARS),
    ],
)
@pytest.mark.parametrize("mode", ["GOVERNANCE", "COMPLIANCE"])
def test_every_object_is_retained(bucket: Any, key: str, kept: timedelta, mode: RetentionMode) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    S3Store(bucket, BUCKET, retention_mode=mode, clock=lambda: now).create(key, b"body")
    found = bucket.head_object(Bucket=BUCKET, Key=key)
    assert (found["ObjectLockMode"], found["ObjectLockRetainUntilDate"]) == (mode, now + kept)


def test_what_is_retained_can_be_hidden_and_not_removed(bucket: Any) -> None:
    S3Store(bucket, BUCKET).create("lock/dev/1.json", b"")
    version = bucket.list_object_versions(Bucket=BUCKET)["Versions"][0]["VersionId"]
    with pytest.raises(ClientError, match="AccessDenied"):
        bucket.delete_object(Bucket=BUCKET, Key="lock/dev/1.json", VersionId=version)


@pytest.mark.parametrize(("there", "ours"), [(None, True), (b"ours", True), (b"theirs", False)])
def test_what_is_there_already_may_be_ours(world: World, there: bytes | None, ours: bool) -> None:
    if there:
        world.store.create("a/1", there)
    with nullcontext() if ours else pytest.raises(AlreadyExists):
        create_or_own(world.store, "a/1", b"ours")
    assert world.store.get("a/1") == (there or b"ours")


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../a", "a/../../b", ".unfinished/a", "a\0b"])
def test_a_key_stays_inside_the_folder(tmp_path: Path, key: str) -> None:
    with pytest.raises(InputError):
        DirectoryStore(tmp_path).create(key, b"")


def test_nothing_unfinished_is_left_or_listed(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.create("a/1", b"x")
    (tmp_path / ".unfinished" / "killed").write_bytes(b"half")
    assert list(store.list("")) == ["a/1"]


# A folder that cannot be used


def full(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)


def without_links(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(source: Path, target: Path) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(source))

    monkeypatch.setattr(os, "link", link)


def in_the_way(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a").unlink(missing_ok=True)
    (folder / "a").write_bytes(b"")


def absent(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.rmdir()


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (full, "No space left on device"),
        (without_links, "Operation not permitted"),
        (in_the_way, "File exists|Not a directory"),
        (absent, "there is no such folder"),
    ],
)
def test_a_folder_that_cannot_be_used_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: Callable[[Path, pytest.MonkeyPatch], None], words: str
) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    harm(folder, monkeypatch)
    with pytest.raises(RekindleError, match=words) as caught:
        DirectoryStore(folder).create("a/1", b"")
    assert str(folder) in caught.value.where
    assert caught.value.next_step
    assert not list((folder / UNFINISHED).glob("*"))


def test_a_folder_that_is_not_there_is_not_an_empty_store(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such folder"):
        DirectoryStore(tmp_path / "not mounted").list("journal/dev/")


def test_what_cannot_be_read_is_not_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    DirectoryStore(tmp_path).create("a/b/1", b"")
    scandir = os.scandir

    def forbidden(path: Any) -> Any:
        if str(path).endswith("/b"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", forbidden)
    with pytest.raises(CommandFailed, match="Permission denied"):
        DirectoryStore(tmp_path).list("a/")


def test_an_object_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "a" / "1").mkdir(parents=True)
    with pytest.raises(CommandFailed, match="Is a directory"):
        DirectoryStore(tmp_path).get("a/1")


def test_a_new_object_and_its_name_outlive_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bytes before it has its name; then the folder it is in, and those above that may be new."""
    synced, fsync = list[str](), os.fsync

    def watched(handle: int) -> None:
        name = os.readlink(f"/proc/self/fd/{handle}")
        synced.append("bytes" if UNFINISHED in name else str(Path(name).relative_to(tmp_path)))
        synced.append("named" if (tmp_path / "a/b/1").exists() else "nameless")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", watched)
    DirectoryStore(tmp_path).create("a/b/1", b"body")
    assert synced == ["bytes", "nameless", "a/b", "named", "a", "named", ".", "named"]


def test_an_object_cannot_be_changed_by_mistake(tmp_path: Path) -> None:
    DirectoryStore(tmp_path).create("a/1", b"body")
    assert (tmp_path / "a/1").stat().st_mode & 0o777 == 0o400


def test_what_is_larger_than_any_of_ours_is_not_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "LARGEST_READ", 4)
    for key, body in (("a/1", b"1234"), ("a/2", b"12345")):
        world.store.create(key, body)
    assert world.store.get("a/1") == b"1234"
    with pytest.raises(JournalDamaged, match="a/2: has 5 bytes"):
        world.store.get("a/2")
