"""One holder at a time; the dead are taken over at once, the silent when their lease ends, the living never."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier, Semaphore
from typing import Any

import pytest
from hypothesis import given
from journal_world import (
    KEYRING,
    Clock,
    Counting,
    Holding,
    Unsteady,
    World,
    another_process_here,
    dead_here,
    elsewhere,
    living_here,
    newest_lock,
    odd_documents,
)
from pydantic import TypeAdapter

from rekindle.errors import InputError, JournalDamaged, LockHeld, RekindleError, Unreachable
from rekindle.journal.chain import START, Head
from rekindle.journal.holder import Holder
from rekindle.journal.lock import Held, Lock, LockId, Locks
from rekindle.journal.naming import lock_key, renewal_key
from rekindle.journal.seal import seal
from rekindle.journal.store import AlreadyExists, Store


class Failing:
    """A store that does not answer."""

    def __getattr__(self, name: str) -> object:
        raise Unreachable("the store is gone")


def acquire(
    world: World, holder: Holder, clock: Clock | None = None, *, take: bool = False, store: Store | None = None
) -> Lock:
    clock = clock or Clock()
    return Lock.acquire(
        store or world.store,
        "dev",
        KEYRING,
        holder,
        take=[newest_lock(world.store)] if take else [],
        clock=clock,
        steady=lambda: sum(clock.slept),
        sleep=clock.sleep,
    )


def newest(world: World) -> Held:
    held = Locks(store=world.store, environment="dev", keyring=KEYRING).newest()
    assert held
    return held


def test_each_taking_and_each_release_is_a_generation(world: World) -> None:
    clock = Clock()
    for number in (1, 3, 5):
        with acquire(world, living_here(), clock) as lock:
            assert (lock.generation, lock.former) == (number, None)
    assert len(list(world.store.list("lock/dev/"))) == 6


def test_a_holder_that_lives_here_is_refused_at_once(memory: World) -> None:
    clock = Clock()
    with another_process_here() as ada:
        acquire(memory, ada, clock)
        with pytest.raises(LockHeld) as caught:
            acquire(memory, living_here(), clock)
    assert clock.slept == []
    assert str(caught.value) == (
        f"lock of dev: is held by ada@here (process {ada.pid}) for `apply` since 2026-11-21 03:00:00 UTC, "
        "leased until 2026-11-21 03:01:00 UTC\n"
        "Wait for that command to end. If it cannot be running any more, say --take-lock dev/1"
    )


def test_a_holder_that_died_here_is_taken_over_at_once(world: World) -> None:
    clock, dead = Clock(), dead_here()
    acquire(world, dead, clock)
    lock = acquire(world, living_here(), clock)
    assert clock.slept == []
    assert lock.generation == 2
    assert lock.former is not None
    assert lock.former.holder == dead


def test_a_pid_used_again_is_not_the_holder(memory: World) -> None:
    me = living_here()
    acquire(memory, Holder(**{**vars(me), "started": me.started - 1, "command_id": "before"}))
    assert acquire(memory, me).generation == 2


def test_a_silent_holder_elsewhere_is_waited_out_with_a_countdown(memory: World) -> None:
    clock, told = Clock(), list[tuple[str, float]]()
    acquire(memory, elsewhere(), clock)
    lock = Lock.acquire(
        memory.store,
        "dev",
        KEYRING,
        living_here(),
        waiting=lambda held, left: told.append((held.holder.name, left)),
        clock=clock,
        steady=lambda: sum(clock.slept),
        sleep=clock.sleep,
    )
    assert lock.former is not None
    assert sum(clock.slept) == 60
    assert told[0] == ("ada@elsewhere", 60)
    assert [left for _, left in told] == sorted((left for _, left in told), reverse=True)


@pytest.mark.parametrize("ahead", [-3600, -61, 61, 3600])
def test_a_silent_holder_is_waited_out_whatever_the_clocks_say(memory: World, ahead: float) -> None:
    acquire(memory, elsewhere())
    ours = Clock()
    ours.go_on(ahead)
    assert acquire(memory, living_here(), ours).former is not None
    assert sum(ours.slept) == 60


@pytest.mark.parametrize("ahead", [-3600, -61, 61, 3600])
def test_a_holder_that_renews_is_refused_whatever_the_clocks_say(memory: World, ahead: float) -> None:
    clock, ours = Clock(), Clock()
    theirs = acquire(memory, elsewhere(), clock)
    ours.go_on(ahead)

    def renew(waiter: Clock) -> None:
        if sum(waiter.slept) == 58:
            clock.go_on(58)
            theirs.renew()

    ours.on_sleep = renew
    with pytest.raises(LockHeld, match="ada@elsewhere"):
        acquire(memory, living_here(), ours)
    assert sum(ours.slept) == 60


def test_a_renewal_while_the_one_who_waits_was_stopped_is_seen(memory: World, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, look, looks = acquire(memory, elsewhere()), Locks.newest, list[Held | None]()

    def stopped_after_the_second_look(locks: Locks) -> Held | None:
        looks.append(look(locks))
        if len(looks) == 2:
            ours.slept.append(100)
            theirs._renewals += 1
            theirs._locks.renew(replace(theirs._mine, renewed=ours()), theirs._renewals)
        return looks[-1]

    ours = Clock()
    monkeypatch.setattr(Locks, "newest", stopped_after_the_second_look)
    with pytest.raises(LockHeld, match="ada@elsewhere"):
        acquire(memory, living_here(), ours)


def test_a_holder_elsewhere_that_renews_is_refused(memory: World) -> None:
    clock = Clock()
    theirs = acquire(memory, elsewhere(), clock)
    clock.on_sleep = lambda clock: theirs.renew() if sum(clock.slept) == 20 else None
    with pytest.raises(LockHeld, match="ada@elsewhere"):
        acquire(memory, living_here(), clock)
    assert sum(clock.slept) <= 25


def test_a_lock_released_while_waited_for_is_got(memory: World) -> None:
    clock = Clock()
    theirs = acquire(memory, elsewhere(), clock)
    clock.on_sleep = lambda clock: theirs.release() if sum(clock.slept) == 3 else None
    lock = acquire(memory, living_here(), clock)
    assert (lock.generation, lock.former) == (3, None)


def test_a_living_holder_can_be_taken_over_by_saying_so(memory: World) -> None:
    with another_process_here() as ada:
        theirs = acquire(memory, ada)
        mine = acquire(memory, living_here(), take=True)
        for _ in range(2):
            with pytest.raises(LockHeld, match="was taken over by"):
                theirs.renew()
    mine.check()
    with pytest.raises(LockHeld, match="was taken over by"):
        theirs.check()
    assert newest(memory).generation == 2


def test_a_lock_newer_than_the_one_that_was_shown_is_not_taken(memory: World) -> None:
    clock = Clock()
    acquire(memory, elsewhere(), clock)
    shown = newest_lock(memory.store)
    ada = acquire(memory, replace(elsewhere(), name="ada@second"), clock, take=True)
    with pytest.raises(LockHeld, match="has passed on since, and is held by ada@second") as caught:
        Lock.acquire(memory.store, "dev", KEYRING, living_here(), take=[shown], clock=clock, sleep=clock.sleep)
    assert caught.value.next_step.endswith("say --take-lock dev/2")
    assert clock.slept == []
    ada.check()
    assert newest(memory).generation == 2


def test_a_lock_that_passes_on_while_it_is_taken_is_not_taken(memory: World) -> None:
    acquire(memory, elsewhere())
    shown, inner = newest_lock(memory.store), memory.store

    class Outrun(Counting):
        def create(self, key: str, body: bytes) -> None:
            if not self.created:
                self.created.append(key)
                acquire(memory, replace(elsewhere(), name="ada@second"), take=True)
            super().create(key, body)

    with pytest.raises(LockHeld, match="ada@second"):
        Lock.acquire(Outrun(inner), "dev", KEYRING, living_here(), take=[shown])


def test_the_lock_of_another_environment_takes_nothing(memory: World) -> None:
    clock = Clock()
    acquire(memory, elsewhere(), clock)
    Lock.acquire(
        memory.store,
        "dev",
        KEYRING,
        living_here(),
        take=[LockId("dev-dr", 1)],
        clock=clock,
        steady=lambda: sum(clock.slept),
        sleep=clock.sleep,
    )
    assert sum(clock.slept) == 60


def test_one_of_several_locks_that_are_named_is_taken(memory: World) -> None:
    acquire(memory, elsewhere())
    take = [LockId("dev-dr", 3), LockId("dev", 1)]
    assert Lock.acquire(memory.store, "dev", KEYRING, living_here(), take=take).generation == 2


@pytest.mark.parametrize(
    ("text", "lock"), [("dev/17", LockId("dev", 17)), ("dev-dr/1", LockId("dev-dr", 1)), ("a/b/3", LockId("a/b", 3))]
)
def test_a_lock_is_named_as_it_is_shown(text: str, lock: LockId) -> None:
    assert LockId.parse(text) == lock
    assert (str(lock), lock.words) == (text, f"--take-lock {text}")


@pytest.mark.parametrize("text", ["", "dev", "dev/", "/1", "dev/0", "dev/-1", "dev/1 ", "dev/１", "dev/1234567890123"])
def test_what_names_no_lock_is_said_to_be_so(text: str) -> None:
    with pytest.raises(InputError, match="names no lock") as caught:
        LockId.parse(text)
    assert "--take-lock dev/17" in caught.value.next_step


def test_the_release_of_who_lost_the_lock_leaves_it_with_the_other(memory: World) -> None:
    theirs = acquire(memory, elsewhere())
    mine = acquire(memory, living_here(), take=True)
    theirs.release()
    assert (newest(memory).generation, newest(memory).released) == (mine.generation, False)


def test_who_could_not_renew_in_time_stops(memory: World) -> None:
    clock = Clock()
    lock = acquire(memory, living_here(), clock)
    clock.go_on(59)
    lock.check()
    clock.go_on(1)
    with pytest.raises(LockHeld, match="the lease ran out at 03:01:00 UTC"):
        lock.check()


def test_who_released_the_lock_stops(memory: World) -> None:
    lock = acquire(memory, living_here())
    lock.release()
    with pytest.raises(LockHeld, match="was released"):
        lock.check()


def test_a_release_that_fails_stops_its_holder_too(memory: World) -> None:
    lock = acquire(memory, living_here())
    lock._locks = Locks(store=Failing(), environment="dev", keyring=KEYRING)  # type: ignore[arg-type]
    with pytest.raises(Unreachable):
        lock.release()
    with pytest.raises(LockHeld, match="was released"):
        lock.check()


def test_a_renewal_begins_the_lease_anew(memory: World) -> None:
    clock = Clock()
    lock = acquire(memory, living_here(), clock)
    for _ in range(5):
        clock.go_on(50)
        lock.renew()
    lock.check()


def renewing(lock: Lock, clock: Clock, seconds: float) -> list[float]:
    """What the background does for so long; the pauses it made."""
    pauses: list[float] = []

    def wait(pause: float) -> bool:
        pauses.append(pause)
        clock.go_on(pause)
        return sum(pauses) > seconds

    lock.keep(wait)
    return pauses


@pytest.mark.parametrize(
    ("orders", "pauses"),
    [
        ([], [20, 20, 20, 20, 20]),
        (["lost"], [20, 3, 20, 20, 20]),
        (["unheard"], [20, 3, 20, 20, 20]),
        (["lost"] * 5 + ["unheard"], [20, 3, 3, 3, 3, 3, 3, 20, 20, 20]),
    ],
)
def test_a_renewal_that_fails_is_soon_tried_again(memory: World, orders: list[str], pauses: list[float]) -> None:
    clock, store = Clock(), Unsteady(memory.store)
    lock = acquire(memory, living_here(), clock, store=store)
    store.orders = list(orders)
    assert renewing(lock, clock, sum(pauses) - 1) == pauses
    lock.check()
    assert newest(memory).renewed == clock.now - timedelta(seconds=20)


def test_a_store_that_never_answers_ends_the_renewals_with_the_lease(memory: World) -> None:
    clock, store = Clock(), Unsteady(memory.store)
    lock = acquire(memory, living_here(), clock, store=store)
    store.orders = ["lost"] * 100
    assert 60 <= sum(renewing(lock, clock, 3600)) < 66
    with pytest.raises(LockHeld, match="the lease ran out"):
        lock.check()


def test_renewals_end_when_the_lock_is_lost(memory: World) -> None:
    clock = Clock()
    theirs = acquire(memory, elsewhere(), clock)
    acquire(memory, living_here(), clock, take=True)
    assert renewing(theirs, clock, 3600) == [20]


def test_a_renewal_whose_answer_comes_after_the_lease_renews_nothing(memory: World) -> None:
    """Who waited for the lease to end may have taken over meanwhile."""
    clock = Clock()

    class Slow(Counting):
        def create(self, key: str, body: bytes) -> None:
            super().create(key, body)
            if "/" in key.removeprefix("lock/dev/"):
                clock.go_on(31)

    lock = acquire(memory, living_here(), clock, store=Slow(memory.store))
    clock.go_on(30)
    with pytest.raises(LockHeld, match="the lease ran out at 03:01:00"):
        lock.renew()
    with pytest.raises(LockHeld, match="the lease ran out at 03:01:00"):
        lock.check()


def test_who_renews_too_late_stops_though_nobody_took_over(memory: World) -> None:
    clock = Clock()
    lock = acquire(memory, living_here(), clock)
    clock.go_on(60)
    with pytest.raises(LockHeld, match="the lease ran out"):
        lock.renew()
    assert len(list(memory.store.list("lock/dev/"))) == 1


def test_a_holder_whose_lock_was_removed_stops(memory: World) -> None:
    lock = acquire(memory, living_here())
    memory.remove(lock_key("dev", 1))
    with pytest.raises(LockHeld, match="was removed"):
        lock.renew()
    with pytest.raises(LockHeld, match="was removed"):
        lock.check()


def test_a_taking_and_a_release_whose_answers_were_lost_are_ours(memory: World) -> None:
    """As a store that repeats a request by itself says of its own earlier try."""

    class Repeating(Counting):
        def create(self, key: str, body: bytes) -> None:
            super().create(key, body)
            self.inner.create(key, body)

    with pytest.raises(AlreadyExists):
        Repeating(memory.store).create("a", b"")
    lock = acquire(memory, living_here(), store=Repeating(memory.store))
    assert lock.generation == 1
    lock.renew()
    lock.release()
    assert (newest(memory).generation, newest(memory).released) == (2, True)
    assert len(list(memory.store.list("lock/dev/"))) == 3


def test_the_lock_is_renewed_in_the_background_until_it_is_given_back(memory: World) -> None:
    renewed = Semaphore(0)

    class Heard(Counting):
        def create(self, key: str, body: bytes) -> None:
            super().create(key, body)
            if key.count("/") == 3:
                renewed.release()

    store = Heard(memory.store)
    with Lock.acquire(store, "dev", KEYRING, living_here(), lease_seconds=0.03, clock=Clock()) as lock:
        for _ in range(3):
            assert renewed.acquire(timeout=30)
        assert not lock._ending.is_set()
    assert not lock._renewing.is_alive()


def test_the_head_travels_with_renewal_release_and_the_next_holder(memory: World) -> None:
    def recorded() -> int:
        return newest(memory).head.sequence

    lock = acquire(memory, living_here())
    lock.record(Head(4, "4" * 64))
    lock.renew()
    assert recorded() == 4
    lock.record(Head(5, "5" * 64))
    lock.release()
    assert recorded() == 5
    acquire(memory, living_here())
    assert recorded() == 5


def test_of_many_contenders_one_gets_a_free_lock(world: World) -> None:
    together = Barrier(8)

    def contend(number: int) -> bool:
        holder = Holder(**{**vars(living_here()), "command_id": str(number)})
        together.wait()
        try:
            Lock.acquire(world.store, "dev", KEYRING, holder)
            return True
        except LockHeld:
            return False

    with ThreadPoolExecutor(max_workers=8) as pool:
        assert sum(pool.map(contend, range(8))) == 1


def test_an_error_inside_is_not_hidden_by_one_of_the_release(memory: World) -> None:
    lock = acquire(memory, living_here())
    lock._locks = Locks(store=Failing(), environment="dev", keyring=KEYRING)  # type: ignore[arg-type]
    with pytest.raises(ZeroDivisionError), lock:
        raise ZeroDivisionError
    with pytest.raises(Unreachable):
        lock.release()


def test_what_is_held_survives_its_document() -> None:
    clock = Clock()
    held = Held(
        holder=elsewhere(),
        generation=3,
        acquired=clock(),
        renewed=clock(),
        lease_seconds=60,
        released=False,
        head=Head(7, "7" * 64),
    )
    assert TypeAdapter(Held).validate_python(held.document()) == held


HELD = Held(
    holder=elsewhere(),
    generation=1,
    acquired=Clock().now,
    renewed=Clock().now,
    lease_seconds=60,
    released=False,
    head=START,
).document()


@pytest.mark.parametrize(
    "content",
    [
        {},
        {**HELD, "generation": "1"},
        {**HELD, "generation": True},
        {**HELD, "generation": 2},
        {**HELD, "generation": 10**12},
        {**HELD, "head": {}},
        {**HELD, "head": {"sequence": -1, "digest": "0" * 64}},
        {**HELD, "head": {"sequence": 1, "digest": "0"}},
        {**HELD, "holder": {**HELD["holder"], "shoe": 45}},
        {**HELD, "holder": {**HELD["holder"], "pid": 10**400}},
        {**HELD, "renewed": "yesterday"},
        {**HELD, "renewed": "2026-11-21T03:00:00"},
        {**HELD, "renewed": "9999-12-31T23:59:59Z"},
        {**HELD, "lease_seconds": -1},
        {**HELD, "lease_seconds": 1e300},
        {**HELD, "lease_seconds": float("nan")},
        {**HELD, "released": None},
        {**HELD, "more": 1},
    ],
)
def test_a_sealed_lock_that_is_odd_is_named(memory: World, content: dict[str, Any]) -> None:
    key = lock_key("dev", 1)
    memory.store.create(key, seal(KEYRING, key, content))
    with pytest.raises(JournalDamaged) as caught:
        newest(memory)
    assert caught.value.where == key


def test_a_renewal_that_speaks_of_another_generation_is_named(memory: World) -> None:
    clock = Clock()
    acquire(memory, living_here(), clock)
    key = renewal_key("dev", 1, 1)
    memory.store.create(key, seal(KEYRING, key, {**HELD, "generation": 3}))
    with pytest.raises(JournalDamaged, match="speaks of generation 3"):
        newest(memory)


@given(odd_documents(HELD))
def test_no_sealed_lock_gives_a_traceback(content: dict[str, Any]) -> None:
    key = lock_key("dev", 1)
    locks = Locks(store=Holding({key: seal(KEYRING, key, content)}), environment="dev", keyring=KEYRING)
    try:
        held = locks.newest()
    except RekindleError:
        return
    assert held
    assert f"{held.until:%F %T}"
    assert held.holder.is_alive() in (True, False, None)
