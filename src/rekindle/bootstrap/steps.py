"""The drivers of hosts, and the plan from how the hosts stand."""

from collections.abc import Callable, Iterable, Mapping

from rekindle.bootstrap.declare import INSTALL
from rekindle.drivers.hosts import KINDS, HostDriver
from rekindle.errors import Refused
from rekindle.plan import Driver, Key, Observed, Plan, State, Step, diff
from rekindle.roles import Rendered
from rekindle.transport import Transport


def drivers(
    transport: Transport, rendered: Rendered, report: Callable[[str], None] = lambda line: None
) -> dict[str, Driver]:
    """The driver of each kind of host subject."""
    driver = HostDriver(transport, rendered.declared, rendered.contents, report)
    return dict.fromkeys(KINDS, driver)


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
        if step.key in fixed and is_installed:
            raise Refused(
                f"{step.subject} would change, and Mesos does not start an agent whose attributes or resources changed",
                where=step.target,
                next_step="Put the settings back, or add a pool with the new ones and re-image hosts one by one.",
            )
