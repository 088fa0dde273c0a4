"""Attacks on what the journal's store holds, by somebody who may write to it: each is told by its seed alone.

They delete, write over, swap, truncate, reorder, renumber, bring older objects back and plant new ones, one at a time
and together, in a bucket (versions, and retention that is not bypassed) and in a folder. Each must end in an error
that names an object, or change nothing that anybody reads; in a folder also in an older state, as docs/adr/0003 says.

    .venv/bin/python -m tests.hostile.tampering --rounds 2000
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import boto3
from botocore.exceptions import ClientError
from moto import mock_aws

from rekindle.errors import RekindleError
from rekindle.journal.entries import Begun, Operation, Pinned, ReleaseEntry, Succeeded, SupersededBy
from rekindle.journal.holder import Holder
from rekindle.journal.journal import Journal
from rekindle.journal.lock import Lock, Locks
from rekindle.journal.store import AlreadyExists, DirectoryStore, S3Store, Store
from rekindle.plan import canonical
from rekindle.secrets import Keyring

KEYRING = Keyring(b"k" * 32)
ENVIRONMENT, ANOTHER = "dev", "qa"
BUCKET, REGION = "journal", "us-west-2"
BEGIN = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)

REFUSED = "refused by the store"
DETECTED = "detected"
HARMLESS = "harmless"
OLDER = "older state"
DAMAGE = "damage"
OUTCOMES = (REFUSED, DETECTED, HARMLESS, OLDER, DAMAGE)


# What there was before


@dataclass
class History:
    """All objects in the order in which they were created, and what the journal said after each of them."""

    chance: random.Random
    objects: dict[str, bytes] = field(default_factory=dict)
    states: set[bytes] = field(default_factory=set)
    now: datetime = BEGIN

    def create(self, key: str, body: bytes) -> None:
        if key in self.objects:
            raise AlreadyExists("is there already", where=key)
        self.objects[key] = body

    def get(self, key: str) -> bytes:
        return self.objects[key]

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        return iter(sorted(key for key in self.objects if key.startswith(prefix) and key > after))

    def live(self) -> None:
        """Some commands, of which some are killed and then taken over."""
        for number in range(self.chance.randint(2, 5)):
            self._command(ENVIRONMENT, number)
        self._command(ANOTHER, 0)

    def _command(self, environment: str, number: int) -> None:
        locks = Locks(store=self, environment=environment, keyring=KEYRING)
        newest = locks.newest()
        holder = Holder(name="ada", place="elsewhere", pid=1, started=1, reason="apply", command_id=str(number))
        take = [locks.id_of(newest)] if newest else []
        lock = Lock.acquire(self, environment, KEYRING, holder, take=take, clock=self.clock)
        journal = Journal.open(self, environment, KEYRING, lock=lock, clock=self.clock)
        self._lived(environment, journal)
        for step in range(self.chance.randint(1, 4)):
            journal.append(*self._entries(f"{number}-{step}"))
            self._lived(environment, journal)
            self.chance.choice([lock.renew, journal.checkpoint, lambda: None])()
            self._lived(environment, journal)
        if self.chance.random() < 0.7:
            lock.release()

    def _entries(self, name: str) -> Sequence[Any]:
        step = {"target": "a", "subject": f"file:/{name}", "before_digest": None, "after_digest": None}
        return self.chance.choice(
            [
                [Pinned(host=name, instance_id=None, host_key="ssh-ed25519 AAAA")],
                [ReleaseEntry(release=name, command="apply", rekindle_version="1")],
                [Begun(**step, after={"v": 1}, release="r", command="apply"), Succeeded(**step)],
                [Operation(name="replay", phase="begun", details={"epoch": 1}), SupersededBy(environment="x", epoch=1)],
            ]
        )

    def _lived(self, environment: str, journal: Journal) -> None:
        if environment == ENVIRONMENT:
            self.states.add(said_of(journal))

    def clock(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


def said_of(journal: Journal) -> bytes:
    """All that commands take from a journal."""
    return canonical([journal.head.document(), journal.fold().document()])


# What is attacked


class Place(Protocol):
    """A store, and what its attacker can do to it."""

    store: Store

    def delete(self, key: str) -> None: ...

    def put(self, key: str, body: bytes) -> None: ...

    def purge(self, key: str) -> None:
        """All that is left of it."""

    def restore(self, key: str) -> None:
        """As if nothing had been done to it."""


@dataclass
class Bucket:
    client: Any
    history: History

    def __post_init__(self) -> None:
        self.store = S3Store(self.client, BUCKET)
        self.client.create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION}, ObjectLockEnabledForBucket=True
        )
        for key, body in self.history.objects.items():
            self.store.create(key, body)

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=BUCKET, Key=key)

    def put(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=key, Body=body)

    def purge(self, key: str) -> None:
        for version in self._versions(key):
            self.client.delete_object(Bucket=BUCKET, Key=key, VersionId=version)

    def restore(self, key: str) -> None:
        for version in self._versions(key):
            with suppress(ClientError):  # of what is retained
                self.client.delete_object(Bucket=BUCKET, Key=key, VersionId=version)

    def _versions(self, key: str) -> list[str]:
        found = self.client.list_object_versions(Bucket=BUCKET, Prefix=key)
        return [
            v["VersionId"] for kind in ("Versions", "DeleteMarkers") for v in found.get(kind, ()) if v["Key"] == key
        ]


@dataclass
class Folder:
    path: Path
    history: History

    def __post_init__(self) -> None:
        self.store = DirectoryStore(self.path)
        for key, body in self.history.objects.items():
            self.put(key, body)

    def delete(self, key: str) -> None:
        (self.path / key).unlink(missing_ok=True)

    def put(self, key: str, body: bytes) -> None:
        (self.path / key).parent.mkdir(parents=True, exist_ok=True)
        (self.path / key).write_bytes(body)

    def purge(self, key: str) -> None:
        self.delete(key)

    def restore(self, key: str) -> None:
        self.put(key, self.history.objects[key])


# Attacks


@dataclass
class Attacker:
    """Somebody who knows all about the format and has no key."""

    place: Place
    chance: random.Random
    objects: dict[str, bytes]

    def keys(self, *kinds: str) -> list[str]:
        """Oldest first."""
        prefixes = tuple(f"{kind}/{ENVIRONMENT}/" for kind in kinds or ("journal", "lock", "checkpoints"))
        return [key for key in self.objects if key.startswith(prefixes)]

    def one(self, *kinds: str) -> str:
        keys = self.keys(*kinds)
        return self.chance.choice(keys or self.keys())

    def last(self, *kinds: str) -> list[str]:
        keys = self.keys(*kinds)
        return keys[-self.chance.randint(1, max(1, len(keys))) :]

    def take_away(self, keys: list[str]) -> None:
        away = self.chance.choice([self.place.delete, self.place.purge])
        for key in keys:
            away(key)

    def delete_one(self) -> None:
        self.take_away([self.one()])

    def delete_newest_locks(self) -> None:
        self.take_away(self.last("lock"))

    def delete_newest_checkpoints(self) -> None:
        self.take_away(self.last("checkpoints"))

    def cut_the_tail(self) -> None:
        self.take_away(self.last("journal"))

    def cut_tail_and_locks(self) -> None:
        self.take_away(self.last("journal", "lock"))

    def roll_all_back(self) -> None:
        self.take_away(self.last())

    def delete_all(self) -> None:
        self.take_away(self.keys())

    def truncate(self) -> None:
        key = self.one()
        self.place.put(key, self.objects[key][: self.chance.randrange(len(self.objects[key]))])

    def flip(self) -> None:
        key = self.one()
        body = bytearray(self.objects[key])
        body[self.chance.randrange(len(body))] ^= 1 << self.chance.randrange(8)
        self.place.put(key, bytes(body))

    def swap(self) -> None:
        one, other = self.one(), self.one()
        self.place.put(one, self.objects[other])
        self.place.put(other, self.objects[one])

    def reorder(self) -> None:
        keys = self.keys("journal")
        for key, other in zip(keys, self.chance.sample(keys, len(keys)), strict=True):
            self.place.put(key, self.objects[other])

    def renumber(self) -> None:
        """One is left out, and those after it move up."""
        keys = self.keys("journal")
        first = self.chance.randrange(len(keys))
        for key, following in zip(keys[first:], keys[first + 1 :], strict=False):
            self.place.put(key, self.objects[following])
        self.take_away(keys[-1:])

    def bring_an_older_one_back(self) -> None:
        """Under the key of the newest of its kind."""
        kind = self.chance.choice(["lock", "checkpoints", "journal"])
        keys = self.keys(kind) or self.keys("lock")
        self.place.put(keys[-1], self.objects[self.chance.choice(keys)])

    def plant(self) -> None:
        """Under a key that sorts first, next, or last of its kind."""
        kind = self.chance.choice(["lock", "checkpoints", "journal"])
        following = f"{len(self.keys('journal')) + 1:012d}"
        name = self.chance.choice(["000000000000", following, "999999999999", "notes", "999999999998/999999999900"])
        body = self.chance.choice([b"", b"{}", b"\xff", b"[" * 5000, self.objects[self.one()]])
        self.place.put(f"{kind}/{ENVIRONMENT}/{name}.json", body)

    def copy_from_another_environment(self) -> None:
        theirs = [key for key in self.objects if f"/{ANOTHER}/" in key]
        key = self.chance.choice(theirs)
        self.place.put(key.replace(f"/{ANOTHER}/", f"/{ENVIRONMENT}/"), self.objects[key])

    def do_and_undo(self) -> None:
        keys = self.last()
        for key in keys:
            self.chance.choice([self.place.delete, lambda key: self.place.put(key, b"")])(key)
        for key in keys:
            self.place.restore(key)

    def write_the_same_over(self) -> None:
        key = self.one()
        self.place.put(key, self.objects[key])

    def delete_and_write_again(self) -> None:
        key = self.one()
        self.place.delete(key)
        self.place.put(key, self.objects[self.chance.choice([key, self.one()])])

    def some_of_these(self) -> None:
        for _ in range(self.chance.randint(2, 5)):
            self.chance.choice(SINGLE)(self)


SINGLE: tuple[Callable[[Attacker], None], ...] = (
    Attacker.delete_one,
    Attacker.delete_newest_locks,
    Attacker.delete_newest_checkpoints,
    Attacker.cut_the_tail,
    Attacker.cut_tail_and_locks,
    Attacker.roll_all_back,
    Attacker.delete_all,
    Attacker.truncate,
    Attacker.flip,
    Attacker.swap,
    Attacker.reorder,
    Attacker.renumber,
    Attacker.bring_an_older_one_back,
    Attacker.plant,
    Attacker.copy_from_another_environment,
    Attacker.do_and_undo,
    Attacker.write_the_same_over,
    Attacker.delete_and_write_again,
)
ATTACKS = (*SINGLE, Attacker.some_of_these)


# What came of it


def outcome(place: Place, history: History, attack: Callable[[], None]) -> str:
    """How an attack ended for the next command."""
    before = seen(history)
    try:
        attack()
        was_refused = False
    except ClientError:
        was_refused = True
    try:
        after = seen(place.store)
        _go_on(place.store)
    except RekindleError:
        return DETECTED
    if after == before:
        return REFUSED if was_refused else HARMLESS
    return OLDER if after[0] in history.states | {said_of(_empty())} else DAMAGE


def seen(store: Store) -> tuple[bytes, int]:
    """What a command reads: what the journal says, and the newest lock."""
    journal = Journal.open(store, ENVIRONMENT, KEYRING)
    list(journal.entries())
    newest = Locks(store=store, environment=ENVIRONMENT, keyring=KEYRING).newest()
    return said_of(journal), newest.generation if newest else 0


def _go_on(store: Store) -> None:
    """The next command writes, and another reads that."""
    locks = Locks(store=store, environment=ENVIRONMENT, keyring=KEYRING)
    newest = locks.newest()
    holder = Holder(name="next", place="next", pid=1, started=1, reason="apply", command_id="next")
    lock = Lock.acquire(store, ENVIRONMENT, KEYRING, holder, take=[locks.id_of(newest)] if newest else [])
    Journal.open(store, ENVIRONMENT, KEYRING, lock=lock).append(
        Pinned(host="next", instance_id=None, host_key="ssh-ed25519 AAAA")
    )
    lock.release()
    assert "next" in Journal.open(store, ENVIRONMENT, KEYRING).fold().pins


def _empty() -> Journal:
    return Journal.open(History(random.Random()), ENVIRONMENT, KEYRING)


@contextmanager
def bucket(history: History) -> Iterator[Place]:
    client = _client()
    with mock_aws():
        yield Bucket(client, history)


@cache
def _client() -> Any:
    return boto3.client("s3", region_name=REGION, aws_access_key_id="testing", aws_secret_access_key="testing")


@contextmanager
def folder(history: History) -> Iterator[Place]:
    path = Path(tempfile.mkdtemp(prefix="tampering-"))
    try:
        yield Folder(path, history)
    finally:
        shutil.rmtree(path)


def attacked(kind: str, seed: int) -> tuple[str, str, str]:
    """The attack's name, how it ended, and what it did wrong, if anything."""
    chance = random.Random(seed)
    history = History(chance)
    history.live()
    attack = ATTACKS[seed % len(ATTACKS)]
    name = attack.__name__.replace("_", " ")
    try:
        with {"bucket": bucket, "folder": folder}[kind](history) as place:
            ended = outcome(place, history, lambda: attack(Attacker(place, chance, dict(history.objects))))
    except Exception as error:
        return name, DAMAGE, f"{kind}, seed {seed}, {name}: {type(error).__name__}: {error}"
    if ended == DAMAGE or (kind == "bucket" and ended == OLDER):
        return name, DAMAGE, f"{kind}, seed {seed}, {name}: {ended}"
    return name, ended, ""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2000, help="in each kind of store")
    parser.add_argument("--seed", type=int, default=0, help="of the first attack")
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    damage = 0
    for kind in ("bucket", "folder"):
        began, table = time.monotonic(), dict[str, Counter[str]]()
        seeds = range(asked.seed, asked.seed + asked.rounds)
        with ProcessPoolExecutor(asked.processes) as pool:
            for name, ended, wrong in pool.map(attacked, [kind] * asked.rounds, seeds, chunksize=20):
                table.setdefault(name, Counter())[ended] += 1
                if wrong:
                    print(wrong)
        damage += _shown(kind, table, time.monotonic() - began)
    return 1 if damage else 0


def _shown(kind: str, table: dict[str, Counter[str]], seconds: float) -> int:
    """Prints the table; the number of attacks that did damage."""
    total = sum(table.values(), Counter[str]())
    print(f"\n{kind}, {total.total()} attacks, {seconds:.0f} s")
    print(f"{'':32}" + "".join(f"{ended:>22}" for ended in OUTCOMES))
    for name, counts in [*sorted(table.items()), ("all", total)]:
        print(f"{name:32}" + "".join(f"{counts[ended]:22d}" for ended in OUTCOMES))
    return total[DAMAGE]


if __name__ == "__main__":
    sys.exit(main())
