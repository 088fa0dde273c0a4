"""Cuts each change that a replay makes to last, once, and runs the replay again: it must end as if nothing had been.

    .venv/bin/python -m tests.hostile.cuts [--scenario NAME] [--every N] [--jobs N]

A change is an object of a journal, a lock, a secret, a key or a release, the settings of a stack, an update of
Pulumi, the bootstrap, an apply, and the switch of the public name. It is cut in each of three ways, in a
failover, in the failback after it, and in a second loss after that. Exit code 1 if one of them does harm.
"""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
sys.path.insert(0, str(Path(__file__).parents[1] / "replay"))

from disaster import REGIONS, Cuts, Disaster, Killed, Stack, Way, disaster
from moto import mock_aws
from rich.console import Console
from rich.table import Table

from rekindle import replay
from rekindle.aws.clients import Clients
from rekindle.environment import load
from rekindle.errors import RekindleError
from rekindle.journal.entries import SecretSet, SupersededBy
from rekindle.replay.planning import Phase

T = TypeVar("T")
NO_POINT = frozenset({"restore-point"})
RUNS = 4  # a cut one, and as many again as it may take


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A replay, and what came before it."""

    name: str
    lost: str
    to: str
    epoch: int
    before: Callable[[Disaster], None]
    accepted: frozenset[str] = frozenset()

    def run(self, world: Disaster, directory: str) -> replay.ReplayReport:
        done: replay.ReplayReport = world.run(directory, lost=self.lost, to=self.to, accept_loss=self.accepted)
        return done


def failed_over(world: Disaster) -> None:
    world.run("failover")
    world.stacks["dev"] = Stack()


def failed_back(world: Disaster) -> None:
    failed_over(world)
    world.run("failback", lost="dev-dr", to="dev", accept_loss=NO_POINT)
    world.destroy("dev-dr")


SCENARIOS = (
    Scenario(name="failover", lost="dev", to="dev-dr", epoch=1, before=lambda world: None),
    Scenario(name="failback", lost="dev-dr", to="dev", epoch=1, before=failed_over, accepted=NO_POINT),
    Scenario(name="second loss", lost="dev", to="dev-dr", epoch=2, before=failed_back),
)


@contextmanager
def begun(scenario: Scenario, clients: Clients) -> Iterator[Disaster]:
    """The world before the replay."""
    with TemporaryDirectory() as folder, mock_aws(), disaster(Path(folder), clients) as world:
        scenario.before(world)
        world.cuts = Cuts()
        yield world


@dataclass(frozen=True)
class Trials:
    """Replays of one world, each in a process of its own, which leaves the world as it was for the next."""

    scenario: Scenario
    world: Disaster

    def changes(self) -> list[str]:
        """What an undisturbed replay makes to last, in order."""
        self.scenario.run(self.world, "whole")
        return self.world.cuts.made

    def harm(self, case: tuple[int | str, Way]) -> list[str]:
        """What is not as it should be after this change was cut, and the replay run again there or elsewhere."""
        scenario, world, (number, way) = self.scenario, self.world, case
        names, creations = len(world.name_leads_to), world.stacks[scenario.to].creations
        world.cuts = Cuts(at=number, way=way)
        for attempt in range(RUNS):
            try:
                report = scenario.run(world, f"{number}-{way.name}-{attempt % 2}")
                break
            except (Killed, RekindleError) as error:
                if attempt:
                    return [f"run again it ended with {type(error).__name__}: {error}"]
            world.cuts = Cuts()
        else:
            return ["it never ended"]
        found = [*_harm(scenario, world, report), *world.violations]
        if world.stacks[scenario.to].creations != creations + 1:
            found.append(f"{world.stacks[scenario.to].creations - creations} updates made hosts")
        if world.name_leads_to[names:] != [scenario.to]:
            found.append(f"the name led to {world.name_leads_to[names:]}")
        return found


def apart(method: Callable[..., T], trials: Trials, cases: Sequence[tuple[Any, ...]], jobs: int) -> list[T]:
    """What the method gives for each case, each found out in a fork of this process."""
    global _fork
    _fork = partial(method, trials)
    with get_context("fork").Pool(jobs, maxtasksperchild=1) as pool:
        return pool.starmap(_in_fork, cases, chunksize=1)


_fork: Callable[..., Any]  # what a fork inherits cannot be handed to it otherwise: moto's state is in this process


def _in_fork(*case: Any) -> Any:
    return _fork(*case)


def _harm(scenario: Scenario, world: Disaster, report: replay.ReplayReport) -> Iterator[str]:
    gone, built = world.reading(scenario.lost), world.reading(scenario.to)
    marks = [e.epoch for e in gone.entries() if isinstance(e, SupersededBy)]
    if marks != list(range(1, scenario.epoch + 1)):
        yield f"the lost environment's marks are {marks}"
    if gone.fold().mark_in_force is None or built.fold().mark_in_force is not None:
        yield "the wrong one is superseded"
    if built.fold().operations:
        yield f"never ended: {', '.join(built.fold().operations)}"
    if world.secrets(scenario.to) != world.secrets(scenario.lost):
        yield "secrets differ"
    versions = Counter(e.name for e in built.entries() if isinstance(e, SecretSet))
    if max(versions.values()) > 1:
        yield f"secrets were set again: {versions}"
    services = world.clusters[scenario.to].services
    if len(services) < 4 or not all(services.values()):
        yield f"services are {services}"
    yield from _harm_to_report(scenario, world, report)
    yield from _harm_to_volumes(scenario, world, report)


def _harm_to_report(scenario: Scenario, world: Disaster, report: replay.ReplayReport) -> Iterator[str]:
    if replay.last(world.reading(scenario.to)) != report:
        yield "the report is not on record"
    if [p.name for p in report.phases] != list(Phase):
        yield f"the report names {len(report.phases)} phases"
    told = (report.environment, report.recovery_environment, report.epoch)
    if told != (scenario.lost, scenario.to, scenario.epoch):
        yield f"the report is of {told}"
    if frozenset(report.accepted_losses) != scenario.accepted:
        yield f"the report accepts {report.accepted_losses}"
    if not report.started <= report.answers_since <= report.ended:
        yield "the report's moments are out of order"
    if scenario.run(world, "later") != report:
        yield "run once more it is not the same report"


def _harm_to_volumes(scenario: Scenario, world: Disaster, report: replay.ReplayReport) -> Iterator[str]:
    restored = {} if scenario.accepted else world.copies
    found = world.clients.ec2(REGIONS[scenario.to]).describe_volumes()["Volumes"]
    made = sorted((v["Tags"][0]["Value"], v.get("SnapshotId") or None) for v in found)
    if made != sorted((name, restored.get(name)) for name in world.copies):
        yield f"its volumes are {made}"
    kept = load(Path(report.folder), scenario.to)
    if kept.standby or kept.restore != restored:
        yield "the folder's settings are not those that were built"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", choices=[s.name for s in SCENARIOS], action="append")
    parser.add_argument("--every", type=int, default=1, help="only each n-th change")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    wanted = parser.parse_args()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        os.environ[name] = "testing"
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
        os.environ.pop(name, None)
    console, clients, started = Console(width=120), Clients(), time.monotonic()
    table = Table("replay", "changes", *Way, "harm")
    harmed: list[str] = []
    for scenario in SCENARIOS:
        if wanted.scenario and scenario.name not in wanted.scenario:
            continue
        row, found = tried(scenario, clients, wanted.every, wanted.jobs)
        table.add_row(scenario.name, *row, str(len(found)))
        console.print(f"{scenario.name}: {', '.join(row)}, harm {len(found)}", markup=False)  # the others take minutes
        harmed += found
    console.print(table)
    for line in harmed:
        console.print(line, markup=False)
    console.print(f"{time.monotonic() - started:.0f} s")
    return 1 if harmed else 0


def tried(scenario: Scenario, clients: Clients, every: int, jobs: int) -> tuple[list[str], list[str]]:
    """How many changes there are, and of each way how many did no harm; and the harm, in words."""
    with begun(scenario, clients) as world:
        trials = Trials(scenario, world)
        (made,) = apart(Trials.changes, trials, [()], 1)
        cases = [(number, way) for way in Way for number in range(1, len(made) + 1, every)]
        harms = apart(Trials.harm, trials, [(case,) for case in cases], jobs)
    whole = Counter(way for (_, way), harm in zip(cases, harms, strict=True) if not harm)
    tried_each = len(cases) // len(Way)
    return (
        [str(len(made)), *(f"{whole[way]} of {tried_each} whole" for way in Way)],
        [
            f"{scenario.name}, {number} ({made[number - 1]}), {way}: {what}"
            for (number, way), harm in zip(cases, harms, strict=True)
            for what in harm
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
