"""Declared, State, Step and Plan; the diff between them, their order, and the loop that applies a plan.

No I/O of its own: drivers read and write, a recorder (the journal) remembers.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from graphlib import CycleError, TopologicalSorter
from typing import Any, Literal, Protocol, TypeAlias

from pydantic import ValidationError

from rekindle.errors import CommandFailed, Incomplete, InputError, RekindleError, StalePlan, next_steps
from rekindle.parsing import Frozen, NotPlain, from_json, misfits

State: TypeAlias = Mapping[str, Any]
"""What is true of one subject, as JSON values; a secret appears in it as its keyed digest only."""

Key: TypeAlias = tuple[str, str]
"""(target, subject)."""

PLAN_VERSION: Literal[1] = 1
GO_ON = "Mend the cause and run the same command again: it does only what is left."
DEFAULT_WORKERS = 32  # targets changed at one time; enough to hide round trips, few enough for a bastion


class Action(StrEnum):
    """What a step does, derived from its before and after."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    NOTHING = "nothing"


@dataclass(frozen=True, kw_only=True)
class Declared:
    """What should be true of one subject, and what must be true before it is changed."""

    target: str  # where: "master-1", "marathon"
    subject: str  # what: "file:/etc/motd", "app:/shop/web"; the part before ":" is its kind
    state: State | None  # None: absent
    needs: frozenset[Key] = frozenset()

    @property
    def key(self) -> Key:
        return self.target, self.subject


@dataclass(frozen=True, kw_only=True)
class Step:
    """One change to one thing: the state we saw and the state we want."""

    target: str
    subject: str
    before: State | None
    after: State | None
    needs: frozenset[Key] = frozenset()

    @property
    def key(self) -> Key:
        return self.target, self.subject

    @property
    def kind(self) -> str:
        return self.subject.partition(":")[0]

    @property
    def action(self) -> Action:
        if self.before == self.after:
            return Action.NOTHING
        if self.before is None:
            return Action.CREATE
        return Action.DELETE if self.after is None else Action.UPDATE


@dataclass(frozen=True, kw_only=True)
class Plan:
    """An ordered set of steps, and what it was made from."""

    environment: str
    command: str
    release: str  # digest of the bundle it was rendered from
    journal_head: str  # digest of the newest entry when it was made
    steps: tuple[Step, ...] = ()

    def to_json(self) -> str:
        """The plan file: stable, readable, and whole."""
        document = {
            "version": PLAN_VERSION,
            "environment": self.environment,
            "command": self.command,
            "release": self.release,
            "journal_head": self.journal_head,
            "steps": [_step_document(step) for step in self.steps],
        }
        return json.dumps(document, indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str, *, where: str) -> "Plan":
        """The plan of a plan file; InputError if it is not one that this version can read."""
        try:
            file = _PlanFile.model_validate(from_json(text, unique=True))
        except ValidationError as error:
            raise _no_plan(misfits(_PlanFile, error), where) from error
        except NotPlain as error:
            raise _no_plan(str(error), where) from error
        steps = tuple(step.step() for step in file.steps)
        if len({step.key for step in steps}) < len(steps):
            raise _no_plan("it has two steps for one subject", where)
        return cls(
            environment=file.environment,
            command=file.command,
            release=file.release,
            journal_head=file.journal_head,
            steps=steps,
        )


class Driver(Protocol):
    """Reads and writes subjects of the kinds it knows, many of one target in one go."""

    def read(self, target: str, subjects: Sequence[str]) -> Mapping[str, State | None]:
        """The state of each subject, None for an absent one; changes nothing."""

    def write(self, target: str, steps: Sequence[Step]) -> None:
        """Makes `after` true for each step, in an order of kinds that is the driver's own."""


class Recorder(Protocol):
    """Remembers steps: that they began, durably before anything is written, and how they ended."""

    def entry(self, steps: Sequence[Step]) -> AbstractContextManager[None]:
        """Begun on entering; succeeded on leaving, failed when left by an exception."""


class Watcher(Protocol):
    """Is told how far the work is."""

    def started(self, steps: Sequence[Step]) -> None: ...

    def finished(self, steps: Sequence[Step], error: RekindleError | None) -> None: ...


def canonical(value: Any) -> bytes:
    """The one JSON spelling of a value that digests are taken of."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(value: Any) -> str:
    """SHA-256, in hex, of a JSON value's canonical spelling."""
    return hashlib.sha256(canonical(value)).hexdigest()


def diff(declared: Iterable[Declared], facts: Mapping[Key, State | None]) -> tuple[Step, ...]:
    """The steps from facts to what is declared, each after what it needs; what is already so has none."""
    wanted = in_order(declared)
    changing = {d.key for d in wanted if facts.get(d.key) != d.state}
    needs = _needs_that_change(wanted, changing)
    return tuple(
        Step(
            target=d.target,
            subject=d.subject,
            before=facts.get(d.key),
            after=d.state,
            needs=needs[d.key],
        )
        for d in wanted
        if d.key in changing
    )


