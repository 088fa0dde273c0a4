"""The same work for clusters of several sizes; what matters is how the time for one host changes as they grow."""

import resource
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from datetime import UTC, datetime

from rekindle import plan as plans
from rekindle.journal.entries import Begun, Succeeded
from rekindle.journal.fold import fold
from rekindle.plan import Declared, Plan, diff

SIZES = (100, 1_000, 10_000)  # hosts
SUBJECTS = 12  # files, packages, units of one host
RUNS = 3  # the fastest counts: the rest is the machine's noise


class Memory:
    """A driver over a dictionary."""

    def __init__(self):
        self.facts = {}

    def read(self, target, subjects):
        return {s: self.facts.get((target, s)) for s in subjects}

    def write(self, target, steps):
        self.facts.update({s.key: s.after for s in steps})

    @contextmanager
    def entry(self, steps):
        yield

    def started(self, steps): ...

    def finished(self, steps, error): ...


def declared(hosts: int) -> list[Declared]:
    gate = ("host-0", "file:/etc/0")
    return [
        Declared(
            target=f"host-{host}",
            subject=f"file:/etc/{number}",
            state={"digest": "0" * 64, "mode": "0644", "owner": "root"},
            needs=frozenset({gate} if host and number == 0 else ()),
        )
        for host in range(hosts)
        for number in range(SUBJECTS)
    ]


def plan_anew(hosts: int) -> Callable[[], object]:
    wanted = declared(hosts)
    return lambda: diff(wanted, {})


def plan_nothing(hosts: int) -> Callable[[], object]:
    wanted = declared(hosts)
    facts = {d.key: d.state for d in wanted}
    return lambda: diff(wanted, facts)


def apply_all(hosts: int) -> Callable[[], object]:
    steps = diff(declared(hosts), {})
    plan = Plan(environment="dev", command="bootstrap", release="r", journal_head="j", steps=steps)

    def run() -> None:
        memory = Memory()
        plans.apply(plan, {"file": memory}, memory, memory)

    return run


def fold_all(hosts: int) -> Callable[[], object]:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    entries = []
    for d in declared(hosts):
        name = {"target": d.target, "subject": d.subject, "before_digest": None, "after_digest": "0" * 64, "at": at}
        entries.append(Begun(**name, after=dict(d.state or {}), release="r", command="bootstrap"))
        entries.append(Succeeded(**name))
    return lambda: fold(entries)


WORK = {
    "plan from nothing": plan_anew,
    "plan nothing to do": plan_nothing,
    "apply loop": apply_all,
    "journal fold": fold_all,
}


def fastest(run: Callable[[], object]) -> float:
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return min(times)


def main() -> None:
    """Prints seconds for each size, and the time for one host against that of the smallest size."""
    heads = "".join(f"{f'{size:,} hosts':>16}{'per host':>10}" for size in SIZES)
    print(f"{'':22}{heads}")
    for name, make in WORK.items():
        base, cells = 0.0, ""
        for size in SIZES:
            per_host = (seconds := fastest(make(size))) / size
            base = base or per_host
            cells += f"{seconds:14.3f} s{per_host / base:9.2f}×"
        print(f"{name:22}{cells}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory {peak:.0f} MiB, {sys.version.split()[0]}")


if __name__ == "__main__":
    main()
