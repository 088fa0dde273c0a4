"""What can be known to fail before anything is touched: ports, volumes, placement, capacity."""

from collections.abc import Iterator, Sequence
from typing import Any

from rekindle.dcos.app_definition import external_volumes
from rekindle.dcos.mesos import Agent
from rekindle.errors import InputError
from rekindle.inventory import Host, Inventory
from rekindle.packages.rendering import Service

# What Mesos agents offer in DC/OS (gen/dcos-config.yaml, FACTS 4).
PRIVATE_PORTS = ((1025, 2180), (2182, 3887), (3889, 5049), (5052, 8079), (8082, 8180), (8182, 32000))
PUBLIC_PORTS = ((1, 21), (23, 5050), (5052, 32000))


def check(services: Sequence[Service], inventory: Inventory) -> None:
    """InputError that lists all that cannot work with this inventory."""
    problems = [problem for service in services for problem in _problems(service, inventory)]
    problems += _clashes(services, inventory)
    if problems:
        raise InputError("; ".join(problems), where=f"packages for {inventory.environment}")


def check_capacity(services: Sequence[Service], agents: Sequence[Agent]) -> None:
    """InputError unless the agents that are up have room for every service, one by one and together."""
    problems: list[str] = []
    for is_public in (False, True):
        of_kind = [agent for agent in agents if agent.is_public is is_public and agent.is_active]
        wanted = [s for s in services if (s.agent_role.value == "public_agent") is is_public]
        problems += _shortages(wanted, of_kind, "public" if is_public else "private")
    if problems:
        raise InputError("; ".join(problems), where="capacity", next_step="Add agents, or make the services smaller.")


def _problems(service: Service, inventory: Inventory) -> Iterator[str]:
    app = service.app
    hosts = [host for host in inventory.hosts if service.may_run_on(host)]
    if not hosts:
        yield f"{service.app_id}: no {service.agent_role.value} meets its constraints"
    yield from _unpinned(service)
    yield from _port_problems(service)
    yield from _volume_problems(service, hosts, inventory)
    if fixed_ports(app) and int(app.get("instances", 1)) > len(hosts) > 0:
        yield f"{service.app_id}: {app['instances']} instances with fixed ports, and {len(hosts)} agents for them"


def _unpinned(service: Service) -> Iterator[str]:
    """What runs as root is known by its digest, whatever its address gives today."""
    for artifact in service.package.spec.artifacts if service.is_root else ():
        if artifact.sha256 is None:
            yield f"{service.app_id}: its tasks run as root, so artifact {artifact.name} needs its `sha256`"


def fixed_ports(app: Any) -> tuple[int, ...]:
    """Host ports that each task of the app must have."""
    if not app.get("requirePorts"):
        return ()
    return tuple(int(port["port"]) for port in app.get("portDefinitions", []) if port.get("port"))


def _port_problems(service: Service) -> Iterator[str]:
    offered = PUBLIC_PORTS if service.agent_role.value == "public_agent" else PRIVATE_PORTS
    for port in fixed_ports(service.app):
        if not any(low <= port <= high for low, high in offered):
            yield f"{service.app_id}: agents do not offer port {port}"


def _volume_problems(service: Service, hosts: Sequence[Host], inventory: Inventory) -> Iterator[str]:
    by_name = {volume.name: volume for volume in inventory.volumes}
    mounted = external_volumes(service.app)
    if mounted and int(service.app.get("instances", 1)) > 1:
        yield f"{service.app_id}: an app with an external volume has one instance"
    for name in mounted:
        if name not in by_name:
            yield f"{service.app_id}: the inventory has no volume {name}"
        elif hosts and any(host.az != by_name[name].az for host in hosts):
            yield f"{service.app_id}: its constraints must keep it in {by_name[name].az}, where volume {name} is"


def _clashes(services: Sequence[Service], inventory: Inventory) -> list[str]:
    """Volumes that two apps mount, and fixed ports that two apps want on the only host both may run on."""
    volumes: dict[str, str] = {}
    ports: dict[tuple[str, int], str] = {}
    found = []
    for service in services:
        for name in external_volumes(service.app):
            if volumes.setdefault(name, service.app_id) != service.app_id:
                found.append(f"{service.app_id} and {volumes[name]} mount the same volume {name}")
        hosts = [host.name for host in inventory.hosts if service.may_run_on(host)]
        for port in fixed_ports(service.app) if len(hosts) == 1 else ():
            if ports.setdefault((hosts[0], port), service.app_id) != service.app_id:
                found.append(f"{service.app_id} and {ports[hosts[0], port]} both need port {port} on {hosts[0]}")
    return found


def _shortages(services: Sequence[Service], agents: Sequence[Agent], kind: str) -> Iterator[str]:
    for resource in ("cpus", "mem"):
        room = [getattr(agent, resource) for agent in agents]
        for service in services:
            need = float(service.app.get(resource, 0))
            if all(need > has for has in room):
                largest = max(room, default=0)
                yield f"{service.app_id} needs {need:g} {resource}, the largest {kind} agent has {largest:g}"
        total = sum(float(s.app.get(resource, 0)) * int(s.app.get("instances", 1)) for s in services)
        if total > sum(room):
            yield f"all services need {total:g} {resource}, the {kind} agents have {sum(room):g}"
