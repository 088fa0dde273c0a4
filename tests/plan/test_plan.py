"""Facts and desire in, steps out; and the loop that carries them out, over drivers that hold state."""

import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.errors import CommandFailed, Incomplete, InputError, StalePlan
from rekindle.plan import Action, Declared, Plan, Step, apply, check_fresh, diff, digest, in_order, observe


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
        self.lines, self.told = [], []

    @contextmanager
    def entry(self, steps: Sequence[Step]) -> Iterator[None]:
        self.lines.append(("begun", steps[0].target))
        try:
            yield
        except BaseException:
            self.lines.append(("failed", steps[0].target))
            raise
        self.lines.append(("succeeded", steps[0].target))

    def started(self, steps):
        self.told.append(("started", steps[0].target))

    def finished(self, steps, error):
        self.told.append(("finished", steps[0].target, error and error.what))


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


def test_a_need_that_is_reached_by_two_ways_is_waited_for_once():
    diamond = [
        declared("file:d", A, needs=[("h", "file:b"), ("h", "file:c")]),
        declared("file:b", A, needs=[("h", "file:a")]),
        declared("file:c", A, needs=[("h", "file:a")]),
        declared("file:a", A),
    ]
    facts = {("h", "file:b"): A, ("h", "file:c"): A}
    needs = {s.subject: s.needs for s in diff(diamond, facts)}
    assert needs == {"file:a": frozenset(), "file:d": {("h", "file:a")}}
    needs = {s.subject: s.needs for s in diff(diamond, {("h", "file:c"): A})}
    assert needs["file:d"] == {("h", "file:a"), ("h", "file:b")}


def test_what_needs_a_chain_that_does_not_change_waits_for_nothing():
    chain = [declared("file:0", A), *(declared(f"file:{n}", A, needs=[("h", f"file:{n - 1}")]) for n in range(1, 5))]
    [step] = diff(chain, {d.key: A for d in chain[:-1]})
    assert (step.subject, step.needs) == ("file:4", frozenset())


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


class Gate(Memory):
    """A driver whose write of one subject finds out whether that of another begins meanwhile."""

    def __init__(self, waits="", other="", seconds=0.0, began=None):
        super().__init__()
        self.waits, self.other, self.seconds = waits, other, seconds
        self.began, self.heard = began or threading.Event(), None

    def write(self, target, steps):
        subjects = [s.subject for s in steps]
        if self.other in subjects:
            self.began.set()
        if self.waits in subjects:
            self.heard = self.began.wait(self.seconds)
        super().write(target, steps)


def test_what_may_start_does_not_wait_for_the_slowest_target():
    driver = Gate("file:slow", "file:last", seconds=5)
    wanted = [declared("file:slow", A, target="h1"), declared("file:a", A, target="h2")]
    run(plan_of(diff([*wanted, declared("file:last", A, target="h3", needs=[("h2", "file:a")])], {})), driver)
    assert driver.heard


def test_one_target_is_never_written_by_two_drivers_at_once():
    files, log = Gate("file:a", seconds=0.1), Log()
    apps = Gate(other="app:b", began=files.began)
    wanted = [declared("file:a", A), declared("app:b", A), declared("file:a2", A, target="h2")]  # h2 ends meanwhile
    apply(plan_of(diff(wanted, {})), {"file": files, "app": apps}, log, log)
    assert (files.heard, files.began.is_set()) == (False, True)


def test_who_watches_is_told_of_each_batch_that_it_began_and_how_it_ended():
    driver, log = Memory(broken=["h1"]), Log()
    steps = diff([declared("file:a", A, target=t) for t in ("h1", "h2")], {})
    with pytest.raises(Incomplete):
        apply(plan_of(steps), {"file": driver}, log, log)
    assert sorted(log.told) == [
        ("finished", "h1", "it broke"),
        ("finished", "h2", None),
        ("started", "h1"),
        ("started", "h2"),
    ]


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


@pytest.mark.usefixtures("ctrl_c")
def test_after_ctrl_c_only_what_already_runs_ends():
    driver, log = Interrupted("write"), Log()
    steps = diff([declared("file:a", A, target=f"h{n}") for n in range(20)], {})
    with pytest.raises(KeyboardInterrupt):
        apply(plan_of(steps), {"file": driver}, log, log, workers=2)
    assert 1 <= len(driver.writes) < 10
    assert Counter(event for event, _ in log.lines) == {event: len(driver.writes) for event in ("begun", "succeeded")}