def in_order(declared: Iterable[Declared]) -> list[Declared]:
    """What is declared, each after what it needs; InputError names a cycle or a missing need."""
    by_key = {d.key: d for d in declared}
    for d in by_key.values():
        for need in (need for need in d.needs if need not in by_key):
            raise InputError(f"{d.subject} on {d.target} needs {need[1]} on {need[0]}, which nothing declares")
    try:
        order = TopologicalSorter({d.key: sorted(d.needs) for d in by_key.values()}).static_order()
        return [by_key[key] for key in order]
    except CycleError as error:
        cycle = " → ".join(subject for _, subject in error.args[1])
        raise InputError(f"these need one another: {cycle}", next_step="Remove one of these dependencies.") from error


@dataclass(frozen=True)
class Observed:
    """Facts of all targets that answered, and why the others did not."""

    facts: Mapping[Key, State | None]
    failures: Mapping[str, RekindleError] = field(default_factory=dict)  # by target


def observe(declared: Iterable[Declared], drivers: Mapping[str, Driver], *, workers: int = DEFAULT_WORKERS) -> Observed:
    """Reads every target in parallel, once for each driver; one that does not answer is among the failures."""
    asked: dict[tuple[str, int], list[str]] = defaultdict(list)
    by_id = {id(driver): driver for driver in drivers.values()}
    for d in declared:
        asked[d.target, id(drivers[d.subject.partition(":")[0]])].append(d.subject)

    def read(item: tuple[tuple[str, int], list[str]]) -> Mapping[str, State | None] | RekindleError:
        (target, driver), subjects = item
        try:
            return by_id[driver].read(target, subjects)
        except RekindleError as error:
            return error

    with _threads(workers) as pool:
        answers = list(zip(asked, pool.map(read, asked.items()), strict=True))
    return Observed(
        facts={
            (target, subject): state
            for (target, _), answer in answers
            if not isinstance(answer, RekindleError)
            for subject, state in answer.items()
        },
        failures={target: answer for (target, _), answer in answers if isinstance(answer, RekindleError)},
    )


def apply(
    plan: Plan,
    drivers: Mapping[str, Driver],
    recorder: Recorder,
    watcher: Watcher,
    *,
    workers: int = DEFAULT_WORKERS,
) -> None:
    """Carries a plan out: steps of one target together, targets in parallel, needs first.

    A failure stops what needs it and nothing else. Raises Incomplete naming what failed and what
    was left, or the one error itself when nothing else was asked for. Ctrl-C and a defect are raised
    when the batches that already run have ended; no other is begun.
    """
    run = _Run(plan, drivers, recorder, watcher)
    with _threads(workers) as pool:
        running: dict[Future[None], tuple[Step, ...]] = {}
        while True:
            for batch in run.ready():
                running[pool.submit(run.carry_out, batch)] = batch
            if not running:
                break
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                run.settle(running.pop(future), future.exception())
    run.raise_failures()


