"""Contests for one environment's lock, by the thousand, in virtual time: each is told by its seed alone.

Two to four people start commands on one environment; they wait, or take the lock that they were shown. Their store
is slow, loses answers, lands what it was sent late, and answers with errors; their clocks differ; they are stopped
for longer than a lease, or killed. However it goes, the journal must be readable, hold all that an append said was
written and nothing twice, and nothing of a loser after its winner's fence.

    .venv/bin/python -m tests.hostile.contests --rounds 10000
"""

import argparse
import heapq
import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from rekindle.errors import CommandFailed, LockHeld, RekindleError, Unreachable
from rekindle.journal import chain
from rekindle.journal.entries import Pinned
from rekindle.journal.holder import Holder
from rekindle.journal.journal import AnotherWriter, Journal
from rekindle.journal.lock import Lock, LockId, Locks
from rekindle.journal.store import AlreadyExists, Missing
from rekindle.secrets import Keyring

KEYRING = Keyring(b"k" * 32)
ENVIRONMENT = "dev"
BEGIN = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)


class Killed(BaseException):
    """The process ends here; nothing of it may tidy up."""


class Inline:
    """A pool without threads: who runs is the scheduler's to say."""

    def __init__(self, max_workers: int) -> None: ...

    def __enter__(self) -> "Inline":
        return self

    def __exit__(self, *raised: object) -> None: ...

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        return map(function, items)


# Virtual time


class Actor:
    """A thread that runs only when the scheduler says so, and gives way whenever it sleeps."""

    def __init__(self, scheduler: "Scheduler", work: Callable[[], None]) -> None:
        self._scheduler = scheduler
        self.turn = threading.Semaphore(0)
        self.is_killed = False
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=[work], daemon=True)
        self._thread.start()

    def _run(self, work: Callable[[], None]) -> None:
        self.turn.acquire()
        try:
            if not self.is_killed:
                work()
        except Killed:
            pass
        except BaseException as error:
            self.error = error
        self._scheduler.give_way()


class Scheduler:
    """Wakes actors in the order of virtual time, one at a time."""

    def __init__(self, chance: random.Random) -> None:
        self.now = 0.0
        self._chance = chance
        self._waiting: list[tuple[float, float, Actor]] = []
        self._back = threading.Semaphore(0)
        self._running: Actor | None = None
        self._actors: list[Actor] = []

    def start(self, work: Callable[[], None], after: float = 0.0) -> Actor:
        actor = Actor(self, work)
        self._actors.append(actor)
        self._wake(actor, after)
        return actor

    def sleep(self, seconds: float) -> None:
        """Of the actor that runs; Killed if it was killed meanwhile."""
        actor = self._running
        assert actor
        self._wake(actor, seconds)
        self.give_way()
        actor.turn.acquire()
        if actor.is_killed:
            raise Killed

    def give_way(self) -> None:
        self._back.release()

    def run(self) -> None:
        """Until nobody waits; the first error that an actor did not expect is raised."""
        while self._waiting:
            self.now, _, self._running = heapq.heappop(self._waiting)
            self._running.turn.release()
            self._back.acquire()
        for actor in self._actors:
            if actor.error:
                raise actor.error

    def _wake(self, actor: Actor, seconds: float) -> None:
        heapq.heappush(self._waiting, (self.now + seconds, self._chance.random(), actor))


# The store


@dataclass
class Bucket:
    """Objects in memory; what it does to a request is drawn for each."""

    scheduler: Scheduler
    chance: random.Random
    trouble: float  # the share of requests that it does something to
    objects: dict[str, bytes] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def create(self, key: str, body: bytes) -> None:
        fate = self._fate("lost", "unheard", "late", "garbled")
        self.scheduler.sleep(self._latency())
        if fate == "late":
            self.scheduler.start(lambda: self._land(key, body), after=self.chance.choice([0.1, 5, 70]))
        if fate in ("lost", "late"):
            raise Unreachable("no answer")
        is_ours = self._land(key, body)
        self.scheduler.sleep(self._latency())
        if fate == "unheard":
            raise Unreachable("no answer")
        if fate == "garbled":
            raise CommandFailed("an answer that says nothing")
        if not is_ours:
            raise AlreadyExists("is there already", where=key)

    def get(self, key: str) -> bytes:
        self._asked()
        if key not in self.objects:
            raise Missing("is not there", where=key)
        return self.objects[key]

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        self._asked()
        found = sorted(key for key in self.objects if key.startswith(prefix) and key > after)
        self.scheduler.sleep(self._latency())
        return iter(found)

    def _asked(self) -> None:
        fate = self._fate("unanswered")
        self.scheduler.sleep(self._latency())
        if fate:
            raise Unreachable("no answer")

    def _land(self, key: str, body: bytes) -> bool:
        is_new = key not in self.objects
        self.objects.setdefault(key, body)
        return is_new

    def _fate(self, *kinds: str) -> str | None:
        if self.chance.random() >= self.trouble:
            return None
        fate = self.chance.choice(kinds)
        self.counts[f"requests {fate}"] += 1
        return fate

    def _latency(self) -> float:
        drawn = self.chance.random()
        if drawn < 0.94:
            return self.chance.uniform(0.005, 0.2)
        return self.chance.uniform(1, 10) if drawn < 0.99 else self.chance.uniform(20, 90)