@pytest.mark.usefixtures("ctrl_c")
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


def test_one_plan_is_one_file_whatever_the_order_of_what_its_steps_need():
    needs = [("h", f"file:{n}") for n in range(20)]
    step = Step(target="h", subject="app:a", before=None, after=A, needs=frozenset(needs))
    assert json.loads(plan_of([step]).to_json())["steps"][0]["needs"] == sorted(map(list, needs))


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


def read_back(**changes):
    document = {
        "version": 1,
        "environment": "dev",
        "command": "apply",
        "release": "r",
        "journal_head": "j",
        "steps": [],
    }
    return Plan.from_json(json.dumps(document | changes), where="dev.plan.json")


STEP = {"target": "m", "subject": "app:/a", "action": "create", "before": None, "after": {"cmd": "x"}, "needs": []}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": 2}, "version: Input should be 1"),
        ({"environment": ["dev"]}, "environment: .*string"),
        ({"release": None}, "release: .*string"),
        ({"extra": 1}, "extra is not a known key"),
        ({"steps": {}}, "steps: .*tuple"),
        ({"steps": [None]}, "steps.0: "),
        ({"steps": [STEP | {"target": {}}]}, "steps.0.target: .*string"),
        ({"steps": [STEP | {"subject": []}]}, "steps.0.subject: .*string"),
        ({"steps": [STEP | {"after": [1]}]}, "steps.0.after: .*dictionary"),
        ({"steps": [STEP | {"before": "x"}]}, "steps.0.before: .*dictionary"),
        ({"steps": [STEP | {"needs": [["m"]]}]}, "steps.0.needs.0"),
        ({"steps": [STEP | {"needs": [[["m"], "a"]]}]}, "steps.0.needs.0.0: .*string"),
        ({"steps": [STEP | {"needs": [{"a": 1}]}]}, "steps.0.needs.0"),
        ({"steps": [STEP | {"needs": "ab"}]}, "steps.0.needs"),
        ({"steps": [STEP | {"action": "explode"}]}, "steps.0.action"),
        ({"steps": [{k: v for k, v in STEP.items() if k != "after"}]}, "steps.0.after is missing"),
        ({"steps": [STEP, STEP]}, "two steps for one subject"),
    ],
)
def test_a_plan_file_of_another_form_is_no_plan(changes, said):
    with pytest.raises(InputError, match=f"not a plan file that can be read: .*{said}") as caught:
        read_back(**changes)
    assert caught.value.where == "dev.plan.json"
    assert "rekindle plan" in caught.value.next_step


@pytest.mark.parametrize(
    "text", ["[" * 10_000, "\udcff", '{"version": NaN}', '{"version": 1, "version": 1}', "9" * 5000]
)
def test_text_that_holds_no_plain_value_is_no_plan(text):
    with pytest.raises(InputError, match="not a plan file"):
        Plan.from_json(text, where="x")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=60)
@given(st.sampled_from([*STEP, "environment", "release", "steps"]), json_values)
def test_any_plan_file_is_taken_or_refused(key, value):
    with suppress(InputError):
        read_back(**({key: value} if key not in STEP else {"steps": [STEP | {key: value}]})).to_json()


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({"release": "other"}, "what is declared changed since the plan was made; nothing was done"),
        ({"steps": ()}, "changed since the plan was made: app:/a on m; nothing was done"),
        ({"after": B}, "app:/a on m"),
        ({"before": B}, "app:/a on m"),
        ({"subject": "app:/b"}, "app:/a on m, app:/b on m"),
        ({"target": "n"}, "app:/a on m, app:/a on n"),
    ],
)
def test_a_plan_of_another_release_or_other_steps_is_stale(now, said):
    first = Step(target="m", subject="app:/a", before=None, after=A)
    step = replace(first, **{k: v for k, v in now.items() if k not in ("release", "steps")})
    again = replace(plan_of(now.get("steps", [step])), release=now.get("release", "r"))
    with pytest.raises(StalePlan, match=said) as caught:
        check_fresh(plan_of([first]), again)
    assert caught.value.where == "dev"
    assert "rekindle plan dev" in caught.value.next_step


