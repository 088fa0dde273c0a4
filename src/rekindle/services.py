"""Makes the cluster run what packages/ declares: what is declared of it, its drivers, and what to prune.

Order: secrets and repositories, then packages and apps, each behind the gates of what it needs.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rekindle.dcos import Client
from rekindle.dcos.app_definition import normal
from rekindle.dcos.cosmos import LABEL_NAME
from rekindle.drivers.app import AppDriver
from rekindle.drivers.health import Gate, HealthDriver
from rekindle.drivers.package import Initialise, PackageDriver
from rekindle.drivers.repository import RepositoryDriver
from rekindle.drivers.secret_file import Hosts, SecretFileDriver
from rekindle.errors import CommandFailed, GateFailed, InputError, Unreachable
from rekindle.inventory import Inventory, Role
from rekindle.packages import (
    OWNER_LABEL,
    REPOSITORY_TYPE,
    VALUES_ARE_IN,
    Package,
    Service,
    Source,
    check,
    secret_name,
    secret_path,
    services,
    sources,
)
from rekindle.packages.schema import GATE_SECONDS, BarrierSpec
from rekindle.parsing import json_value, mapping
from rekindle.plan import Declared, Driver, Key, State, digest
from rekindle.secrets import Keyring, Secret
from rekindle.transport import Result

MARATHON = "marathon"  # targets of what is not a host's
COSMOS = "cosmos"
REPOSITORY_PREFIX = "rekindle-"  # repositories of these names are Rekindle's own

# Cosmos answers nothing while one of its repositories does not, and the server of the default one is gone
# (FACTS 7, 12). An environment that has a copy names it as its value `universe`.
DEFAULT_REPOSITORY = "repository:Universe"


class Commands(Protocol):
    """What of the transport a barrier is asked through."""

    def run(self, host: str, command: str | Sequence[str], *, as_root: bool = True) -> Result: ...


@dataclass(frozen=True)
class Generated:
    """Something made here that the cluster fetches: goes to the mirror like an artifact."""

    name: str
    body: bytes
    content_type: str


@dataclass(frozen=True)
class Declaration:
    """What packages/ say of one environment, rendered."""

    services: tuple[Service, ...]
    declared: tuple[Declared, ...]
    secret_files: Mapping[str, Secret]  # by path


def fetched(packages: Sequence[Package], inventory: Inventory) -> tuple[Source, ...]:
    """What all packages fetch, once for each name."""
    found = {source.name: source for package in packages for source in sources(package, inventory)}
    return tuple(found.values())


def generated(packages: Sequence[Package]) -> tuple[Generated, ...]:
    """The private repositories: the same for every environment."""
    return tuple(
        Generated(repository_file(package), package.universe.repository(), REPOSITORY_TYPE)
        for package in packages
        if package.universe is not None
    )


def secret_names(packages: Sequence[Package]) -> tuple[str, ...]:
    """Names of the secrets that `declare` needs."""
    return tuple(sorted({secret_name(p, secret) for p in packages for secret in p.spec.secrets}))


def declare(
    packages: Sequence[Package],
    inventory: Inventory,
    links: Mapping[str, str],
    secrets: Mapping[str, Secret],
    keyring: Keyring,
    *,
    suspend_outbound: bool = False,
) -> Declaration:
    """What should be true of the cluster; InputError lists what cannot work, before anything is touched.

    `links` are the URLs that hosts get the names of `fetched` and `generated` from.
    """
    _check_backups(packages, inventory)
    rendered = {p.name: _suspended(services(p, inventory, links), p, suspend_outbound) for p in packages}
    everything = tuple(service for group in rendered.values() for service in group)
    check(everything, inventory)
    declared: list[Declared] = []
    for package in packages:
        files = _secret_files(package, rendered[package.name], inventory, secrets, keyring)
        repository = _repository(package, links)
        before = {d.key for d in [*files, *repository]} | _gates(package, rendered)
        declared += [*files, *repository]
        declared += [d for service in rendered[package.name] for d in _service(service, frozenset(before))]
    values = {secret_path(p, s): secrets[secret_name(p, s)] for p in packages for s in p.spec.secrets}
    return Declaration(everything, tuple(declared), values)


def drivers(
    client: Client,
    hosts: Hosts,
    keyring: Keyring,
    declared: Iterable[Declared],
    packages: Sequence[Package] = (),
    *,
    secret_files: Mapping[str, Secret] | None = None,
    known: frozenset[str] = frozenset(),
) -> dict[str, Driver]:
    """A driver for each kind of subject that `declare` names.

    `declared` may come from the journal as well (drift). `known` are the app ids that held data before,
    by the journal or by a restore point: their volumes are never begun with empty.
    """
    apps, cosmos = AppDriver(client.marathon), RepositoryDriver(client.cosmos)
    gate_seconds = max((package.spec.gate_seconds for package in packages), default=GATE_SECONDS)
    package = PackageDriver(client, _initialise(packages, known), gate_seconds)
    by_kind: dict[str, Driver] = {"app": apps, "package": package, "repository": cosmos}
    states = {"app": apps.state, "package": package.state}
    by_kind["health"] = HealthDriver(client.marathon, states, _gates_of(declared, packages))
    by_kind["secret_file"] = SecretFileDriver(hosts, keyring, secret_files or {})
    return by_kind


def prunable(
    client: Client, inventory: Inventory, declared: Iterable[Declared], applied: Mapping[Key, State | None]
) -> tuple[Declared, ...]:
    """What this environment's packages own and nobody declares any more, as absent.

    Apps and repositories are known by their names on the cluster, secret files by what was `applied`: they go
    when the apps that may read them are gone.
    """
    wanted = {d.key for d in declared}
    apps = frozenset(_owned_apps(client, inventory.environment)) - wanted
    others = frozenset(_owned_repositories(client)) - wanted
    secrets = frozenset(_put_secrets(inventory, applied)) - wanted
    return (
        *(Declared(target=t, subject=s, state=None) for t, s in sorted(apps | others)),
        *(Declared(target=t, subject=s, state=None, needs=apps) for t, s in sorted(secrets)),
    )


def barrier(client: Client, hosts: Commands, inventory: Inventory, spec: BarrierSpec) -> dict[str, Any]:
    """What the service says was acknowledged, asked on the first private agent that answers.

    GateFailed if no task of it can say, Unreachable if no agent answers, InputError if there is none.
    """
    urls = _barrier_urls(client.marathon.app(f"/{spec.service}") or {}, spec)
    problems = []
    for agent in inventory.with_role(Role.PRIVATE_AGENT):
        try:
            return _said(hosts, agent.name, spec.service, urls)
        except Unreachable as error:
            problems.append(f"{agent.name}: {error.what}")
    what = f"{spec.service} cannot be asked what it acknowledged"
    if not problems:
        raise InputError(
            f"{what}: there is no private agent to ask it from",
            where=f"inventory of {inventory.environment}",
            next_step="Declare a pool of private agents.",
        )
    raise Unreachable(
        f"{what}, as no private agent answers: {'; '.join(problems)}",
        where=inventory.environment,
        next_step="See that a private agent is up and answers over SSH, then run the same command again.",
    )


def repository_file(package: Package) -> str:
    """The name under which the package's repository is in the mirror."""
    return f"{package.name}-repository.json"