@dataclass(frozen=True)
class Calm:
    """The same objects when all is over: nothing is slow, nothing fails."""

    objects: dict[str, bytes]

    def create(self, key: str, body: bytes) -> None:
        if key in self.objects:
            raise AlreadyExists("is there already", where=key)
        self.objects[key] = body

    def get(self, key: str) -> bytes:
        return self.objects[key]

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        return iter(sorted(key for key in self.objects if key.startswith(prefix) and key > after))


# People


@dataclass
class Told:
    """What commands were told of their entries, by name."""

    tried: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    refused: dict[str, tuple[str, str]] = field(
        default_factory=dict
    )  # never to come: by which object, of which command
    fences: list[tuple[int, int]] = field(default_factory=list)  # after which number nobody older may write


@dataclass
class Person:
    """Somebody who runs commands on the environment, one after the other."""

    name: str
    bucket: Bucket
    scheduler: Scheduler
    chance: random.Random
    told: Told
    skew: float  # of this machine's clock
    pace: float  # how long it pauses, 1: as people do
    commands: int = 0

    def work(self) -> None:
        for _ in range(self.chance.randint(1, 3)):
            self._pause(40)
            with suppress(RekindleError):
                self._command()

    def _command(self) -> None:
        self.commands += 1
        lock = self._acquired()
        ending = [False]
        renewing = self.scheduler.start(lambda: lock.keep(lambda seconds: self._waited(seconds, ending)))
        try:
            self._write(lock)
        except Killed:
            renewing.is_killed = True
            raise
        finally:
            ending[0] = True
        lock.release()

    def _acquired(self) -> Lock:
        shown = self._shown() if self.chance.random() < 0.7 else None
        self._pause(20)
        lock = Lock.acquire(
            self.bucket,
            ENVIRONMENT,
            KEYRING,
            self._holder(),
            take=[shown] if shown else [],
            clock=self._clock,
            steady=lambda: self.scheduler.now,
            sleep=self.scheduler.sleep,
        )
        if shown and lock.former and lock.former.generation != shown.generation:
            raise AssertionError(f"took {lock.former.generation}, was shown {shown}")
        self._count("takeovers" if lock.former else "free locks got")
        return lock

    def _write(self, lock: Lock) -> None:
        self._pause(5)
        try:
            journal = Journal.open(
                self.bucket, ENVIRONMENT, KEYRING, lock=lock, clock=self._clock, sleep=self.scheduler.sleep
            )
        except LockHeld:
            self._count("refused after taking")
            raise
        if lock.former:
            self.told.fences.append((journal.head.sequence, lock.generation))
        for number in range(self.chance.randint(0, 6)):
            self._pause(3)
            self._append(journal, f"{self.name}-{self.commands}-{number}")
            if self.chance.random() < 0.1:
                with suppress(Unreachable, CommandFailed):
                    journal.checkpoint()

    def _append(self, journal: Journal, entry: str) -> None:
        """An append; of those that are told no, some try on, as no command should."""
        self.told.tried.add(entry)
        try:
            journal.append(Pinned(host=entry, instance_id=None, host_key="ssh-ed25519 AAAA"))
            self.told.written.add(entry)
        except AnotherWriter as error:
            self.told.refused[entry] = (error.where, self._holder().command_id)
            self._count("appends that another was before")
            if self.chance.random() < 0.5:
                raise
        except RekindleError as error:
            self._count(f"appends that ended in {type(error).__name__}")
            if self.chance.random() < 0.5:
                raise

    def _shown(self) -> LockId | None:
        locks = Locks(store=self.bucket, environment=ENVIRONMENT, keyring=KEYRING)
        held = locks.newest()
        return locks.id_of(held) if held else None

    def _waited(self, seconds: float, ending: list[bool]) -> bool:
        self.scheduler.sleep(seconds)
        return ending[0]

    def _pause(self, longest: float) -> None:
        """Now and then the machine is stopped for longer than a lease."""
        stopped = self.chance.random() < 0.03
        self._count("stops past a lease", stopped)
        self.scheduler.sleep(self.chance.uniform(61, 200) if stopped else self.chance.uniform(0, longest * self.pace))

    def _clock(self) -> datetime:
        return BEGIN + timedelta(seconds=self.scheduler.now + self.skew)

    def _holder(self) -> Holder:
        return Holder(
            name=f"{self.name}@elsewhere",
            place=f"machine of {self.name}",
            pid=1,
            started=1,
            reason="apply",
            command_id=f"{self.name}-{self.commands}",
        )

    def _count(self, what: str, number: int = 1) -> None:
        self.bucket.counts[what] += number


