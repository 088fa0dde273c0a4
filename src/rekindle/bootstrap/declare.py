"""What should be true of all hosts, and what must be true before each is installed.

The bootstrap host serves first; masters install together and are up when their gates hold; agents
only then (DC/OS docs, installing/production/deploying-dcos/installation).
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from rekindle.environment.settings import Environment
from rekindle.errors import InputError
from rekindle.inventory import AGENTS, Inventory, Role
from rekindle.parsing import parse
from rekindle.plan import Declared, Key
from rekindle.roles import DcosSettings, HostSettings, Rendered, Roles, Variables, config_yaml, render
from rekindle.roles.genconf import bootstrap_url

INSTALL = "install:dcos"
HOSTS_VALUE = "hosts"  # under `values` of an environment: what its machines are, where not the default


def host_settings(environment: Environment) -> HostSettings:
    """What an environment's settings say of its machines; `values.hosts` says os and kernel."""
    given = environment.values.get(HOSTS_VALUE, {})
    where = f"environment {environment.name}, values.{HOSTS_VALUE}"
    if not isinstance(given, dict):
        raise InputError("it is no mapping", where=where, next_step="docs/roles.md says which keys it has.")
    pools = environment.pools.items()
    derived = {
        "container_runtime": environment.dcos.container_runtime,
        "volume_pools": [name for name, pool in pools if pool.has_volumes],
        "resources": {name: pool.resources for name, pool in pools if pool.resources},
    }
    return parse(HostSettings, derived | given, where=where)


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


@dataclass(frozen=True)
class _Order:
    """What needs what, from the roles of hosts and the kinds of subjects."""

    own: Mapping[str, frozenset[Key]]  # by host: all that is neither an installation nor a gate
    installed: frozenset[Key]
    gates: Mapping[Role, frozenset[Key]]  # those that wait for no other role

    def needs(self, declared: Declared, role: Role) -> frozenset[Key]:
        match _kind(declared):
            case "install":
                return self.own[declared.target] | self._before(role)
            case "gate":
                after = frozenset(key for name in (declared.state or {})["after"] for key in self.gates[Role(name)])
                return self.own[declared.target] | (self.installed & {(declared.target, INSTALL)}) | after
            case _:
                return frozenset()

    def _before(self, role: Role) -> frozenset[Key]:
        if role in AGENTS:
            return self.gates[Role.MASTER]
        return self.gates[Role.BOOTSTRAP] if role is Role.MASTER else frozenset()


def _ordered(inventory: Inventory, declared: tuple[Declared, ...]) -> tuple[Declared, ...]:
    """Each with its needs: an installation after all else on its host and after the gates before it."""
    role_of = {host.name: host.role for host in inventory.hosts}
    own: dict[str, set[Key]] = defaultdict(set)
    gates: dict[Role, set[Key]] = defaultdict(set)
    for d in declared:
        if _kind(d) == "gate" and not (d.state or {})["after"]:
            gates[role_of[d.target]].add(d.key)
        elif _kind(d) not in ("install", "gate"):
            own[d.target].add(d.key)
    order = _Order(
        own={host: frozenset(keys) for host, keys in own.items()},
        installed=frozenset(d.key for d in declared if d.subject == INSTALL),
        gates={role: frozenset(gates[role]) for role in Role},
    )
    return tuple(replace(d, needs=order.needs(d, role_of[d.target])) for d in declared)


def _kind(declared: Declared) -> str:
    return declared.subject.partition(":")[0]