def _barrier_urls(app: Mapping[str, Any], spec: BarrierSpec) -> list[str]:
    """Where each task of the app answers."""
    tasks = [task for task in app.get("tasks", []) if len(task.get("ports") or []) > spec.port_index]
    return [f"http://{task['host']}:{task['ports'][spec.port_index]}{spec.path}" for task in tasks]


def _said(hosts: Commands, agent: str, service: str, urls: Sequence[str]) -> dict[str, Any]:
    """The first answer of a task, asked on this agent."""
    problems = [] if urls else ["it has no task with such a port"]
    for url in urls:
        try:
            said = hosts.run(agent, ["curl", "-fsS", "--globoff", "--max-time", "10", url], as_root=False).stdout
            return dict(mapping(json_value(said, where=url), where=url, what="the answer"))
        except (CommandFailed, InputError) as error:
            problems.append(f"{url}: {error.what}")
    raise GateFailed(
        f"{service} does not say what it acknowledged: {'; '.join(problems)}",
        next_step="See that the service is up, then run the same command again.",
    )


def _suspended(found: Sequence[Service], package: Package, suspend: bool) -> tuple[Service, ...]:
    """Services that act on the outside world, with no instance until they are released."""
    if not (suspend and package.spec.outbound):
        return tuple(found)
    return tuple(Service(s.package, s.app_id, s.volume, {**s.app, "instances": 0}, s.options) for s in found)


def _service(service: Service, before: frozenset[Key]) -> Iterator[Declared]:
    """The app or package, and the gate behind it."""
    subject, state = _wanted(service)
    main = Declared(target=MARATHON, subject=subject, state=state, needs=before)
    yield main
    yield Declared(
        target=service.app_id,
        subject=f"health:{service.app_id}",
        state={"up": digest(state)},
        needs=frozenset({main.key}),
    )


