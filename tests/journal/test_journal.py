"""What is appended is there in order, verified, cheap to read and impossible to write twice."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from journal_world import (
    BUCKET,
    KEYRING,
    REGION,
    Clock,
    Counting,
    Unsteady,
    World,
    dead_here,
    elsewhere,
    living_here,
    newest_lock,
    of_bucket,
    pin,
    reading,
    writing,
)

from rekindle.aws.clients import Clients
from rekindle.errors import CommandFailed, JournalDamaged, LockHeld, Refused
from rekindle.journal.entries import LockTaken, Operation, Pinned
from rekindle.journal.journal import AnotherWriter, Journal
from rekindle.journal.lock import Lock
from rekindle.journal.naming import journal_key
from rekindle.journal.seal import seal
from rekindle.plan import Step, canonical
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


def test_appending_nothing_writes_nothing(folder: World) -> None:
    with writing(folder.store) as journal:
        journal.append()
        assert journal.head.sequence == 0


def test_without_the_lock_nothing_is_appended(folder: World) -> None:
    with pytest.raises(Refused, match="opened for reading"):
        reading(folder.store).append(pin("a"))


def test_environments_do_not_see_each_other(world: World) -> None:
    for environment in ("dev", "dev-dr"):
        with writing(world.store, environment) as journal:
            journal.append(pin(environment))
    assert hosts(reading(world.store, "dev")) == ["dev"]


# Steps


def test_a_step_is_begun_before_and_succeeded_after(folder: World) -> None:
    with writing(folder.store) as journal:
        recorder = journal.recorder("release", "apply")
        with recorder.entry([step("file:/a", None, {"mode": 1})]):
            assert reading(folder.store).fold().in_flight.keys() == {("master-1", "file:/a")}
        assert reading(folder.store).fold().in_flight == {}
        assert reading(folder.store).fold().applied == {("master-1", "file:/a"): {"mode": 1}}


def test_a_failed_step_is_said_to_be_so_until_it_succeeds(folder: World) -> None:
    wanted = step("file:/a", None, {"mode": 1})
    with writing(folder.store) as journal:
        recorder = journal.recorder("release", "apply")
        with pytest.raises(CommandFailed), recorder.entry([wanted]):
            raise CommandFailed("exit code 1")
        folded = journal.fold()
        assert (folded.applied, folded.in_flight) == ({}, {})
        assert [failed.error for failed in folded.failed.values()] == ["exit code 1"]
        with recorder.entry([wanted]):
            pass
        assert journal.fold().failed == {}


def test_a_killed_step_stays_in_flight(folder: World) -> None:
    with writing(folder.store) as journal:
        killed = journal.recorder("release", "apply").entry([step("file:/a", None, {"mode": 1})])
        with pytest.raises(KeyboardInterrupt), killed:
            raise KeyboardInterrupt
    assert reading(folder.store).fold().in_flight.keys() == {("master-1", "file:/a")}


def test_a_secret_in_a_state_cannot_be_recorded(folder: World) -> None:
    planted = Step(target="a", subject="file:/a", before=None, after={"password": Secret("planted")})
    with writing(folder.store) as journal:
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
def test_damage_is_found_and_named(folder: World, damage: Callable[[World], None], number: int, words: str) -> None:
    write_some(folder)
    damage(folder)
    with pytest.raises(JournalDamaged, match=words) as caught:
        reading(folder.store)
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


def test_a_stray_object_is_named(folder: World) -> None:
    write_some(folder)
    stray(folder)
    with pytest.raises(JournalDamaged, match=r"notes\.txt"):
        reading(folder.store)


def test_a_tail_cut_while_a_command_runs_is_found_by_the_renewal(folder: World) -> None:
    lock = Lock.acquire(folder.store, "dev", KEYRING, living_here())
    journal = Journal.open(folder.store, "dev", KEYRING, lock=lock)
    journal.append(pin("a"))
    journal.append(pin("b"))
    lock.renew()
    folder.remove(journal_key("dev", 2))
    with pytest.raises(JournalDamaged, match="the tail was cut"):
        reading(folder.store)


def test_an_altered_lock_is_named(folder: World) -> None:
    write_some(folder)
    key = next(folder.store.list("lock/dev/"))
    folder.replace(key, folder.store.get(key).replace(b'"sequence":5', b'"sequence":4'))
    with pytest.raises(JournalDamaged, match="was altered") as caught:
        reading(folder.store)
    assert caught.value.where == key


def test_damage_before_a_checkpoint_is_found_when_history_is_read(folder: World) -> None:
    with writing(folder.store) as journal:
        for number in range(5):
            journal.append(pin(f"host-{number}"))
        journal.checkpoint()
    missing(folder)
    after = reading(folder.store)
    assert len(after.fold().pins) == 5
    with pytest.raises(JournalDamaged, match="is missing"):
        list(after.entries())


# Cost


def test_entries_of_threads_that_wait_together_go_as_one_object(folder: World) -> None:
    store, together = Counting(folder.store), Barrier(32)

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


def test_all_that_wait_learn_that_their_object_was_not_written(folder: World) -> None:
    def work(number: int) -> bool:
        with pytest.raises(AnotherWriter):
            journal.append(pin(f"host-{number}"))
        return True

    with writing(folder.store) as journal:
        folder.store.create(journal_key("dev", 1), b"somebody")
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


def test_a_checkpoint_is_not_made_twice_of_the_same(folder: World) -> None:
    with writing(folder.store) as journal:
        journal.append(pin("a"))
        journal.checkpoint()
    store = Counting(folder.store)
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
    assert [entry.kind for entry in after.entries(since_checkpoint=True)] == ["checkpoint", "pinned"]


def test_a_checkpoint_whose_entry_was_not_written_still_holds(folder: World) -> None:
    store = Unsteady(folder.store)
    with writing(store) as journal:
        journal.append(pin("a"))
        store.orders = ["", "refused"]
        with pytest.raises(CommandFailed):
            journal.checkpoint()
    assert reading(folder.store).fold().pins.keys() == {"a"}
    write_some(folder, 1)
    assert hosts(reading(folder.store)) == ["a", "host-0"]


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


def test_who_lost_once_does_not_append_again(folder: World) -> None:
    lock = Lock.acquire(folder.store, "dev", KEYRING, living_here())
    winner, loser = (Journal.open(folder.store, "dev", KEYRING, lock=lock) for _ in range(2))
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


def test_the_former_holder_stops_by_itself_once_it_looks(folder: World) -> None:
    old = Lock.acquire(folder.store, "dev", KEYRING, elsewhere())
    journal = Journal.open(folder.store, "dev", KEYRING, lock=old)
    Lock.acquire(folder.store, "dev", KEYRING, living_here(), take=[newest_lock(folder.store)])
    with pytest.raises(LockHeld):
        old.renew()
    with pytest.raises(LockHeld, match="was taken over by"):
        journal.append(pin("late"))


def test_a_killed_command_is_gone_on_from(folder: World) -> None:
    lock = Lock.acquire(folder.store, "dev", KEYRING, dead_here())
    killed = Journal.open(folder.store, "dev", KEYRING, lock=lock)
    killed.append(Operation(name="pulumi up", phase="begun", details={"pid": 7}))
    with writing(folder.store) as journal:
        assert journal.fold().operations["pulumi up"].details == {"pid": 7}
        journal.append(Operation(name="pulumi up", phase="ended"))
        assert journal.fold().operations == {}
