"""What is appended is there in order, verified, cheap to read and impossible to write twice."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from journal_world import (
    BUCKET,
    KEYRING,
    REGION,
    Clock,
    Counting,
    Holding,
    Interrupted,
    Unsteady,
    World,
    dead_here,
    elsewhere,
    living_here,
    newest_lock,
    odd_documents,
    of_bucket,
    pin,
    reading,
    writing,
)

from rekindle.aws.clients import Clients
from rekindle.errors import CommandFailed, JournalDamaged, LockHeld, Refused, Unreachable
from rekindle.journal.chain import START
from rekindle.journal.checkpoints import Base, Checkpoints
from rekindle.journal.entries import Begun, Failed, LockTaken, Operation, Pinned, Succeeded, document
from rekindle.journal.fold import fold
from rekindle.journal.holder import Holder
from rekindle.journal.journal import AnotherWriter, Journal
from rekindle.journal.lock import Lock
from rekindle.journal.naming import checkpoint_key, journal_key, lock_key, sequence_of
from rekindle.journal.seal import digest_of, seal
from rekindle.plan import Step, canonical, digest
from rekindle.secrets import Keyring, Secret


def hosts(journal: Journal) -> list[str]:
    return [entry.host for entry in journal.entries() if isinstance(entry, Pinned)]


def step(subject: str, before: dict[str, int] | None, after: dict[str, int] | None) -> Step:
    return Step(target="master-1", subject=subject, before=before, after=after)


def write_some(world: World, count: int = 5) -> None:
    with writing(world.store) as journal:
        for number in range(count):
            journal.append(pin(f"host-{number}"))


# What is kept


def test_entries_come_back_in_order_with_who_and_when(world: World) -> None:
    clock = Clock()
    with writing(world.store, clock=clock) as journal:
        journal.append(pin("a"), pin("b"))
        clock.go_on(60)
        journal.append(pin("c"))
    first, _, third = reading(world.store).entries()
    assert hosts(reading(world.store)) == ["a", "b", "c"]
    assert third.at - first.at == timedelta(seconds=60)
    assert first.holder == living_here().name
    assert first.command_id == third.command_id != ""


def test_the_head_is_the_newest_object(world: World) -> None:
    with writing(world.store) as journal:
        assert journal.head.sequence == 0
        journal.append(pin("a"))
        head = journal.head
    assert reading(world.store).head == head
    assert head.sequence == 1


def test_appending_nothing_writes_nothing(memory: World) -> None:
    with writing(memory.store) as journal:
        journal.append()
        assert journal.head.sequence == 0


def test_without_the_lock_nothing_is_appended(memory: World) -> None:
    with pytest.raises(Refused, match="opened for reading"):
        reading(memory.store).append(pin("a"))


def test_environments_do_not_see_each_other(world: World) -> None:
    for environment in ("dev", "dev-dr"):
        with writing(world.store, environment) as journal:
            journal.append(pin(environment))
    assert hosts(reading(world.store, "dev")) == ["dev"]


# Steps


def test_a_step_is_begun_before_and_succeeded_after(memory: World) -> None:
    with writing(memory.store) as journal:
        recorder = journal.recorder("release", "apply")
        with recorder.entry([step("file:/a", None, {"mode": 1})]):
            assert reading(memory.store).fold().in_flight.keys() == {("master-1", "file:/a")}
        assert reading(memory.store).fold().in_flight == {}
        assert reading(memory.store).fold().applied == {("master-1", "file:/a"): {"mode": 1}}


def test_a_failed_step_is_said_to_be_so_until_it_succeeds(memory: World) -> None:
    wanted = step("file:/a", None, {"mode": 1})
    with writing(memory.store) as journal:
        recorder = journal.recorder("release", "apply")
        with pytest.raises(CommandFailed), recorder.entry([wanted]):
            raise CommandFailed("exit code 1")
        folded = journal.fold()
        assert (folded.applied, folded.in_flight) == ({}, {})
        assert [failed.error for failed in folded.failed.values()] == ["exit code 1"]
        with recorder.entry([wanted]):
            pass
        assert journal.fold().failed == {}


def test_a_killed_step_stays_in_flight(memory: World) -> None:
    with writing(memory.store) as journal:
        killed = journal.recorder("release", "apply").entry([step("file:/a", None, {"mode": 1})])
        with pytest.raises(KeyboardInterrupt), killed:
            raise KeyboardInterrupt
    assert reading(memory.store).fold().in_flight.keys() == {("master-1", "file:/a")}


def test_a_secret_in_a_state_cannot_be_recorded(memory: World) -> None:
    planted = Step(target="a", subject="file:/a", before=None, after={"password": Secret("planted")})
    with writing(memory.store) as journal:
        with pytest.raises(TypeError), journal.recorder("release", "apply").entry([planted]):
            pass
        assert journal.head.sequence == 0


# Damage


def torn(world: World) -> None:
    world.replace(journal_key("dev", 3), world.store.get(journal_key("dev", 3))[:-20])


def altered(world: World) -> None:
    body = world.store.get(journal_key("dev", 3)).replace(b"host-2", b"host-9")
    world.replace(journal_key("dev", 3), body)


def missing(world: World) -> None:
    world.remove(journal_key("dev", 3))


def reordered(world: World) -> None:
    third, fourth = (world.store.get(journal_key("dev", number)) for number in (3, 4))
    world.replace(journal_key("dev", 3), fourth)
    world.replace(journal_key("dev", 4), third)


def cut(world: World) -> None:
    world.remove(journal_key("dev", 5))


def cut_whole(world: World) -> None:
    for number in range(1, 6):
        world.remove(journal_key("dev", number))


def forged_without_mac(world: World) -> None:
    document = json.loads(world.store.get(journal_key("dev", 3)))
    del document["mac"]
    world.replace(journal_key("dev", 3), canonical(document))


def forged_with_another_key(world: World) -> None:
    document = json.loads(world.store.get(journal_key("dev", 5)))
    content = {key: value for key, value in document.items() if key not in ("mac", "key", "format")}
    world.replace(journal_key("dev", 5), seal(Keyring(b"x" * 32), journal_key("dev", 5), content))


def last_replaced_by_one_with_the_right_key(world: World) -> None:
    document = json.loads(world.store.get(journal_key("dev", 5)))
    content = {"previous": document["previous"], "generation": 1, "entries": []}
    world.replace(journal_key("dev", 5), seal(KEYRING, journal_key("dev", 5), content))


def one_inside_replaced_with_the_right_key(world: World) -> None:
    document = json.loads(world.store.get(journal_key("dev", 3)))
    content = {"previous": document["previous"], "generation": 1, "entries": []}
    world.replace(journal_key("dev", 3), seal(KEYRING, journal_key("dev", 3), content))


def no_document(world: World) -> None:
    world.replace(journal_key("dev", 3), b"[]")


def stray(world: World) -> None:
    world.replace("journal/dev/notes.txt", b"hello")


def of_another_environment(world: World) -> None:
    with writing(world.store, "poc") as journal:
        for number in range(5):
            journal.append(pin(f"host-{number}"))
    world.replace(journal_key("dev", 3), world.store.get(journal_key("poc", 3)))


def from_a_newer_version(world: World) -> None:
    document = json.loads(world.store.get(journal_key("dev", 2)))
    content = {"previous": document["previous"], "generation": 1, "entries": [{"kind": "unheard_of"}]}
    world.replace(journal_key("dev", 2), seal(KEYRING, journal_key("dev", 2), content))


IN_A_FOLDER = pytest.mark.parametrize(
    ("damage", "number", "words"),
    [
        (torn, 3, "is torn"),
        (altered, 3, "was altered"),
        (missing, 3, "is missing"),
        (reordered, 3, "is another object under this name"),
        (cut, 5, "the tail was cut after 4"),
        (cut_whole, 5, "the tail was cut after 0"),
        (forged_without_mac, 3, "carries no MAC"),
        (forged_with_another_key, 5, "written without the environment's key"),
        (last_replaced_by_one_with_the_right_key, 5, "is not the object that the lock recorded"),
        (one_inside_replaced_with_the_right_key, 4, "does not follow the object before it"),
        (no_document, 3, "is no document"),
        (of_another_environment, 3, "is another object under this name|MAC is wrong"),
        (from_a_newer_version, 2, "says what this version of Rekindle cannot read"),
    ],
)


@IN_A_FOLDER
def test_damage_is_found_and_named(memory: World, damage: Callable[[World], None], number: int, words: str) -> None:
    write_some(memory)
    damage(memory)
    with pytest.raises(JournalDamaged, match=words) as caught:
        reading(memory.store)
    assert caught.value.where == journal_key("dev", number)
    assert "docs/runbook-recovery.md" in str(caught.value)


def newest(world: World, prefix: str) -> str:
    return next(world.store.list(prefix))


@pytest.mark.parametrize(
    "of",
    [
        lambda world: journal_key("dev", 5),
        *(lambda world, prefix=prefix: newest(world, prefix) for prefix in ("lock/dev/", "checkpoints/dev/")),
    ],
    ids=["journal", "lock", "checkpoint"],
)
@pytest.mark.parametrize("act", ["deleted", "written over"])
def test_what_was_deleted_or_written_over_in_a_bucket_is_named(
    aws: Clients, of: Callable[[World], str], act: str
) -> None:
    """Even if nothing else tells of it: the same bytes, or the newest of its kind."""
    world = of_bucket(aws.s3(REGION))
    with writing(world.store) as journal:
        for number in range(4):
            journal.append(pin(f"host-{number}"))
        journal.checkpoint()
    key = of(world)
    world.remove(key) if act == "deleted" else world.replace(key, world.store.get(key))
    with pytest.raises(JournalDamaged, match=f"was {act}") as caught:
        reading(world.store)
    assert caught.value.where == f"s3://{BUCKET}/{key}"
    assert f"--prefix {key}" in caught.value.next_step


def test_a_stray_object_is_named(memory: World) -> None:
    write_some(memory)
    stray(memory)
    with pytest.raises(JournalDamaged, match=r"notes\.txt"):
        reading(memory.store)


def test_a_tail_cut_while_a_command_runs_is_found_by_the_renewal(memory: World) -> None:
    lock = Lock.acquire(memory.store, "dev", KEYRING, living_here())
    journal = Journal.open(memory.store, "dev", KEYRING, lock=lock)
    journal.append(pin("a"))
    journal.append(pin("b"))
    lock.renew()
    memory.remove(journal_key("dev", 2))
    with pytest.raises(JournalDamaged, match="the tail was cut"):
        reading(memory.store)


def test_an_altered_lock_is_named(memory: World) -> None:
    write_some(memory)
    key = next(memory.store.list("lock/dev/"))
    memory.replace(key, memory.store.get(key).replace(b'"sequence":5', b'"sequence":4'))
    with pytest.raises(JournalDamaged, match="was altered") as caught:
        reading(memory.store)
    assert caught.value.where == key


def test_damage_before_a_checkpoint_is_found_when_history_is_read(memory: World) -> None:
    with writing(memory.store) as journal:
        for number in range(5):
            journal.append(pin(f"host-{number}"))
        journal.checkpoint()
    missing(memory)
    after = reading(memory.store)
    assert len(after.fold().pins) == 5
    with pytest.raises(JournalDamaged, match="is missing"):
        list(after.entries())


def test_history_runs_through_the_checkpoint_and_to_the_head_that_is_known(memory: World) -> None:
    """Though whoever replaced what is older than the checkpoint has the key, and all is chained."""
    with unsteady(memory) as (journal, _, _, store):
        journal.append(pin("a"))
        store.orders = ["", "refused"]
        with pytest.raises(CommandFailed):
            journal.checkpoint()
        known = reading(memory.store)
        world = of_directory_with(memory, {journal_key("dev", 1): OBJECT})
        with pytest.raises(JournalDamaged, match="is not the object that was read before") as caught:
            list(reading(world.store).entries())
        assert caught.value.where == journal_key("dev", 1)
        journal.append(pin("b"))
        assert hosts(known) == ["a"]  # what came later is not of the journal that was opened
        memory.remove(journal_key("dev", 1))
        with pytest.raises(JournalDamaged, match="is missing") as caught:
            list(known.entries())
        assert caught.value.where == journal_key("dev", 1)


def of_directory_with(world: World, contents: dict[str, Any]) -> World:
    """The same with these objects instead."""
    held = Holding({key: world.store.get(key) for key in world.store.list("")})
    held.objects |= {key: seal(KEYRING, key, content) for key, content in contents.items()}
    return replace(world, store=held)


# Cost


def test_entries_of_threads_that_wait_together_go_as_one_object(memory: World) -> None:
    store, together = Counting(memory.store), Barrier(32)

    def work(number: int) -> None:
        together.wait()
        journal.append(pin(f"host-{number}"))

    with writing(store) as journal:
        store.seconds = 0.1
        with ThreadPoolExecutor(max_workers=32) as pool:
            list(pool.map(work, range(32)))
        store.seconds = 0.0
        objects = journal.head.sequence
    assert sorted(hosts(reading(store))) == sorted(f"host-{number}" for number in range(32))
    assert objects <= 3  # who came first, who came while that was written, and at worst a straggler


def test_all_that_wait_learn_that_their_object_was_not_written(memory: World) -> None:
    def work(number: int) -> bool:
        with pytest.raises(AnotherWriter):
            journal.append(pin(f"host-{number}"))
        return True

    with writing(memory.store) as journal:
        memory.store.create(journal_key("dev", 1), b"somebody")
        with ThreadPoolExecutor(max_workers=8) as pool:
            assert all(pool.map(work, range(8)))


def test_a_command_that_does_nothing_does_not_read_history(world: World) -> None:
    with writing(world.store) as journal:
        for number in range(40):
            journal.append(pin(f"host-{number}"))
        journal.checkpoint()
    store = Counting(world.store)
    assert len(reading(store).fold().pins) == 40
    assert len(store.read) == 3  # the lock, the checkpoint, and the object that says so
    assert store.calls["list"] == 3
    assert store.created == []


def test_a_checkpoint_is_not_made_twice_of_the_same(memory: World) -> None:
    with writing(memory.store) as journal:
        journal.append(pin("a"))
        journal.checkpoint()
    store = Counting(memory.store)
    with writing(store) as journal:
        journal.checkpoint()
        assert journal.head.sequence == 2
    assert [key for key in store.created if not key.startswith("lock/")] == []


def test_entries_go_on_after_a_checkpoint(world: World) -> None:
    with writing(world.store) as journal:
        journal.append(pin("a"))
        journal.checkpoint()
        journal.append(pin("b"))
        assert journal.fold().pins.keys() == {"a", "b"}
    after = reading(world.store)
    assert after.fold().pins.keys() == {"a", "b"}
    assert hosts(after) == ["a", "b"]
    assert [entry.kind for entry in after.entries()] == ["pinned", "checkpoint", "pinned"]


def test_a_checkpoint_whose_entry_was_not_written_still_holds(memory: World) -> None:
    store = Unsteady(memory.store)
    with writing(store) as journal:
        journal.append(pin("a"))
        store.orders = ["", "refused"]
        with pytest.raises(CommandFailed):
            journal.checkpoint()
    assert reading(memory.store).fold().pins.keys() == {"a"}
    with writing(memory.store) as journal:
        journal.append(pin("b"))
        memory.store.create(checkpoint_key("dev", 2), b"kept by another command that was killed after it")
        journal.checkpoint()
        memory.remove(checkpoint_key("dev", 2))
    write_some(memory, 1)
    assert hosts(reading(memory.store)) == ["a", "b", "host-0"]


def test_nothing_is_kept_of_a_lock_that_was_only_taken(memory: World) -> None:
    Lock.acquire(memory.store, "dev", KEYRING, dead_here())
    with writing(memory.store) as journal:
        journal.checkpoint()
        assert journal.head.sequence == 1
    assert not any(memory.store.list("checkpoints/"))


def test_a_long_journal_is_read_whole_and_in_order() -> None:
    held = Holding()
    with writing(held) as journal:
        for number in range(600):
            journal.append(pin(f"host-{number}"))
    assert hosts(reading(held)) == [f"host-{number}" for number in range(600)]


def test_the_head_that_was_read_is_recorded_though_nothing_is_appended(memory: World) -> None:
    """What the holder before sent, and was not told of, arrived after it gave the lock back."""
    write_some(memory, 1)
    key, previous = journal_key("dev", 2), digest_of(memory.store.get(journal_key("dev", 1)))
    memory.store.create(key, seal(KEYRING, key, {**OBJECT, "previous": previous}))
    with writing(memory.store):
        pass
    memory.remove(key)
    with pytest.raises(JournalDamaged, match="the tail was cut after 1, the lock recorded 2"):
        reading(memory.store)


def test_a_checkpoint_of_another_object_than_the_lock_recorded_is_named(memory: World) -> None:
    write_some(memory, 1)
    key = checkpoint_key("dev", 1)
    memory.store.create(key, seal(KEYRING, key, CHECKPOINT))
    with pytest.raises(JournalDamaged, match="is not the object that the lock recorded") as caught:
        reading(memory.store)
    assert caught.value.where == journal_key("dev", 1)


# Writers


def test_of_two_writers_only_one_appends(world: World) -> None:
    for round_number in range(5):
        environment = f"dev-{round_number}"
        lock = Lock.acquire(world.store, environment, KEYRING, living_here())
        both = [Journal.open(world.store, environment, KEYRING, lock=lock) for _ in range(2)]
        together = Barrier(2)

        def contend(number: int, both: list[Journal] = both, together: Barrier = together) -> bool:
            together.wait()
            try:
                both[number].append(pin(f"writer-{number}"))
                return True
            except AnotherWriter:
                return False

        with ThreadPoolExecutor(max_workers=2) as pool:
            won = list(pool.map(contend, range(2)))
        assert sorted(won) == [False, True]
        assert hosts(reading(world.store, environment)) == [f"writer-{won.index(True)}"]


def test_who_lost_once_does_not_append_again(memory: World) -> None:
    lock = Lock.acquire(memory.store, "dev", KEYRING, living_here())
    winner, loser = (Journal.open(memory.store, "dev", KEYRING, lock=lock) for _ in range(2))
    winner.append(pin("a"))
    for _ in range(2):
        with pytest.raises(AnotherWriter, match="another writer appended"):
            loser.append(pin("b"))


def test_a_holder_whose_lock_was_taken_cannot_append(world: World) -> None:
    old = Lock.acquire(world.store, "dev", KEYRING, elsewhere())
    before = Journal.open(world.store, "dev", KEYRING, lock=old)
    before.append(pin("a"))
    new = Lock.acquire(world.store, "dev", KEYRING, living_here(), take=[newest_lock(world.store)])
    after = Journal.open(world.store, "dev", KEYRING, lock=new)
    with pytest.raises(AnotherWriter):
        before.append(pin("late"))
    after.append(pin("b"))
    assert [type(entry) for entry in reading(world.store).entries()] == [Pinned, LockTaken, Pinned]


def test_the_former_holder_stops_by_itself_once_it_looks(memory: World) -> None:
    old = Lock.acquire(memory.store, "dev", KEYRING, elsewhere())
    journal = Journal.open(memory.store, "dev", KEYRING, lock=old)
    Lock.acquire(memory.store, "dev", KEYRING, living_here(), take=[newest_lock(memory.store)])
    with pytest.raises(LockHeld):
        old.renew()
    with pytest.raises(LockHeld, match="was taken over by"):
        journal.append(pin("late"))


# Contests: `first` took the lock, and `second` took it from `first` before or while that opened the journal


def taken_from(world: World, holder: Holder) -> Lock:
    return Lock.acquire(world.store, "dev", KEYRING, holder, take=[newest_lock(world.store)])


def overtake(world: World) -> Journal:
    """The second takes over, and writes."""
    second = Lock.acquire(world.store, "dev", KEYRING, grace(), take=[newest_lock(world.store)])
    journal = Journal.open(world.store, "dev", KEYRING, lock=second)
    journal.append(pin("of-grace"))
    return journal


def grace() -> Holder:
    return replace(elsewhere(), name="grace@elsewhere")


@pytest.mark.parametrize("is_left", [False, True], ids=["still there", "gone again"])
@pytest.mark.parametrize(
    ("when", "key", "after"),
    [
        ("list", "lock/", False),
        ("list", "lock/", True),
        ("list", "checkpoints/", True),
        ("list", "journal/", True),
    ],
)
def test_who_was_taken_over_before_it_began_to_write_writes_nothing(
    memory: World, when: str, key: str, after: bool, is_left: bool
) -> None:
    def happens() -> None:
        journal = overtake(memory)
        if is_left and journal._lock:
            journal._lock.release()

    write_some(memory)
    Lock.acquire(memory.store, "dev", KEYRING, elsewhere())
    first = taken_from(memory, living_here())
    store = Interrupted(memory.store, when=when, key=key, after=after, then=happens)
    with pytest.raises(LockHeld, match="was taken over by grace@elsewhere"):
        Journal.open(store, "dev", KEYRING, lock=first)
    assert [type(entry) for entry in reading(memory.store).entries()] == [Pinned] * 5 + [LockTaken, Pinned]
    with pytest.raises(LockHeld, match="was taken over by grace@elsewhere"):
        first.check()


def test_who_takes_over_while_the_first_fences_comes_after_it(memory: World) -> None:
    """The first fences before the second reads: both fences are there, and the first ends at its next append."""
    Lock.acquire(memory.store, "dev", KEYRING, elsewhere())
    first = taken_from(memory, living_here())
    store = Interrupted(memory.store, when="create", key="journal/", after=True, then=lambda: overtake(memory))
    journal = Journal.open(store, "dev", KEYRING, lock=first)
    with pytest.raises(AnotherWriter):
        journal.append(pin("late"))
    assert [type(entry) for entry in reading(memory.store).entries()] == [LockTaken, LockTaken, Pinned]


def test_the_fence_comes_after_all_that_the_former_holder_wrote(memory: World) -> None:
    former = Lock.acquire(memory.store, "dev", KEYRING, elsewhere())
    writer = Journal.open(memory.store, "dev", KEYRING, lock=former)
    store = Interrupted(memory.store, when="create", key="journal/")
    late = iter("abc")

    def goes_on() -> None:
        writer.append(pin(next(late)))
        store.then = goes_on if late.__length_hint__() else None

    store.then = goes_on
    lock = taken_from(memory, living_here())
    journal = Journal.open(store, "dev", KEYRING, lock=lock)
    assert journal.fold().pins.keys() == {"a", "b", "c"}
    with pytest.raises(AnotherWriter):
        writer.append(pin("d"))
    assert [type(entry) for entry in reading(memory.store).entries()] == [Pinned, Pinned, Pinned, LockTaken]


def test_a_former_holder_that_never_stops_is_named(memory: World) -> None:
    former = Lock.acquire(memory.store, "dev", KEYRING, elsewhere())
    writer = Journal.open(memory.store, "dev", KEYRING, lock=former)
    store = Interrupted(memory.store, when="create", key="journal/")

    def goes_on() -> None:
        writer.append(pin("a"))
        store.then = goes_on

    store.then = goes_on
    with pytest.raises(AnotherWriter, match="ada@elsewhere goes on writing"):
        Journal.open(store, "dev", KEYRING, lock=taken_from(memory, living_here()))


def test_a_lock_that_was_released_needs_no_fence(memory: World) -> None:
    write_some(memory, 1)
    write_some(memory, 1)
    assert [type(entry) for entry in reading(memory.store).entries()] == [Pinned, Pinned]


def test_who_reads_while_another_writes_sees_no_damage(memory: World) -> None:
    """The lock was read before: what it says now is of a journal that is longer than the one read."""
    with writing(memory.store) as journal:
        journal.append(pin("a"))

        def go_on() -> None:
            journal.append(pin("b"))
            assert journal._lock
            journal._lock.renew()

        store = Interrupted(memory.store, when="list", key="journal/", after=True, then=go_on)
        assert Journal.open(store, "dev", KEYRING).fold().pins.keys() == {"a"}


def test_who_reads_while_another_takes_over_sees_no_damage(memory: World) -> None:
    Lock.acquire(memory.store, "dev", KEYRING, elsewhere())
    store = Interrupted(memory.store, when="list", key="lock/", after=True, then=lambda: overtake(memory))
    assert Journal.open(store, "dev", KEYRING).fold().pins.keys() == {"of-grace"}


def test_an_object_written_under_an_older_lock_is_named(memory: World) -> None:
    for _ in range(2):
        write_some(memory, 1)
    last = digest_of(memory.store.get(journal_key("dev", 2)))
    key = journal_key("dev", 3)
    memory.store.create(key, seal(KEYRING, key, {"previous": last, "generation": 2, "entries": []}))
    with pytest.raises(JournalDamaged, match="was written under lock 2, after lock 3 was taken") as caught:
        reading(memory.store)
    assert caught.value.where == key


def test_an_object_older_than_the_checkpoint_s_lock_is_named(memory: World) -> None:
    write_some(memory, 1)
    with writing(memory.store) as journal:
        journal.append(pin("a"))
        journal.checkpoint()
    memory.remove(journal_key("dev", 3))
    last = digest_of(memory.store.get(journal_key("dev", 2)))
    key = journal_key("dev", 3)
    memory.store.create(key, seal(KEYRING, key, {"previous": last, "generation": 2, "entries": []}))
    with pytest.raises(JournalDamaged, match="was written under lock 2, after lock 3 was taken"):
        reading(memory.store)


def test_locks_that_are_gone_are_noticed_by_what_was_written_under_them(memory: World) -> None:
    for _ in range(2):
        write_some(memory, 1)
    for key in list(memory.store.list("lock/dev/"))[:2]:
        memory.remove(key)
    with pytest.raises(JournalDamaged, match="is missing, though the journal was written under it") as caught:
        reading(memory.store)
    assert caught.value.where == lock_key("dev", 3)
    for key in list(memory.store.list("lock/dev/")):
        memory.remove(key)
    with pytest.raises(JournalDamaged, match="is missing, though the journal was written under it"):
        reading(memory.store)


# A store that does not answer


@contextmanager
def unsteady(world: World, *orders: str) -> Iterator[tuple[Journal, Lock, Clock, Unsteady]]:
    """A journal on a store that has these orders for its next writes."""
    clock, store = Clock(), Unsteady(world.store)
    lock = Lock.acquire(store, "dev", KEYRING, living_here(), clock=clock)
    journal = Journal.open(store, "dev", KEYRING, lock=lock, clock=clock, sleep=clock.sleep)
    store.orders = list(orders)
    yield journal, lock, clock, store
    lock.release()


@pytest.mark.parametrize(
    "orders", [("lost",), ("unheard",), ("lost", "lost", "unheard"), ("unheard", "lost"), ("lost",) * 5]
)
def test_an_append_whose_answer_is_lost_is_written_once(memory: World, orders: tuple[str, ...]) -> None:
    with unsteady(memory, *orders) as (journal, _, clock, _):
        journal.append(pin("a"))
        journal.append(pin("b"))
        assert clock.slept
        assert max(clock.slept) <= 5
    assert hosts(reading(memory.store)) == ["a", "b"]
    assert reading(memory.store).head.sequence == 2


@pytest.mark.parametrize("order", ["lost", "unheard"])
def test_an_append_is_tried_again_while_the_lease_lasts(memory: World, order: str) -> None:
    with unsteady(memory, *["lost"] * 100) as (journal, _, clock, store):
        store.orders[-1:] = [order]
        with pytest.raises(LockHeld, match="the lease ran out"):
            journal.append(pin("a"))
        assert 55 < sum(clock.slept) < 66
        store.orders = []
    reading(memory.store)


def test_with_a_lease_that_is_renewed_patience_ends_all_the_same(memory: World) -> None:
    with unsteady(memory, *["lost"] * 1000) as (journal, lock, clock, store):
        clock.on_sleep = lambda clock: setattr(lock, "_renewed", clock.now)
        with pytest.raises(Unreachable):
            journal.append(pin("a"))
        assert 55 < sum(clock.slept) < 66
        store.orders = ["lost", "unheard"]
        journal.append(pin("b"))
    assert hosts(reading(memory.store)) == ["a", "b"]


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("arrived", [False, True])
def test_what_may_have_arrived_is_settled_before_the_next_append(memory: World, killed: bool, arrived: bool) -> None:
    """It is sent again as it was: the number may be taken by itself, a moment later."""

    class Once(Counting):
        def create(self, key: str, body: bytes) -> None:
            is_first = key.startswith("journal/") and not self.created.count("asked")
            if not is_first or arrived:
                super().create(key, body)
            if is_first:
                self.created.append("asked")
                raise KeyboardInterrupt if killed else CommandFailed("answered with nonsense")

    store = Once(memory.store)
    with writing(store) as journal:
        with pytest.raises(KeyboardInterrupt if killed else CommandFailed):
            journal.append(pin("a"))
        assert journal.fold().pins == {}
        journal.append(pin("b"))
        assert journal.fold().pins.keys() == {"a", "b"}
    assert hosts(reading(memory.store)) == ["a", "b"]


def test_what_arrives_late_is_the_same_object(memory: World) -> None:
    """A request that is still under way when its answer was given up."""
    late: list[tuple[str, bytes]] = []

    class Late(Counting):
        def create(self, key: str, body: bytes) -> None:
            if key.startswith("journal/") and not late:
                late.append((key, body))
                raise CommandFailed("answered with nonsense")
            if late and key == late[0][0]:
                memory.store.create(*late[0])
            super().create(key, body)

    with writing(Late(memory.store)) as journal:
        with pytest.raises(CommandFailed):
            journal.append(pin("a"))
        journal.append(pin("b"))
    assert hosts(reading(memory.store)) == ["a", "b"]


def test_whose_number_was_taken_meanwhile_ends(memory: World) -> None:
    with unsteady(memory, "refused") as (journal, _, _, _):
        with pytest.raises(CommandFailed):
            journal.append(pin("a"))
        memory.store.create(journal_key("dev", 1), b"another's")
        for _ in range(2):
            with pytest.raises(AnotherWriter):
                journal.append(pin("b"))
        memory.remove(journal_key("dev", 1))
        with pytest.raises(AnotherWriter):
            journal.append(pin("c"))


def test_nothing_is_sent_once_the_lock_is_lost(memory: World) -> None:
    with unsteady(memory) as (journal, _, clock, store):
        clock.go_on(60)
        sent = len(store.created)
        with pytest.raises(LockHeld):
            journal.append(pin("a"))
        assert len(store.created) == sent


# Checkpoints


def test_who_only_reads_keeps_no_checkpoint(memory: World) -> None:
    write_some(memory, 1)
    with pytest.raises(Refused, match="opened for reading"):
        reading(memory.store).checkpoint()
    assert not any(memory.store.list("checkpoints/"))


def test_who_lost_the_lock_keeps_no_checkpoint(memory: World) -> None:
    with unsteady(memory) as (journal, _, clock, _):
        journal.append(pin("a"))
        clock.go_on(60)
        with pytest.raises(LockHeld):
            journal.checkpoint()
    assert not any(memory.store.list("checkpoints/"))


def test_a_checkpoint_says_the_same_whoever_keeps_it(memory: World) -> None:
    """It says under which lock its object was written, not who folded it: an older holder may still append to that."""
    write_some(memory, 1)
    key = checkpoint_key("dev", 1)
    with writing(memory.store) as journal:
        journal.checkpoint()
        assert json.loads(memory.store.get(key))["generation"] == 1


def checkpoint_content() -> dict[str, Any]:
    folded = fold([pin("a"), Begun(**STEP, after={"v": 1}, release="r", command="apply")])
    return {"head": {"sequence": 1, "digest": "1" * 64}, "generation": 1, "folded": folded.document()}


STEP = {"target": "a", "subject": "file:/a", "before_digest": None, "after_digest": None}
CHECKPOINT = checkpoint_content()


def checkpoint_of(content: dict[str, Any], sequence: int = 1) -> Base:
    key = checkpoint_key("dev", sequence)
    store = Holding({key: seal(KEYRING, key, content)})
    return Checkpoints(store=store, keyring=KEYRING, environment="dev").newest()


def test_a_checkpoint_of_a_version_that_kept_no_replay_opens() -> None:
    older = {name: value for name, value in CHECKPOINT["folded"].items() if name != "replay"}
    base = checkpoint_of({**CHECKPOINT, "folded": older})
    assert (base.folded.pins.keys(), base.folded.replay) == ({"a"}, ())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "head: Field required"),
        ({**CHECKPOINT, "head": {}}, "head.sequence: Field required"),
        ({**CHECKPOINT, "generation": "1"}, "generation"),
        ({**CHECKPOINT, "folded": {}}, "folded.applied: Field required"),
        ({**CHECKPOINT, "folded": None}, "folded"),
        ({**CHECKPOINT, "folded": {**CHECKPOINT["folded"], "applied": [["a", "b"]]}}, "folded.applied"),
        ({**CHECKPOINT, "folded": {**CHECKPOINT["folded"], "pins": [{"kind": "begun"}]}}, "folded.pins"),
        ({**CHECKPOINT, "folded": {**CHECKPOINT["folded"], "news": []}}, "folded.news"),
        ({**CHECKPOINT, "head": {"sequence": 2, "digest": "1" * 64}}, "of number 2"),
    ],
)
def test_a_sealed_checkpoint_that_is_odd_is_named(content: dict[str, Any], words: str) -> None:
    with pytest.raises(JournalDamaged, match=words) as caught:
        checkpoint_of(content)
    assert caught.value.where == checkpoint_key("dev", 1)


@given(odd_documents(CHECKPOINT))
def test_no_sealed_checkpoint_gives_a_traceback(content: dict[str, Any]) -> None:
    with suppress(JournalDamaged):
        fold([pin("b")], checkpoint_of(content).folded)


OBJECT = {
    "previous": START.digest,
    "generation": 1,
    "entries": [document(pin("a")), document(Begun(**STEP, after={"v": 1}, release="r", command="apply"))],
}


def journal_of(content: Any) -> Journal:
    key, held = journal_key("dev", 1), Holding()
    with Lock.acquire(held, "dev", KEYRING, living_here()):
        held.create(key, seal(KEYRING, key, content))
        return Journal.open(held, "dev", KEYRING)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "previous: Field required"),
        ({**OBJECT, "previous": None}, "previous"),
        ({**OBJECT, "generation": "1"}, "generation"),
        ({**OBJECT, "generation": 1.0}, "generation"),
        ({**OBJECT, "generation": -1}, "generation"),
        ({**OBJECT, "entries": None}, "entries"),
        ({**OBJECT, "entries": [{"kind": "unheard_of"}]}, "entries.0"),
        ({**OBJECT, "entries": [{**OBJECT["entries"][0], "at": "2026-11-21T03:00:00"}]}, "entries.0.pinned.at"),
        ({**OBJECT, "more": 1}, "more"),
    ],
)
def test_a_sealed_object_that_is_odd_is_named(content: dict[str, Any], words: str) -> None:
    with pytest.raises(JournalDamaged, match=words) as caught:
        journal_of(content)
    assert caught.value.where == journal_key("dev", 1)


@given(odd_documents(OBJECT))
def test_no_sealed_object_gives_a_traceback(content: dict[str, Any]) -> None:
    with suppress(JournalDamaged):
        journal_of(content).fold()


@given(st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
def test_no_object_gives_a_traceback(body: bytes) -> None:
    held = Holding({journal_key("dev", 1): body})
    with pytest.raises(JournalDamaged):
        reading(held)


@pytest.mark.parametrize(
    "name", ["notes.txt", "1.json", "00000000000１.json", "0" * 13 + ".json", "9" * 5000 + ".json", ".json", "x" * 12]
)
def test_a_key_that_is_none_is_named(name: str) -> None:
    with pytest.raises(JournalDamaged, match="is no object of a journal") as caught:
        sequence_of(f"journal/dev/{name}")
    assert caught.value.where == f"journal/dev/{name}"
    assert caught.value.next_step


# Steps that a killed command left


def test_a_killed_command_is_gone_on_from(memory: World) -> None:
    lock = Lock.acquire(memory.store, "dev", KEYRING, dead_here())
    killed = Journal.open(memory.store, "dev", KEYRING, lock=lock)
    killed.append(Operation(name="pulumi up", phase="begun", details={"pid": 7}))
    with writing(memory.store) as journal:
        assert journal.fold().operations["pulumi up"].details == {"pid": 7}
        journal.append(Operation(name="pulumi up", phase="ended"))
        assert journal.fold().operations == {}


def test_a_success_without_a_beginning_says_where_it_is_recorded(memory: World) -> None:
    with writing(memory.store) as journal:
        journal.append(pin("a"))
        journal.append(Succeeded(**STEP))
    with pytest.raises(JournalDamaged, match="file:/a on a succeeded, which never began") as caught:
        reading(memory.store).fold()
    assert caught.value.where == journal_key("dev", 2)


def test_steps_are_recorded_by_their_digests_and_a_failure_by_what_it_said(memory: World) -> None:
    before, after = {"mode": 1}, {"mode": 2}
    with writing(memory.store) as journal:
        recorder = journal.recorder("release", "apply")
        with pytest.raises(ValueError, match="planted"), recorder.entry([step("file:/a", before, after)]):
            raise ValueError("planted: whose text nobody has read for secrets")
        with pytest.raises(CommandFailed), recorder.entry([step("file:/a", before, None)]):
            raise CommandFailed("x" * 5000)
    first, failed, second, long = reading(memory.store).entries()
    assert isinstance(first, Begun)
    assert isinstance(failed, Failed)
    assert isinstance(long, Failed)
    assert (first.before_digest, first.after_digest, first.after) == (digest(before), digest(after), after)
    assert (first.release, first.command) == ("release", "apply")
    assert (second.before_digest, second.after_digest) == (digest(before), None)  # type: ignore[union-attr]
    assert (failed.error, failed.after_digest, len(long.error)) == ("ValueError", digest(after), 2000)
