"""What should be true of all hosts, and what must be true before each is installed.

The bootstrap host serves first; masters install together and are up when their gates hold; agents
only then (DC/OS docs, installing/production/deploying-dcos/installation).
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from rekindle.environment.settings import Environment
from rekindle.inventory import AGENTS, Inventory, Role
from rekindle.parsing import parse
from rekindle.plan import Declared, Key
from rekindle.roles import DcosSettings, HostSettings, Rendered, Roles, Variables, config_yaml, render
from rekindle.roles.genconf import bootstrap_url

HOSTS_VALUE = "hosts"  # under `values` of an environment: what its machines are, where not the default


def host_settings(environment: Environment) -> HostSettings:
    """What an environment's settings say of its machines; `values.hosts` says os and kernel."""
    given = environment.values.get(HOSTS_VALUE, {})
    pools = environment.pools.items()
    derived = {
        "container_runtime": environment.dcos.container_runtime,
        "volume_pools": [name for name, pool in pools if pool.has_volumes],
        "resources": {name: pool.resources for name, pool in pools if pool.resources},
    }
    return parse(HostSettings, {**derived, **given}, where=f"environment {environment.name}, values.{HOSTS_VALUE}")


def declare(
    roles: Roles,
    inventory: Inventory,
    dcos: DcosSettings,
    hosts: HostSettings,
    public_key: str,
    values: Mapping[str, Any] | None = None,
) -> Rendered:
    """All subjects of all hosts with what they need; InputError if roles, settings or inventory do not fit."""
    variables = Variables(
        inventory=inventory,
        dcos=dcos,
        settings=hosts,
        config_yaml=config_yaml(dcos, inventory, public_key),
        bootstrap_url=bootstrap_url(inventory),
        values=values or {},
    )
    rendered = Rendered((), {})
    for host in inventory.hosts:
        rendered += render(roles, host, variables)
    return replace(rendered, declared=_ordered(inventory, rendered.declared))


def _ordered(inventory: Inventory, declared: tuple[Declared, ...]) -> tuple[Declared, ...]:
    """Each with its needs: an installation after all else on its host and after the gates before it."""
    role_of = {host.name: host.role for host in inventory.hosts}
    keys = [d.key for d in declared]

    def gates(role: Role) -> frozenset[Key]:
        return frozenset(key for key in keys if _kind(key) == "gate" and role_of[key[0]] is role)

    before = {Role.MASTER: gates(Role.BOOTSTRAP), **dict.fromkeys(AGENTS, gates(Role.MASTER))}
    return tuple(replace(d, needs=_needs(d, keys, before.get(role_of[d.target], frozenset()))) for d in declared)


def _needs(declared: Declared, keys: list[Key], before: frozenset[Key]) -> frozenset[Key]:
    def on_host(wanted: Callable[[str], bool]) -> frozenset[Key]:
        return frozenset(key for key in keys if key[0] == declared.target and wanted(_kind(key)))

    match _kind(declared.key):
        case "install":
            return before | on_host(lambda kind: kind not in ("install", "gate"))
        case "gate":
            return on_host(lambda kind: kind != "gate")
        case _:
            return frozenset()


def _kind(key: Key) -> str:
    return key[1].partition(":")[0]
