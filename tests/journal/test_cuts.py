"""A command cut before or after any of its journal writes is gone on from, and does nothing twice."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

import pytest
from journal_world import KEYRING, Counting, elsewhere, newest_lock, of_memory, reading

from rekindle.errors import RekindleError
from rekindle.journal.entries import ReleaseEntry
from rekindle.journal.journal import Journal
from rekindle.journal.lock import Lock
from rekindle.journal.store import Store
from rekindle.plan import Declared, Key, Plan, State, Step, apply, diff

DECLARED = [
    Declared(target="a", subject="file:/1", state={"v": 1}),
    Declared(target="a", subject="file:/2", state={"v": 2}, needs=frozenset({("a", "file:/1")})),
    Declared(target="b", subject="file:/1", state={"v": 3}, needs=frozenset({("a", "file:/2")})),
    Declared(target="b", subject="file:/old", state=None, needs=frozenset({("b", "file:/1")})),
]
WANTED = {declared.key: declared.state for declared in DECLARED}


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Cut(Counting):
    """A store at whose n-th write the process dies, before or after it."""

    at: int = 0
    after: bool = False

    def create(self, key: str, body: bytes) -> None:
        is_last = len(self.created) == self.at
        if len(self.created) > self.at or (is_last and not self.after):
            raise Killed
        super().create(key, body)
        if is_last:
            raise Killed


@dataclass
class Hosts:
    """What stands, and how often each subject was written."""

    facts: dict[Key, State | None] = field(default_factory=lambda: {("b", "file:/old"): {"v": 0}})
    writes: Counter[Key] = field(default_factory=Counter)

    def read(self, target: str, subjects: Sequence[str]) -> Mapping[str, State | None]:
        return {subject: self.facts.get((target, subject)) for subject in subjects}

    def write(self, target: str, steps: Sequence[Step]) -> None:
        for step in steps:
            self.facts[step.key] = step.after
            self.writes[step.key] += 1


class Quiet:
    def started(self, steps: Sequence[Step]) -> None: ...

    def finished(self, steps: Sequence[Step], error: RekindleError | None) -> None: ...


def command(store: Store, hosts: Hosts) -> None:
    take = [newest_lock(store)] if any(store.list("lock/dev/")) else []
    lock = Lock.acquire(store, "dev", KEYRING, elsewhere(), take=take)
    journal = Journal.open(store, "dev", KEYRING, lock=lock)
    journal.append(ReleaseEntry(release="r", command="apply", rekindle_version="1"))
    facts = {declared.key: hosts.facts.get(declared.key) for declared in DECLARED}
    journal.settle(facts)
    plan = Plan(environment="dev", command="apply", release="r", journal_head="", steps=diff(DECLARED, facts))
    apply(plan, {"file": hosts}, journal.recorder("r", "apply"), Quiet())
    journal.checkpoint()
    lock.release()


def test_an_uncut_command_applies_all_and_again_nothing() -> None:
    store, hosts = Counting(of_memory().store), Hosts()
    for _ in range(2):
        command(store, hosts)
    assert reading(store).fold().applied == WANTED
    assert set(hosts.writes.values()) == {1}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_command_cut_at_any_write_is_gone_on_from(after: bool) -> None:
    for at in count():
        inner, hosts = of_memory().store, Hosts()
        try:
            command(Cut(inner, at=at, after=after), hosts)
        except Killed:
            folded = reading(inner).fold()
            assert hosts.writes.keys() <= folded.applied.keys() | folded.in_flight.keys()
            command(inner, hosts)
            assert (hosts.facts, set(hosts.writes.values())) == (WANTED, {1})
            assert reading(inner).fold().applied == WANTED
            assert reading(inner).fold().in_flight == {}
        else:
            assert at > 10  # each write of the command was cut once
            return


def test_what_reads_otherwise_after_a_cut_is_said_to_have_failed() -> None:
    store = of_memory().store
    lock = Lock.acquire(store, "dev", KEYRING, elsewhere())
    journal = Journal.open(store, "dev", KEYRING, lock=lock)
    step = Step(target="a", subject="file:/1", before=None, after={"v": 1})
    with pytest.raises(Killed), journal.recorder("r", "apply").entry([step]):
        raise Killed
    journal.settle({})
    assert journal.fold().in_flight.keys() == {step.key}
    journal.settle({step.key: None})
    assert (journal.fold().in_flight, journal.fold().failed.keys()) == ({}, {step.key})
