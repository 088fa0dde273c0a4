"""The environment's lock: generations as create-only keys, whose number fences.

Taking, renewing and releasing each create a key of their own; nothing is ever written over, so of two
contenders exactly one wins, on any store that can create exclusively.
"""

import re
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from types import TracebackType
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter

from rekindle.errors import InputError, LockHeld, RekindleError
from rekindle.journal.chain import START, Head
from rekindle.journal.clock import utc_now
from rekindle.journal.content import Moment, Number, parsed
from rekindle.journal.holder import Holder
from rekindle.journal.naming import LAST, lock_key, lock_prefix, renewal_key
from rekindle.journal.seal import damaged, seal, unseal
from rekindle.journal.store import AlreadyExists, Store, create_or_own
from rekindle.secrets import Keyring

__all__ = ["Held", "Holder", "Lock", "LockId", "Locks", "Waiting"]

LEASE_SECONDS = 60.0
LONGEST_LEASE = 86400.0
RENEWALS = 3  # in each lease
TRIES = 20  # in each lease, while the store does not answer
LOOK_SECONDS = 5  # between looks at a lock that is waited for


@dataclass(frozen=True)
class LockId:
    """One taking of one environment's lock: what a person is shown, and may then say to take."""

    environment: str
    generation: int

    def __str__(self) -> str:
        return f"{self.environment}/{self.generation}"

    @property
    def words(self) -> str:
        """What to type to take it."""
        return f"--take-lock {self}"

    @classmethod
    def parse(cls, text: str) -> "LockId":
        """InputError if it is none."""
        found = re.fullmatch(r"(.+)/([0-9]{1,12})", text)
        if found is None or not 0 < int(found[2]) <= LAST:
            raise InputError(
                f"{text!r} names no lock",
                where="--take-lock",
                next_step="Give it as `rekindle status ENV` and the refusal show it, for example: --take-lock dev/17",
            )
        return cls(found[1], int(found[2]))


@dataclass(frozen=True, kw_only=True)
class Held:
    """The newest generation of a lock, as far as it can be seen."""

    holder: Holder
    generation: Number
    acquired: Moment
    renewed: Moment
    lease_seconds: Annotated[float, Field(gt=0, le=LONGEST_LEASE)]
    released: bool
    head: Head  # of the journal, as the holder last knew it

    __pydantic_config__ = ConfigDict(extra="forbid")

    @property
    def until(self) -> datetime:
        """When the lease runs out unless it is renewed."""
        return self.renewed + timedelta(seconds=self.lease_seconds)

    def document(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "head": self.head.document(),
            "acquired": self.acquired.isoformat(),
            "renewed": self.renewed.isoformat(),
        }


_HELD = TypeAdapter(Held)

Waiting = Callable[[Held, float], None]
"""Is told who holds the lock and the seconds until it may be taken over."""


@dataclass(frozen=True, kw_only=True)
class Locks:
    """All generations of one environment's lock."""

    store: Store
    environment: str
    keyring: Keyring

    def newest(self) -> Held | None:
        """The newest generation with its newest renewal; None if there never was a lock."""
        keys = list(islice(self.store.list(lock_prefix(self.environment)), 2))
        if not keys:
            return None
        held = self._read(keys[0])
        is_renewed = keys[1:] and keys[1].startswith(keys[0].removesuffix(".json") + "/")
        return self._read(keys[1]) if is_renewed else held

    def id_of(self, held: Held) -> LockId:
        return LockId(self.environment, held.generation)

    def create(self, held: Held) -> None:
        """A new generation; AlreadyExists if another was first."""
        self._create(lock_key(self.environment, held.generation), held)

    def renew(self, held: Held, number: int) -> None:
        self._create(renewal_key(self.environment, held.generation, number), held)

    def _create(self, key: str, held: Held) -> None:
        create_or_own(self.store, key, seal(self.keyring, key, held.document()))

    def _read(self, key: str) -> Held:
        held = parsed(_HELD, key, unseal(self.keyring, key, self.store.get(key)))
        if not key.startswith(lock_key(self.environment, held.generation).removesuffix(".json")):
            raise damaged(key, f"speaks of generation {held.generation}, which has another key")
        return held


