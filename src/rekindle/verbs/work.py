"""Plans of hosts and of services, and carrying them out between the journal's entries."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from rekindle import bootstrap, plan, roles, services
from rekindle.dcos import Client
from rekindle.inventory import Inventory
from rekindle.operation import Operation
from rekindle.plan import Declared, Driver, Key, Observed, Plan, State
from rekindle.roles import DcosSettings
from rekindle.transport import Transport
from rekindle.verbs import reach
from rekindle.verbs.supplies import Supplies, loaded

SERVICE_KINDS = frozenset({"app", "package", "repository", "secret_file"})  # gates are no lasting state


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which packages are applied, and how."""

    packages: frozenset[str] | None = None  # by name; None: all
    suspend_outbound: bool = False  # what acts on the outside gets no instance
    known: frozenset[str] = frozenset()  # app ids whose data was restored: their volumes are never begun with empty


EVERYTHING = Wanted()


@dataclass(frozen=True, kw_only=True)
class Work:
    """A plan, and the drivers that can carry it out."""

    plan: Plan
    drivers: Mapping[str, Driver]
    supplies: Supplies


def on_hosts(operation: Operation, supplies: Supplies, transport: Transport) -> Work:
    """What is left to make the hosts a cluster; a host that does not answer has all its steps."""
    settings = supplies.settings
    rendered = bootstrap.declare(
        roles.load(operation.project / "roles"),
        operation.inventory,
        _dcos_settings(supplies),
        bootstrap.host_settings(settings),
        bootstrap.service_account(operation.secrets).public_key,
        settings.values,
    )
    drivers = bootstrap.drivers(transport, rendered, operation.progress.tell)
    observed = bootstrap.observe(rendered.declared, drivers)
    settle(operation, observed)
    planned = bootstrap.plan(
        operation.environment,
        rendered,
        observed,
        release=supplies.release.digest,
        journal_head=operation.journal.head.digest,
    )
    return Work(plan=planned, drivers=drivers, supplies=supplies)


@contextmanager
def on_cluster(
    operation: Operation,
    supplies: Supplies,
    transport: Transport,
    *,
    command: str = "apply",
    wanted: Wanted = EVERYTHING,
) -> Iterator[Work]:
    """What is left to make the cluster run what packages/ declares, while the tunnel is open.

    What Rekindle owns there and nobody declares any more is removed, unless only some packages are wanted.
    """
    found = services.declare(
        supplies.packages,
        operation.inventory,
        supplies.links,
        {name: operation.secrets.get(name) for name in services.secret_names(supplies.packages)},
        operation.keyring,
        suspend_outbound=wanted.suspend_outbound,
    )
    with reach.cluster(operation, transport) as client:
        drivers = services.drivers(
            client,
            transport,
            operation.keyring,
            found.declared,
            supplies.packages,
            secret_files=found.secret_files,
            known=wanted.known | held_data(operation),
        )
        everything = _everything(operation, client, found) if wanted.packages is None else _narrowed(found, wanted)
        yield Work(plan=_planned(operation, supplies, everything, drivers, command), drivers=drivers, supplies=supplies)


def drifted(operation: Operation) -> Plan:
    """The steps back to what was last applied to services; nothing is written."""
    declared = lasting(operation.journal.fold().applied, operation.inventory)
    with reach.hosts(operation) as transport, reach.cluster(operation, transport) as client:
        drivers = services.drivers(client, transport, operation.keyring, declared, loaded(operation))
        observed = plan.observe(declared, drivers)
    for error in observed.failures.values():
        raise error
    return Plan(
        environment=operation.environment,
        command="drift",
        release=operation.journal.fold().release or "",
        journal_head=operation.journal.head.digest,
        steps=plan.diff(declared, observed.facts),
    )


def lasting(applied: Mapping[Key, State | None], inventory: Inventory) -> list[Declared]:
    """Of what was applied, what services still are to be; what a removed host held went with it."""
    there = {services.MARATHON, services.COSMOS, *(host.name for host in inventory.hosts)}
    return [
        Declared(target=target, subject=subject, state=state)
        for (target, subject), state in applied.items()
        if target in there and subject.partition(":")[0] in SERVICE_KINDS
    ]


def carry_out(operation: Operation, work: Work) -> None:
    """Applies the plan between the journal's entries; a plan without steps leaves no trace."""
    if not work.plan.steps:
        return
    journal = operation.journal
    journal.append(work.supplies.release.entry(work.plan.command))
    recorder = journal.recorder(work.plan.release, work.plan.command)
    plan.apply(work.plan, work.drivers, recorder, operation.progress)
    journal.checkpoint()


def settle(operation: Operation, observed: Observed) -> None:
    """Steps that a killed command left in flight are on record as they turned out."""
    if operation.changes:
        operation.journal.settle(observed.facts)


def held_data(operation: Operation) -> frozenset[str]:
    """App ids of packages that this environment's journal says were installed: their volumes are not empty."""
    applied = operation.journal.fold().applied
    return frozenset(
        subject.partition(":")[2]
        for (_, subject), state in applied.items()
        if subject.startswith("package:") and state is not None
    )


def _everything(operation: Operation, client: Client, found: services.Declaration) -> tuple[Declared, ...]:
    """What all packages declare, and what Rekindle owns and nobody declares any more, as absent."""
    applied = operation.journal.fold().applied
    return *found.declared, *services.prunable(client, operation.inventory, found.declared, applied)


def _narrowed(found: services.Declaration, wanted: Wanted) -> tuple[Declared, ...]:
    """What the wanted packages declare, and all that it needs."""
    apps = {service.app_id for service in found.services if service.package.name in (wanted.packages or ())}
    by_key = {d.key: d for d in found.declared}
    stack = [key for key in by_key if key[1].partition(":")[2] in apps]
    kept: set[Key] = set()
    while stack:
        key = stack.pop()
        if key not in kept:
            kept.add(key)
            stack.extend(by_key[key].needs)
    return tuple(d for d in found.declared if d.key in kept)


def _planned(
    operation: Operation,
    supplies: Supplies,
    declared: Iterable[Declared],
    drivers: Mapping[str, Driver],
    command: str,
) -> Plan:
    wanted = tuple(declared)
    observed = plan.observe(wanted, drivers)
    settle(operation, observed)
    for error in observed.failures.values():
        raise error
    return Plan(
        environment=operation.environment,
        command=command,
        release=supplies.release.digest,
        journal_head=operation.journal.head.digest,
        steps=plan.diff(wanted, observed.facts),
    )


def _dcos_settings(supplies: Supplies) -> DcosSettings:
    dcos_ = supplies.settings.dcos
    return DcosSettings(
        version=dcos_.version,
        variant=dcos_.variant,
        installer_url=supplies.installer_url,
        installer_sha256=supplies.installer.sha256,
    )
