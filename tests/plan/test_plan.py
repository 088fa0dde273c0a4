"""Facts and desire in, steps out; and the loop that carries them out, over drivers that hold state."""

import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle.errors import CommandFailed, Incomplete, InputError, StalePlan
from rekindle.plan import Action, Declared, Plan, Step, apply, check_fresh, diff, in_order, observe


def declared(subject, state, *, target="h", needs=()):
    return Declared(target=target, subject=subject, state=state, needs=frozenset(needs))


def plan_of(steps):
    return Plan(environment="dev", command="apply", release="r", journal_head="j", steps=tuple(steps))


class Memory:
    """A driver over a dict; refuses to write what it was told to break on."""

    def __init__(self, facts=None, broken=(), forgetful=()):
        self.facts, self.broken, self.forgetful, self.writes = dict(facts or {}), broken, forgetful, []

    def read(self, target, subjects):
        return {s: self.facts.get((target, s)) for s in subjects}

    def write(self, target, steps):
        if target in self.broken:
            raise CommandFailed("it broke", where=target)
        self.writes.append((target, [s.subject for s in steps]))
        self.facts.update({s.key: s.after for s in steps if s.subject not in self.forgetful})


class Log:
    """A recorder and a watcher that keep what they are told."""

    def __init__(self):
        self.lines = []

    @contextmanager
    def entry(self, steps: Sequence[Step]) -> Iterator[None]:
        self.lines.append(("begun", steps[0].target))
        try:
            yield
        except BaseException:
            self.lines.append(("failed", steps[0].target))
            raise
        self.lines.append(("succeeded", steps[0].target))

    def started(self, steps): ...

    def finished(self, steps, error): ...


def run(plan, driver):
    log = Log()
    try:
        apply(plan, dict.fromkeys(["file", "app"], driver), log, log, workers=4)
    finally:
        run.log = log.lines


A, B = {"mode": "a"}, {"mode": "b"}


@pytest.mark.parametrize(
    ("fact", "wanted", "action"),
    [
        (None, A, Action.CREATE),
        (A, B, Action.UPDATE),
        (A, None, Action.DELETE),
        (A, A, None),
        (None, None, None),
    ],
)
def test_diff_has_a_step_only_where_facts_and_desire_differ(fact, wanted, action):
    steps = diff([declared("file:x", wanted)], {("h", "file:x"): fact})
    assert [s.action for s in steps] == ([action] if action else [])


def test_what_needs_an_unchanged_subject_waits_for_what_that_one_needs():
    chain = [
        declared("file:c", A, needs=[("h", "file:b")]),
        declared("file:b", A, needs=[("h", "file:a")]),
        declared("file:a", A),
    ]
    steps = diff(chain, {("h", "file:b"): A})
    assert [(s.subject, set(s.needs)) for s in steps] == [("file:a", set()), ("file:c", {("h", "file:a")})]


def test_a_cycle_is_named():
    with pytest.raises(InputError, match=r"app:a → app:b → app:a|app:b → app:a → app:b"):
        in_order([declared("app:a", A, needs=[("h", "app:b")]), declared("app:b", A, needs=[("h", "app:a")])])


def test_a_missing_need_is_named():
    with pytest.raises(InputError, match="app:a on h needs app:b on h"):
        in_order([declared("app:a", A, needs=[("h", "app:b")])])


def test_steps_of_one_target_travel_together_and_are_journaled():
    driver = Memory()
    run(plan_of(diff([declared("file:a", A), declared("file:b", A)], {})), driver)
    assert driver.writes == [("h", ["file:a", "file:b"])]
    assert run.log == [("begun", "h"), ("succeeded", "h")]


def test_needs_are_written_first():
    driver = Memory()
    wanted = [declared("app:web", A, target="m", needs=[("h", "file:a")]), declared("file:a", A)]
    run(plan_of(diff(wanted, {})), driver)
    assert [target for target, _ in driver.writes] == ["h", "m"]


