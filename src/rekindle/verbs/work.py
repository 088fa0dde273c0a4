"""Plans of hosts and of services, and carrying them out between the journal's entries."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from rekindle import bootstrap, dcos, plan, roles, services
from rekindle.operation import Operation
from rekindle.plan import Declared, Driver, Plan
from rekindle.roles import DcosSettings
from rekindle.transport import Transport
from rekindle.verbs import reach
from rekindle.verbs.supplies import Supplies


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
    suspend_outbound: bool = False,
    known: frozenset[str] = frozenset(),
) -> Iterator[Work]:
    """What is left to make the cluster run what packages/ declares, pruning included, while the tunnel is open."""
    found = services.declare(
        supplies.packages,
        operation.inventory,
        supplies.links,
        {name: operation.secrets.get(name) for name in services.secret_names(supplies.packages)},
        operation.keyring,
        suspend_outbound=suspend_outbound,
    )
    with reach.cluster(operation, transport) as client:
        drivers = services.drivers(
            client,
            transport,
            operation.keyring,
            found.declared,
            supplies.packages,
            secret_files=found.secret_files,
            known=known | held_data(operation),
        )
        everything = (*found.declared, *_prunable(client, operation, found.declared))
        yield Work(plan=_planned(operation, supplies, everything, drivers, command), drivers=drivers, supplies=supplies)


def carry_out(operation: Operation, work: Work) -> None:
    """Applies the plan between the journal's entries; a plan without steps leaves no trace."""
    if not work.plan.steps:
        return
    journal = operation.journal
    journal.append(work.supplies.release.entry(work.plan.command))
    recorder = journal.recorder(work.plan.release, work.plan.command)
    plan.apply(work.plan, work.drivers, recorder, operation.progress)
    journal.checkpoint()


def held_data(operation: Operation) -> frozenset[str]:
    """App ids of packages that this environment's journal says were installed: their volumes are not empty."""
    applied = operation.journal.fold().applied
    return frozenset(
        subject.partition(":")[2]
        for (_, subject), state in applied.items()
        if subject.startswith("package:") and state is not None
    )


def _prunable(client: dcos.Client, operation: Operation, declared: Iterable[Declared]) -> tuple[Declared, ...]:
    return services.prunable(client, operation.inventory, declared)


def _planned(
    operation: Operation,
    supplies: Supplies,
    declared: Iterable[Declared],
    drivers: Mapping[str, Driver],
    command: str,
) -> Plan:
    wanted = tuple(declared)
    observed = plan.observe(wanted, drivers)
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