def _wanted(service: Service) -> tuple[str, State]:
    universe = service.package.universe
    if universe is None or service.options is None:
        return f"app:{service.app_id}", normal(service.app)
    return f"package:{service.app_id}", {
        "package": universe.name,
        "version": universe.version,
        "options": dict(service.options),
        "instances": int(service.app.get("instances", 1)),
    }


def _gates(package: Package, rendered: Mapping[str, Sequence[Service]]) -> set[Key]:
    """The health of every service that the package needs."""
    needed = (service for need in package.spec.needs for service in rendered[need])
    return {(service.app_id, f"health:{service.app_id}") for service in needed}


def _repository(package: Package, links: Mapping[str, str]) -> list[Declared]:
    if package.universe is None:
        return []
    name = repository_file(package)
    if name not in links:
        raise InputError(f"{name} is not in the mirror", where=package.where)
    own = f"repository:{REPOSITORY_PREFIX}{package.name}"
    universe = package.values.get("universe")
    if not isinstance(universe, str | None):
        raise InputError("the value `universe` is no address", where=package.where, next_step=VALUES_ARE_IN)
    default = {"uri": universe} if universe else None
    return [
        Declared(target=COSMOS, subject=DEFAULT_REPOSITORY, state=default),
        Declared(target=COSMOS, subject=own, state={"uri": links[name]}),
    ]


def _secret_files(
    package: Package,
    found: Sequence[Service],
    inventory: Inventory,
    secrets: Mapping[str, Secret],
    keyring: Keyring,
) -> list[Declared]:
    """A file for each secret on each host where a task of the package may run."""
    hosts = [host.name for host in inventory.hosts if any(service.may_run_on(host) for service in found)]
    return [
        Declared(
            target=host,
            subject=f"secret_file:{secret_path(package, spec)}",
            state={
                "digest": keyring.digest(secrets[secret_name(package, spec)]),
                "mode": spec.mode,
                "owner": spec.owner,
            },
        )
        for spec in package.spec.secrets
        for host in hosts
    ]


def _check_backups(packages: Sequence[Package], inventory: Inventory) -> None:
    names, volumes = {p.name for p in packages}, {v.name for v in inventory.volumes}
    for package in packages:
        backup = package.spec.backup
        missing = sorted(set(backup.volumes) - volumes) if backup else []
        if missing:
            raise InputError(f"backup: the inventory has no volume {', '.join(missing)}", where=package.where)
        if backup and backup.barrier and backup.barrier.service not in names:
            raise InputError(f"backup.barrier: there is no package {backup.barrier.service}", where=package.where)


def _initialise(packages: Sequence[Package], known: frozenset[str]) -> dict[str, Initialise]:
    return {
        f"/{instance.name}": Initialise(
            package.spec.initialise.option, package.spec.initialise.seconds, f"/{instance.name}" not in known
        )
        for package in packages
        if package.spec.initialise is not None
        for instance in package.instances
    }


def _gates_of(declared: Iterable[Declared], packages: Sequence[Package]) -> dict[str, Gate]:
    """For each health subject, what must be up."""
    everything = [d for d in declared if d.state is not None]
    seconds = {f"/{i.name}": p.spec.gate_seconds for p in packages for i in p.instances}
    owners = {d.subject.partition(":")[2]: d for d in everything if d.target == MARATHON}
    return {
        d.subject: Gate(owners[app_id].subject, d.state["up"], seconds.get(app_id, GATE_SECONDS))
        for d in everything
        if d.subject.startswith("health:") and d.state is not None
        for app_id in [d.subject.partition(":")[2]]
        if app_id in owners
    }


def _owned_apps(client: Client, environment: str) -> Iterator[Key]:
    for app_id, app in client.marathon.apps().items():
        labels = app.get("labels", {})
        if labels.get(OWNER_LABEL, "").startswith(f"{environment}/"):
            yield MARATHON, f"{'package' if LABEL_NAME in labels else 'app'}:{app_id}"


def _put_secrets(inventory: Inventory, applied: Mapping[Key, State | None]) -> Iterator[Key]:
    """Secret files that were put on hosts that are still there."""
    hosts = {host.name for host in inventory.hosts}
    for (target, subject), state in applied.items():
        if target in hosts and state is not None and subject.startswith("secret_file:"):
            yield target, subject


def _owned_repositories(client: Client) -> Iterator[Key]:
    for repository in client.cosmos.repositories():
        if repository.name.startswith(REPOSITORY_PREFIX):
            yield COSMOS, f"repository:{repository.name}"