@contextmanager
def _threads(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Threads for a block; when an exception or Ctrl-C ends it, only what already runs is waited for."""
    pool = ThreadPoolExecutor(max_workers=workers)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def check_fresh(planned: Plan, now: Plan) -> None:
    """StalePlan unless planning again gives the same steps from the same release."""
    if planned.release != now.release:
        raise StalePlan(
            "what is declared changed since the plan was made; nothing was done",
            where=planned.environment,
            next_step=f"Plan again and read the new plan: rekindle plan {planned.environment}",
        )
    was, found = ({s.key: (s.before, s.after) for s in p.steps} for p in (planned, now))
    changed = sorted({key for key in was.keys() | found.keys() if was.get(key) != found.get(key)})
    if changed:
        names = ", ".join(f"{subject} on {target}" for target, subject in changed[:5])
        raise StalePlan(
            f"changed since the plan was made: {names}; nothing was done",
            where=planned.environment,
            next_step=f"Plan again and read the new plan: rekindle plan {planned.environment}",
        )


@dataclass
class _Run:
    """Where the carrying out of one plan stands."""

    plan: Plan
    drivers: Mapping[str, Driver]
    recorder: Recorder
    watcher: Watcher
    waiting: dict[Key, Step] = field(init=False)
    unmet: dict[Key, int] = field(init=False)  # needs that are not done
    needed_by: dict[Key, list[Key]] = field(init=False)
    free: dict[str, list[Step]] = field(init=False)  # by target: steps that may start
    busy: set[str] = field(default_factory=set)
    done: set[Key] = field(default_factory=set)
    failures: list[tuple[tuple[Step, ...], RekindleError]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.waiting = {step.key: step for step in self.plan.steps}
        self.unmet = {step.key: len(step.needs) for step in self.plan.steps}
        self.needed_by, self.free = defaultdict(list), defaultdict(list)
        for step in self.plan.steps:
            for need in step.needs:
                self.needed_by[need].append(step.key)
            if not step.needs:
                self.free[step.target].append(step)

    def ready(self) -> list[tuple[Step, ...]]:
        """Batches that may start: one for each target that is not busy, of one driver."""
        return [self._batch(target) for target in sorted(self.free.keys() - self.busy)]

    def _batch(self, target: str) -> tuple[Step, ...]:
        steps = self.free.pop(target)
        first = self._driver(steps[0])
        batch = tuple(step for step in steps if self._driver(step) is first)
        if rest := [step for step in steps if self._driver(step) is not first]:
            self.free[target] = rest
        for step in batch:
            del self.waiting[step.key]
        self.busy.add(target)
        return batch

    def carry_out(self, batch: tuple[Step, ...]) -> None:
        """Writes one batch between two entries, after looking once more."""
        target, driver = batch[0].target, self._driver(batch[0])
        self.watcher.started(batch)
        seen = driver.read(target, [s.subject for s in batch])
        left = tuple(s for s in batch if seen[s.subject] != s.after)
        _refuse_stale(left, seen)
        if not left:
            return
        with self.recorder.entry(left):
            driver.write(target, left)
            _verify(left, driver.read(target, [s.subject for s in left]))

    def settle(self, batch: tuple[Step, ...], error: BaseException | None) -> None:
        """Notes how a batch ended; anything but our own errors is a defect and is raised."""
        self.busy.discard(batch[0].target)
        if error is None:
            self._release(batch)
        elif isinstance(error, RekindleError):
            self.failures.append((batch, error))
        else:
            raise error
        self.watcher.finished(batch, error if isinstance(error, RekindleError) else None)

    def _release(self, batch: tuple[Step, ...]) -> None:
        """What needed only these may start."""
        for step in batch:
            self.done.add(step.key)
            for key in self.needed_by[step.key]:
                self.unmet[key] -= 1
                if not self.unmet[key]:
                    self.free[key[0]].append(self.waiting[key])

    def raise_failures(self) -> None:
        if not self.failures:
            return
        failed = "\n".join(f"  {error.located(batch[0].target)}" for batch, error in self.failures)
        left = sorted({s.target for s in self.waiting.values()})
        rest = f"\nnot started, because they need these: {', '.join(left)}" if left else ""
        raise Incomplete(
            f"{len(self.done)} of {len(self.plan.steps)} steps are done; failed:\n{failed}{rest}",
            next_step="\n".join([*next_steps(error for _, error in self.failures), GO_ON]),
        ) from self.failures[0][1]

    def _driver(self, step: Step) -> Driver:
        return self.drivers[step.kind]


def _needs_that_change(in_order: Iterable[Declared], changing: Set[Key]) -> dict[Key, frozenset[Key]]:
    """What changes among the needs of each, looking through those that do not; needs come first."""
    found: dict[Key, frozenset[Key]] = {}
    for d in in_order:
        found[d.key] = frozenset().union(*({need} if need in changing else found[need] for need in d.needs))
    return found


def _refuse_stale(steps: Sequence[Step], seen: Mapping[str, State | None]) -> None:
    for step in steps:
        if seen[step.subject] != step.before:
            raise StalePlan(
                f"{step.subject} changed since the plan was made",
                where=step.target,
                next_step="Plan again and read the new plan.",
            )


def _verify(steps: Sequence[Step], seen: Mapping[str, State | None]) -> None:
    for step in steps:
        if seen[step.subject] != step.after:
            raise CommandFailed(
                f"{step.subject} was written but reads otherwise",
                where=step.target,
                next_step="Run `rekindle plan` to see what differs.",
            )


def _step_document(step: Step) -> dict[str, Any]:
    return {
        "target": step.target,
        "subject": step.subject,
        "action": step.action,
        "before": step.before,
        "after": step.after,
        "needs": sorted(map(list, step.needs)),
    }


class _StepFile(Frozen):
    """One step of a plan file; the action is there for people."""

    target: str
    subject: str
    action: Action
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    needs: tuple[Key, ...]

    def step(self) -> Step:
        return Step(
            target=self.target,
            subject=self.subject,
            before=self.before,
            after=self.after,
            needs=frozenset(self.needs),
        )


class _PlanFile(Frozen):
    """The form of a plan file."""

    version: Literal[1]
    environment: str
    command: str
    release: str
    journal_head: str
    steps: tuple[_StepFile, ...]


def _no_plan(problem: str, where: str) -> InputError:
    return InputError(
        f"this is not a plan file that can be read: {problem}",
        where=where,
        next_step="Make it again with `rekindle plan`.",
    )