# The contest


def contest(seed: int) -> Counter[str]:
    """One contest; AssertionError or JournalDamaged if it does damage. What happened in it, counted."""
    chance = random.Random(seed)
    random.seed(seed)  # of the pauses that the journal makes itself
    scheduler = Scheduler(chance)
    bucket, told = Bucket(scheduler, chance, trouble=chance.choice([0, 0.02, 0.1, 0.3])), Told()
    pace = chance.choice([0.02, 0.2, 1])
    for name in "abcd"[: chance.randint(2, 4)]:
        person = Person(name, bucket, scheduler, chance, told, skew=chance.choice([0, 0, -3600, 45]), pace=pace)
        actor = scheduler.start(person.work)
        if chance.random() < 0.3:
            scheduler.start(partial(_kill, actor), after=chance.uniform(0, 200))
    scheduler.run()
    judge(bucket.objects, told)
    return bucket.counts + Counter({"contests": 1, "entries": len(told.written)})


def _kill(actor: Actor) -> None:
    actor.is_killed = True


def judge(objects: dict[str, bytes], told: Told) -> None:
    """What must hold when all is over."""
    journal = Journal.open(Calm(objects), ENVIRONMENT, KEYRING)
    there = [entry.host for entry in journal.entries() if isinstance(entry, Pinned)]
    assert journal.fold().pins.keys() == set(there), "the fold knows other entries than the history"
    assert len(there) == len(set(there)), "an entry is there twice"
    assert told.written <= set(there), f"lost: {told.written - set(there)}"
    assert set(there) <= told.tried, "entries that nobody wrote"
    assert not told.refused.keys() & set(there), f"there though refused: {told.refused.keys() & set(there)}"
    documents = {key: json.loads(objects[key]) for key in sorted(objects) if key.startswith("journal/")}
    for key, command in told.refused.values():
        assert documents[key]["entries"][0]["command_id"] != command, "refused for its own object"
    _judge_fences(list(documents.values()), told.fences)
    _judge_next_command(objects)


def _judge_fences(documents: list[dict[str, Any]], fences: Iterable[tuple[int, int]]) -> None:
    """By what is written, not by what reads it: after a fence nothing older follows."""
    for sequence, generation in fences:
        assert any(e["kind"] == "lock_taken" for e in documents[sequence - 1]["entries"]), "there is no fence"
        for document in documents[sequence:]:
            assert document["generation"] >= generation, "a loser wrote after its winner's fence"


def _judge_next_command(objects: dict[str, bytes]) -> None:
    """Whoever comes next can work."""
    store = Calm(objects)
    locks = Locks(store=store, environment=ENVIRONMENT, keyring=KEYRING)
    held = locks.newest()
    lock = Lock.acquire(
        store,
        ENVIRONMENT,
        KEYRING,
        Holder(name="next", place="next", pid=1, started=1, reason="apply", command_id="next"),
        take=[locks.id_of(held)] if held else [],
    )
    Journal.open(store, ENVIRONMENT, KEYRING, lock=lock).append(
        Pinned(host="next", instance_id=None, host_key="ssh-ed25519 AAAA")
    )
    lock.release()
    assert Journal.open(store, ENVIRONMENT, KEYRING).fold().pins["next"]


def tried(seed: int) -> tuple[Counter[str], str]:
    """What happened in a contest, and the damage that it did, if any."""
    try:
        return contest(seed), ""
    except Exception as error:
        return Counter({"contests": 1, "damage": 1}), f"seed {seed}: {type(error).__name__}: {error}"


def without_threads() -> None:
    """Journals of this process read without threads of their own."""
    chain.ThreadPoolExecutor = Inline  # type: ignore[attr-defined]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first contest")
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    began, counts = time.monotonic(), Counter[str]()
    with ProcessPoolExecutor(asked.processes, initializer=without_threads) as pool:
        for found, damage in pool.map(tried, range(asked.seed, asked.seed + asked.rounds), chunksize=50):
            counts += found
            if damage:
                print(damage)
    for what, number in sorted(counts.items()):
        print(f"{number:10d}  {what}")
    print(f"{counts['damage']:10d}  contests that did damage, in {time.monotonic() - began:.0f} s")
    return 1 if counts["damage"] else 0


if __name__ == "__main__":
    sys.exit(main())
