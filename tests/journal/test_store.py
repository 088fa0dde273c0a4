"""A key is written once, an object is whole, keys come in order: the same of both stores."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from journal_world import BUCKET, REGION, World

from rekindle.aws.clients import Clients
from rekindle.errors import InputError
from rekindle.journal.store import AlreadyExists, DirectoryStore, Missing, S3Store


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
def test_keys_are_listed_in_order(aws: Clients, prefix: str, after: str, keys: list[str]) -> None:
    client = aws.s3(REGION)
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    store = S3Store(client, BUCKET)
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


def test_a_list_longer_than_a_page_is_whole(aws: Clients) -> None:
    client = aws.s3(REGION)
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    keys = [f"a/{number:04d}" for number in range(60)]
    for key in keys:
        client.put_object(Bucket=BUCKET, Key=key, Body=b"")
    assert list(S3Store(client, BUCKET).list("a/")) == keys


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


def test_an_object_can_be_retained(aws: Clients) -> None:
    client, until = aws.s3(REGION), datetime.now(UTC).replace(microsecond=0) + timedelta(days=7)
    client.create_bucket(
        Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION}, ObjectLockEnabledForBucket=True
    )
    S3Store(client, BUCKET, retention_mode="COMPLIANCE").create("a/1", b"body", retain_until=until)
    found = client.head_object(Bucket=BUCKET, Key="a/1")
    assert (found["ObjectLockMode"], found["ObjectLockRetainUntilDate"]) == ("COMPLIANCE", until)


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../a", "a/../../b", ".unfinished/a"])
def test_a_key_stays_inside_the_folder(tmp_path: Path, key: str) -> None:
    with pytest.raises(InputError):
        DirectoryStore(tmp_path).create(key, b"")


def test_nothing_unfinished_is_left_or_listed(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.create("a/1", b"x")
    (tmp_path / ".unfinished" / "killed").write_bytes(b"half")
    assert list(store.list("")) == ["a/1"]
