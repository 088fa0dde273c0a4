"""One holder at a time; the dead are taken over at once, the silent when their lease ends, the living never."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest
from journal_world import KEYRING, Clock, World, another_process_here, dead_here, elsewhere, living_here

from rekindle.errors import LockHeld, Unreachable
from rekindle.journal.chain import Head
from rekindle.journal.lock import Held, Holder, Lock, Locks


class Failing:
    """A store that does not answer."""

    def __getattr__(self, name: str) -> object:
        raise Unreachable("the store is gone")


def acquire(world: World, holder: Holder, clock: Clock | None = None, *, take: bool = False) -> Lock:
    clock = clock or Clock()
    return Lock.acquire(
        world.store, "dev", KEYRING, holder, take=take, clock=clock, steady=lambda: sum(clock.slept), sleep=clock.sleep
    )


def test_each_taking_and_each_release_is_a_generation(world: World) -> None:
    clock = Clock()
    for number in (1, 3, 5):
        with acquire(world, living_here(), clock) as lock:
            assert (lock.generation, lock.former) == (number, None)
    assert len(list(world.store.list("lock/dev/"))) == 6


def test_a_holder_that_lives_here_is_refused_at_once(folder: World) -> None:
    clock = Clock()
    with another_process_here() as ada:
        acquire(folder, ada, clock)
        with pytest.raises(LockHeld) as caught:
            acquire(folder, living_here(), clock)
    assert clock.slept == []
    assert str(caught.value) == (
        f"lock of dev: is held by ada@here (process {ada.pid}) for `apply` since 2026-11-21 03:00:00 UTC, "
        "leased until 2026-11-21 03:01:00 UTC\n"
        "Wait for that command to end. If it cannot be running any more, say --take-lock."
    )


def test_a_holder_that_died_here_is_taken_over_at_once(world: World) -> None:
    clock, dead = Clock(), dead_here()
    acquire(world, dead, clock)
    lock = acquire(world, living_here(), clock)
    assert clock.slept == []
    assert lock.generation == 2
    assert lock.former is not None
    assert lock.former.holder == dead


def test_a_pid_used_again_is_not_the_holder(folder: World) -> None:
    me = living_here()
    acquire(folder, Holder(**{**vars(me), "started": me.started - 1, "command_id": "before"}))
    assert acquire(folder, me).generation == 2


def test_a_silent_holder_elsewhere_is_waited_out_with_a_countdown(folder: World) -> None:
    clock, told = Clock(), list[tuple[str, float]]()
    acquire(folder, elsewhere(), clock)
    lock = Lock.acquire(
        folder.store,
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
def test_a_silent_holder_is_waited_out_whatever_the_clocks_say(folder: World, ahead: float) -> None:
    acquire(folder, elsewhere())
    ours = Clock()
    ours.go_on(ahead)
    assert acquire(folder, living_here(), ours).former is not None
    assert sum(ours.slept) == 60


@pytest.mark.parametrize("ahead", [-3600, -61, 61, 3600])
def test_a_holder_that_renews_is_refused_whatever_the_clocks_say(folder: World, ahead: float) -> None:
    clock, ours = Clock(), Clock()
    theirs = acquire(folder, elsewhere(), clock)
    ours.go_on(ahead)

    def renew(waiter: Clock) -> None:
        if sum(waiter.slept) == 58:
            clock.go_on(58)
            theirs.renew()

    ours.on_sleep = renew
    with pytest.raises(LockHeld, match="ada@elsewhere"):
        acquire(folder, living_here(), ours)
    assert sum(ours.slept) == 60


def test_a_renewal_while_the_one_who_waits_was_stopped_is_seen(folder: World, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, newest, looks = acquire(folder, elsewhere()), Locks.newest, list[Held | None]()

    def stopped_after_the_second_look(locks: Locks) -> Held | None:
        looks.append(newest(locks))
        if len(looks) == 2:
            ours.slept.append(100)
            theirs._renewals += 1
            theirs._locks.renew(replace(theirs._mine, renewed=ours()), theirs._renewals)
        return looks[-1]

    ours = Clock()
    monkeypatch.setattr(Locks, "newest", stopped_after_the_second_look)
    with pytest.raises(LockHeld, match="ada@elsewhere"):
        acquire(folder, living_here(), ours)


def test_a_holder_elsewhere_that_renews_is_refused(folder: World) -> None:
    clock = Clock()
    theirs = acquire(folder, elsewhere(), clock)
    clock.on_sleep = lambda clock: theirs.renew() if sum(clock.slept) == 20 else None
    with pytest.raises(LockHeld, match="ada@elsewhere"):
        acquire(folder, living_here(), clock)
    assert sum(clock.slept) <= 25


def test_a_lock_released_while_waited_for_is_got(folder: World) -> None:
    clock = Clock()
    theirs = acquire(folder, elsewhere(), clock)
    clock.on_sleep = lambda clock: theirs.release() if sum(clock.slept) == 3 else None
    lock = acquire(folder, living_here(), clock)
    assert (lock.generation, lock.former) == (3, None)


def test_a_living_holder_can_be_taken_over_by_saying_so(folder: World) -> None:
    with another_process_here() as ada:
        theirs = acquire(folder, ada)
        mine = acquire(folder, living_here(), take=True)
        theirs.renew()
    mine.check()
    with pytest.raises(LockHeld, match="was taken over by"):
        theirs.check()


def test_the_release_of_who_lost_the_lock_leaves_it_with_the_other(folder: World) -> None:
    theirs = acquire(folder, elsewhere())
    mine = acquire(folder, living_here(), take=True)
    theirs.release()
    newest = Locks(store=folder.store, environment="dev", keyring=KEYRING).newest()
    assert newest is not None
    assert (newest.generation, newest.released) == (mine.generation, False)


def test_who_could_not_renew_in_time_stops(folder: World) -> None:
    clock = Clock()
    lock = acquire(folder, living_here(), clock)
    clock.go_on(59)
    lock.check()
    clock.go_on(1)
    with pytest.raises(LockHeld, match="the lease ran out at 03:01:00 UTC"):
        lock.check()


def test_who_released_the_lock_stops(folder: World) -> None:
    lock = acquire(folder, living_here())
    lock.release()
    with pytest.raises(LockHeld, match="was released"):
        lock.check()


def test_a_release_that_fails_stops_its_holder_too(folder: World) -> None:
    lock = acquire(folder, living_here())
    lock._locks = Locks(store=Failing(), environment="dev", keyring=KEYRING)  # type: ignore[arg-type]
    with pytest.raises(Unreachable):
        lock.release()
    with pytest.raises(LockHeld, match="was released"):
        lock.check()


def test_a_renewal_begins_the_lease_anew(folder: World) -> None:
    clock = Clock()
    lock = acquire(folder, living_here(), clock)
    for _ in range(5):
        clock.go_on(50)
        lock.renew()
    lock.check()


def test_the_lock_is_renewed_in_the_background(folder: World) -> None:
    with Lock.acquire(folder.store, "dev", KEYRING, living_here(), lease_seconds=0.15) as lock:
        for _ in range(4):
            lock._ending.wait(0.1)
            lock.check()
    assert len([key for key in folder.store.list("lock/dev/") if key.count("/") == 3]) >= 3


def test_the_head_travels_with_renewal_release_and_the_next_holder(folder: World) -> None:
    locks = Locks(store=folder.store, environment="dev", keyring=KEYRING)

    def recorded() -> int:
        newest = locks.newest()
        assert newest is not None
        return newest.head.sequence

    lock = acquire(folder, living_here())
    lock.record(Head(4, "4" * 64))
    lock.renew()
    assert recorded() == 4
    lock.record(Head(5, "5" * 64))
    lock.release()
    assert recorded() == 5
    acquire(folder, living_here())
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


def test_an_error_inside_is_not_hidden_by_one_of_the_release(folder: World) -> None:
    lock = acquire(folder, living_here())
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
    assert Held.of_document(held.document()) == held
