"""Cuts each change that a replay makes to last, once, and runs the replay again: it must end as if nothing had been.

    .venv/bin/python -m tests.hostile.cuts [--scenario NAME] [--every N]

A change is an object of a journal, a lock, a secret, a key or a release, the settings of a stack, an update of
Pulumi, the bootstrap, an apply, and the switch of the public name. It is cut in each of three ways, in a
failover, in the failback after it, and in a second loss after that. Exit code 1 if one of them does harm.
"""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

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


def changes(scenario: Scenario, clients: Clients) -> list[str]:
    """What an undisturbed replay makes to last, in order."""
    with begun(scenario, clients) as world:
        scenario.run(world, "whole")
        return world.cuts.made


def harm(scenario: Scenario, clients: Clients, number: int, way: Way) -> list[str]:
    """What is not as it should be after this change was cut and the replay run again, there or elsewhere."""
    with begun(scenario, clients) as world:
        names, creations = len(world.name_leads_to), world.stacks[scenario.to].creations
        world.cuts = Cuts(at=number, way=way)
        report = None
        for attempt in range(RUNS):
            try:
                report = scenario.run(world, f"try-{attempt % 2}")
                break
            except (Killed, RekindleError) as error:
                if attempt:
                    return [f"run again it ended with {type(error).__name__}: {error}"]
            world.cuts = Cuts()
        if report is None:
            return ["it never ended"]
        found = [*_harm(scenario, world, report), *world.violations]
        if world.stacks[scenario.to].creations != creations + 1:
            found.append(f"{world.stacks[scenario.to].creations - creations} updates made hosts")
        if world.name_leads_to[names:] != [scenario.to]:
            found.append(f"the name led to {world.name_leads_to[names:]}")
        return found


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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenario", choices=[s.name for s in SCENARIOS], action="append")
    parser.add_argument("--every", type=int, default=1, help="only each n-th change")
    wanted = parser.parse_args()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        os.environ[name] = "testing"
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
        os.environ.pop(name, None)
    console, clients, started = Console(width=110), Clients(), time.monotonic()
    table = Table("replay", "changes", *Way, "harm")
    harmed: list[str] = []
    for scenario in SCENARIOS:
        if wanted.scenario and scenario.name not in wanted.scenario:
            continue
        made, whole = changes(scenario, clients), Counter[Way]()
        numbers = range(1, len(made) + 1, wanted.every)
        before = len(harmed)
        for way in Way:
            for number in numbers:
                found = harm(scenario, clients, number, way)
                whole[way] += not found
                harmed += [f"{scenario.name}, {number} ({made[number - 1]}), {way}: {what}" for what in found]
        table.add_row(
            scenario.name,
            str(len(made)),
            *(f"{whole[way]} of {len(numbers)} whole" for way in Way),
            str(len(harmed) - before),
        )
    console.print(table)
    for line in harmed:
        console.print(line, markup=False)
    console.print(f"{time.monotonic() - started:.0f} s")
    return 1 if harmed else 0


if __name__ == "__main__":
    sys.exit(main())