class Lock:
    """The right to change one environment; inside `with` it is renewed in the background."""

    def __init__(self, locks: Locks, mine: Held, former: Held | None, clock: Callable[[], datetime]) -> None:
        self.former = former  # whose unreleased lock was taken over
        self._locks = locks
        self._mine = mine
        self._renewed = mine.renewed
        self._head = mine.head
        self._clock = clock
        self._renewals = 0
        self._lost: LockHeld | None = None
        self._is_released = False
        self._ending = threading.Event()
        self._renewing = threading.Thread(target=self.keep, args=[self._ending.wait], name="lock renewal", daemon=True)

    @classmethod
    def acquire(
        cls,
        store: Store,
        environment: str,
        keyring: Keyring,
        holder: Holder,
        *,
        lease_seconds: float = LEASE_SECONDS,
        take: Collection[LockId] = (),
        waiting: Waiting | None = None,
        clock: Callable[[], datetime] = utc_now,
        steady: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> "Lock":
        """The lock, at once if it is free, its holder is dead here, or it is to `take`; else after a silent lease.

        That lease is measured here, by `steady`: the holder's clock may differ from ours by any amount.
        `waiting` is told each second who holds it and the seconds left. LockHeld as soon as the holder
        shows that it lives, or if the lock that was to be taken has passed on since.
        """
        locks = Locks(store=store, environment=environment, keyring=keyring)
        queue = _Queue(locks, waiting or (lambda held, seconds: None), steady, sleep)
        while True:
            found = queue.passed(locks.newest(), take)
            mine = _next(found, holder, lease_seconds, clock())
            with suppress(AlreadyExists):
                locks.create(mine)
                return cls(locks, mine, found if found and not found.released else None, clock)

    @property
    def generation(self) -> int:
        return self._mine.generation

    @property
    def holder(self) -> Holder:
        return self._mine.holder

    @property
    def environment(self) -> str:
        return self._locks.environment

    def record(self, head: Head) -> None:
        """The journal's head, which the next renewal and the release carry."""
        self._head = head

    def check(self) -> None:
        """LockHeld if it was released, another took over, or the lease ran out without a renewal; no I/O."""
        if self._is_released:
            raise LockHeld(
                "was released, so nothing may be changed any more",
                where=f"lock of {self.environment}",
                next_step="Run the same command again: it does only what is left.",
            )
        if self._lost:
            raise self._lost
        if self._clock() >= self._now().until:
            raise LockHeld(
                f"the lease ran out at {self._now().until:%T} UTC before it could be renewed",
                where=f"lock of {self.environment}",
                next_step="Check that the journal store answers, then run the same command again: it goes on.",
            )

    def require_newest(self, newest: Held | None) -> None:
        """LockHeld, now and from here on, unless `newest` is this lock; and if `check` says so."""
        if newest is None:
            self._lost = LockHeld(
                "was removed from the journal's store",
                where=f"lock of {self.environment}",
                next_step="Find out who removed it before anything else is changed.",
            )
        elif newest.generation != self.generation:
            self._lost = _refusal(self._locks, newest, "was taken over")
        self.check()

    def renew(self) -> None:
        """The lease begins anew; LockHeld if another took over, or if the answer came when it had run out."""
        self.require_newest(self._locks.newest())
        renewed = replace(self._now(), renewed=self._clock())
        self._renewals += 1  # first: a try whose answer is lost may have taken this number
        self._locks.renew(renewed, self._renewals)
        self.check()
        self._renewed = renewed.renewed

    def keep(self, wait: Callable[[float], bool]) -> None:
        """Renews until `wait` says that it is over; a store that does not answer is asked again, within the lease."""
        pause = self._mine.lease_seconds / RENEWALS
        while not wait(pause):
            try:
                self.renew()
                pause = self._mine.lease_seconds / RENEWALS
            except LockHeld:
                return
            except RekindleError:
                pause = self._mine.lease_seconds / TRIES

    def release(self) -> None:
        """Free for others at once; nothing if another took over. From here on `check` refuses."""
        self._is_released = True  # first: between the two, what is still running could write beside the next holder
        released = replace(self._now(), generation=self.generation + 1, released=True, renewed=self._clock())
        with suppress(AlreadyExists):
            self._locks.create(released)

    def __enter__(self) -> "Lock":
        self._renewing.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._renewing.join()
        try:
            self.release()
        except RekindleError:
            if error is None:
                raise

    def _now(self) -> Held:
        """This lock as others may know it."""
        return replace(self._mine, renewed=self._renewed, head=self._head)


class _Queue:
    """Waiting for another's lock."""

    def __init__(
        self, locks: Locks, waiting: Waiting, steady: Callable[[], float], sleep: Callable[[float], None]
    ) -> None:
        self._locks = locks
        self._waiting = waiting
        self._steady = steady
        self._sleep = sleep

    def passed(self, found: Held | None, take: Collection[LockId]) -> Held | None:
        """What stands when the next generation may be made; LockHeld if it may not."""
        if found is None or found.released or self._locks.id_of(found) in take:
            return found
        if any(lock.environment == self._locks.environment for lock in take):
            raise _refusal(self._locks, found, "has passed on since, and is held")
        return self._waited_out(found)

    def _waited_out(self, held: Held) -> Held:
        """What stands when it may be taken over: released, or held by who is dead or has not renewed for one lease."""
        seen, end = held, self._steady() + held.lease_seconds
        if seen.holder.is_alive() is True:
            raise _refusal(self._locks, seen, "is held")
        is_over = False
        while not (seen.released or seen.holder.is_alive() is False or is_over):
            is_over = self._count_down(seen, end)
            seen = self._locks.newest() or seen  # after the countdown: we too may have been stopped meanwhile
            if (seen.generation, seen.renewed) != (held.generation, held.renewed) and not seen.released:
                raise _refusal(self._locks, seen, "is held")
        return seen

    def _count_down(self, held: Held, end: float) -> bool:
        """Waits for the next look, or for the end of the wait; whether that has come."""
        for _ in range(LOOK_SECONDS):
            left = end - self._steady()
            if left <= 0:
                break
            self._waiting(held, left)
            self._sleep(min(1.0, left))
        return self._steady() >= end


def _next(found: Held | None, holder: Holder, lease_seconds: float, now: datetime) -> Held:
    """The generation after the newest one; it carries on the head that was known."""
    return Held(
        holder=holder,
        generation=found.generation + 1 if found else 1,
        acquired=now,
        renewed=now,
        lease_seconds=lease_seconds,
        released=False,
        head=found.head if found else START,
    )


def _refusal(locks: Locks, held: Held, how: str) -> LockHeld:
    """Who, where, why, since when, until when, and what to do."""
    holder = held.holder
    return LockHeld(
        f"{how} by {holder.name} (process {holder.pid}) for `{holder.reason}` since {held.acquired:%F %T} UTC, "
        f"leased until {held.until:%F %T} UTC",
        where=f"lock of {locks.environment}",
        next_step=f"Wait for that command to end. If it cannot be running any more, say {locks.id_of(held).words}",
    )
