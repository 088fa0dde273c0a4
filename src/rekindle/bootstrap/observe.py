"""How hosts stand now, each in one round trip, and the plan from there."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from rekindle.bootstrap.declare import INSTALL
from rekindle.drivers.hosts import KINDS, HostDriver
from rekindle.errors import Refused, RekindleError
from rekindle.plan import Action, Declared, Driver, Key, Plan, State, Step, diff
from rekindle.roles import Rendered
from rekindle.transport import Transport

WORKERS = 32  # hosts asked at one time


@dataclass(frozen=True)
class Observed:
    """Facts of all hosts that answered, and why the others did not."""

    facts: Mapping[Key, State | None]
    failures: Mapping[str, RekindleError] = field(default_factory=dict)  # by host


def drivers(
    transport: Transport, rendered: Rendered, report: Callable[[str], None] = lambda line: None
) -> dict[str, Driver]:
    """The driver of each kind of host subject."""
    driver = HostDriver(transport, rendered.declared, rendered.contents, report)
    return dict.fromkeys(KINDS, driver)


def observe(declared: Iterable[Declared], drivers: Mapping[str, Driver], *, workers: int = WORKERS) -> Observed:
    """Reads all hosts in parallel; one that does not answer is among the failures."""
    subjects: dict[str, list[str]] = defaultdict(list)
    for d in declared:
        subjects[d.target].append(d.subject)

    def read(target: str) -> Mapping[str, State | None] | RekindleError:
        try:
            return drivers[INSTALL.partition(":")[0]].read(target, subjects[target])
        except RekindleError as error:
            return error

    with ThreadPoolExecutor(max_workers=workers) as pool:
        answers = dict(zip(subjects, pool.map(read, subjects), strict=True))
    return Observed(
        facts={
            (target, subject): state
            for target, answer in answers.items()
            if not isinstance(answer, RekindleError)
            for subject, state in answer.items()
        },
        failures={target: answer for target, answer in answers.items() if isinstance(answer, RekindleError)},
    )


def plan(environment: str, rendered: Rendered, observed: Observed, *, release: str, journal_head: str) -> Plan:
    """The steps that are left. A host that did not answer has all of its steps, and those fail by its name.

    Refused if a step would change what is fixed since DC/OS was installed.
    """
    steps = diff(rendered.declared, observed.facts)
    _refuse_changes_of_fixed(steps, rendered.fixed, observed.facts)
    return Plan(environment=environment, command="bootstrap", release=release, journal_head=journal_head, steps=steps)


def _refuse_changes_of_fixed(steps: Iterable[Step], fixed: frozenset[Key], facts: Mapping[Key, State | None]) -> None:
    for step in steps:
        is_installed = facts.get((step.target, INSTALL)) is not None
        if step.key in fixed and is_installed and step.action is not Action.NOTHING:
            raise Refused(
                f"{step.subject} would change, and Mesos does not start an agent whose attributes or resources changed",
                where=step.target,
                next_step="Put the settings back, or add a pool with the new ones and re-image hosts one by one.",
            )