def test_a_plan_that_was_made_at_another_head_of_the_journal_is_fresh_if_its_steps_are():
    plan = plan_of([Step(target="m", subject="app:/a", before=None, after=A)])
    check_fresh(plan, replace(plan, journal_head="later"))


class Reading(Memory):
    """A driver that counts what it is asked, and cannot read some targets."""

    def __init__(self, facts=None, unreadable=()):
        super().__init__(facts)
        self.unreadable, self.asked = unreadable, []

    def read(self, target, subjects):
        self.asked.append((target, sorted(subjects)))
        if target in self.unreadable:
            raise CommandFailed("it cannot be read", where=target)
        return super().read(target, subjects)


def test_what_can_be_read_is_observed_and_what_cannot_is_among_the_failures():
    files, apps = Reading({("h1", "file:a"): A}, unreadable=["h2"]), Reading()
    wanted = [declared("file:a", A, target="h1"), declared("file:b", A, target="h1"), declared("app:c", A, target="h1")]
    wanted += [declared("file:a", A, target="h2"), declared("app:c", A, target="h2")]
    seen = observe(wanted, {"file": files, "app": apps})
    assert seen.facts == {
        ("h1", "file:a"): A,
        ("h1", "file:b"): None,
        ("h1", "app:c"): None,
        ("h2", "app:c"): None,
    }
    assert {target: error.what for target, error in seen.failures.items()} == {"h2": "it cannot be read"}
    assert sorted(files.asked) == [("h1", ["file:a", "file:b"]), ("h2", ["file:a"])]


def test_a_step_waits_for_all_that_it_needs():
    driver = Memory()
    needs = [("h1", "file:a"), ("h2", "file:a")]
    wanted = [declared("app:web", A, target="m", needs=needs), *(declared("file:a", A, target=t) for t, _ in needs)]
    run(plan_of(diff(wanted, {})), driver)
    assert driver.writes[-1] == ("m", ["app:web"])
    assert len(driver.writes) == 3


def test_what_needs_a_failure_through_others_is_not_begun():
    driver = Memory(broken=["h1"])
    wanted = [
        declared("file:a", A, target="h1"),
        declared("file:b", A, target="h2", needs=[("h1", "file:a")]),
        declared("file:c", A, target="h3", needs=[("h2", "file:b")]),
    ]
    with pytest.raises(Incomplete, match="not started, because they need these: h2, h3") as caught:
        run(plan_of(diff(wanted, {})), driver)
    assert driver.writes == []
    assert "run the same command again" in caught.value.next_step


def test_one_target_is_written_by_one_driver_at_a_time():
    files, apps = Memory(), Memory()
    log = Log()
    steps = diff([declared("file:a", A), declared("app:b", A), declared("file:c", A)], {})
    apply(plan_of(steps), {"file": files, "app": apps}, log, log, workers=4)
    assert files.writes == [("h", ["file:a", "file:c"])]
    assert apps.writes == [("h", ["app:b"])]
    assert log.lines == [("begun", "h"), ("succeeded", "h")] * 2


def test_a_defect_of_a_driver_is_raised_as_it_is():
    class Defective(Memory):
        def write(self, target, steps):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(plan_of(diff([declared("file:a", A)], {})), Defective())


def test_every_failure_is_named_with_its_place():
    driver = Memory(broken=["h1", "h2"])
    with pytest.raises(Incomplete) as caught:
        run(plan_of(diff([declared("file:a", A, target=t) for t in ("h1", "h2", "h3")], {})), driver)
    assert "1 of 3 steps are done" in str(caught.value)
    assert "h1: it broke" in str(caught.value)
    assert "h2: it broke" in str(caught.value)


@pytest.mark.parametrize("state", [None, A])
def test_what_already_is_as_wanted_when_its_turn_comes_is_done_and_not_recorded(state):
    driver = Memory({("h", "file:a"): state} if state else {})
    run(plan_of([Step(target="h", subject="file:a", before=B, after=state)]), driver)
    assert (driver.writes, run.log) == ([], [])


def test_a_digest_is_of_the_value_and_not_of_its_spelling():
    assert digest({"b": 1, "a": "é"}) == digest({"a": "é", "b": 1})
    assert digest({"a": 1}) != digest({"a": "1"})
    assert digest({"a": None}) != digest({})