def test_a_failure_stops_what_needs_it_and_nothing_else():
    driver = Memory(broken=["h1"])
    wanted = [
        declared("file:a", A, target="h1"),
        declared("file:a", A, target="h2"),
        declared("file:b", A, target="h3", needs=[("h1", "file:a")]),
    ]
    with pytest.raises(Incomplete, match=r"1 of 3 steps are done[\s\S]*h1: it broke[\s\S]*h3"):
        run(plan_of(diff(wanted, {})), driver)
    assert [target for target, _ in driver.writes] == ["h2"]


class Interrupted(Memory):
    """A slow driver; at its first write, or read, Ctrl-C is pressed."""

    def __init__(self, at):
        super().__init__()
        self.at, self.reads = at, []

    def read(self, target, subjects):
        self.reads.append(target)
        self.press("read")
        return super().read(target, subjects)

    def write(self, target, steps):
        self.press("write")
        super().write(target, steps)

    def press(self, now):
        first, self.at = now == self.at, None if now == self.at else self.at
        time.sleep(0.05)  # by then all threads have started, and the main one waits for them
        if first:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


def test_after_ctrl_c_only_what_already_runs_ends():
    driver, log = Interrupted("write"), Log()
    steps = diff([declared("file:a", A, target=f"h{n}") for n in range(20)], {})
    with pytest.raises(KeyboardInterrupt):
        apply(plan_of(steps), {"file": driver}, log, log, workers=2)
    assert 1 <= len(driver.writes) < 10
    assert Counter(event for event, _ in log.lines) == {event: len(driver.writes) for event in ("begun", "succeeded")}


def test_after_ctrl_c_no_other_target_is_read():
    driver = Interrupted("read")
    with pytest.raises(KeyboardInterrupt):
        observe([declared("file:a", A, target=f"h{n}") for n in range(20)], {"file": driver}, workers=2)
    assert 1 <= len(driver.reads) < 10


def test_what_a_killed_run_already_wrote_is_not_written_again():
    driver = Memory({("h", "file:a"): A})
    run(plan_of([Step(target="h", subject="file:a", before=None, after=A)]), driver)
    assert driver.writes == []


def test_a_step_on_something_that_changed_is_refused():
    driver = Memory({("h", "file:a"): B})
    with pytest.raises(Incomplete, match="changed since the plan was made") as caught:
        run(plan_of([Step(target="h", subject="file:a", before=None, after=A)]), driver)
    assert isinstance(caught.value.__cause__, StalePlan)
    assert driver.writes == []


def test_success_is_recorded_only_when_it_reads_back():
    with pytest.raises(Incomplete, match="written but reads otherwise"):
        run(plan_of(diff([declared("file:a", A)], {})), Memory(forgetful=["file:a"]))
    assert run.log == [("begun", "h"), ("failed", "h")]


def test_a_plan_file_reads_back_as_the_same_plan():
    plan = plan_of(diff([declared("file:b", A, needs=[("h", "file:a")]), declared("file:a", B)], {("h", "file:a"): A}))
    assert Plan.from_json(plan.to_json(), where="x") == plan


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({"version": 99}), '{"version": 1, "steps": [{}]}'])
def test_a_file_that_is_no_plan_is_said_to_be_none(text):
    with pytest.raises(InputError, match="not a plan file"):
        Plan.from_json(text, where="x.json")


def test_a_plan_is_stale_when_planning_again_differs():
    was = plan_of(diff([declared("file:a", A)], {}))
    with pytest.raises(StalePlan, match="file:a on h"):
        check_fresh(was, plan_of(diff([declared("file:a", A)], {("h", "file:a"): B})))
    check_fresh(was, was)


names = st.sampled_from("abcdef")
states = st.sampled_from([None, A, B])


@given(st.dictionaries(names, states), st.dictionaries(names, states))
def test_applying_a_diff_makes_everything_declared_true(wanted, facts):
    driver = Memory({("h", f"file:{n}"): s for n, s in facts.items()})
    everything = [declared(f"file:{n}", s) for n, s in wanted.items()]
    run(plan_of(diff(everything, driver.facts)), driver)
    assert diff(everything, driver.facts) == ()
