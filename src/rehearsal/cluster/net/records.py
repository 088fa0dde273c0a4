"""The names and virtual addresses that follow from the cluster's tasks, as pure functions."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

from rehearsal.cluster.settings import Json

DOMAIN = "mesos"
L4LB = "l4lb.thisdcos.directory"
FIRST = int(ipaddress.ip_address("11.0.0.1"))
LAST = int(ipaddress.ip_address("11.255.255.254"))


@dataclass(frozen=True, kw_only=True)
class RunningTask:
    """What naming needs of a task; `ports` are (number, name, protocol, labels)."""

    name: str
    framework: str
    host: str
    agent_id: str
    task_id: str
    is_healthy: bool
    ports: tuple[tuple[int, str, str, tuple[tuple[str, str], ...]], ...] = ()


def label(text: str) -> str:
    """A DNS label from a task's name: dots and what is not allowed become dashes."""
    return re.sub(r"[^a-z0-9-]", "-", text.lower()).strip("-")[:63]


def vip_address(name: str) -> str:
    """The address of a named VIP in 11.0.0.0/8: always the same for the same name."""
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    return str(ipaddress.ip_address(FIRST + number % (LAST - FIRST)))


def snapshot(tasks: Iterable[RunningTask], masters: Iterable[str], leader: str, agents: Iterable[str]) -> Json:
    """All names with their addresses, services with their ports, and VIPs with their backends."""
    masters = list(masters)
    known = list(tasks)
    records: dict[str, set[str]] = {
        "leader.mesos": {leader}, "marathon.mesos": {leader}, "master.mesos": set(masters),
        "master.dcos.thisdcos.directory": set(masters), "leader.dcos.thisdcos.directory": {leader},
        "slave.mesos": set(agents),
    }  # fmt: skip
    for number in range(5):
        records[f"zk-{number + 1}.zk"] = {masters[number % len(masters)]}
    services: dict[str, list[Json]] = {}
    for task in known:
        _add_task(task, records, services)
    return {
        "records": {name: sorted(addresses) for name, addresses in sorted(records.items())},
        "services": {name: sorted(found, key=str) for name, found in sorted(services.items())},
        "vips": _vips(known),
    }


def _add_task(task: RunningTask, records: dict[str, set[str]], services: dict[str, list[Json]]) -> None:
    name, framework = label(task.name), label(task.framework)
    for kind in ("agentip", "containerip", "autoip"):
        records.setdefault(f"{name}.{framework}.{kind}.dcos.thisdcos.directory", set()).add(task.host)
    full = f"{name}.{framework}.{DOMAIN}"
    records.setdefault(full, set()).add(task.host)
    unique = f"{name}-{hashlib.sha256(task.task_id.encode()).hexdigest()[:5]}-s{task.agent_id.rsplit('S', 1)[-1]}"
    records.setdefault(f"{unique}.{framework}.{DOMAIN}", set()).add(task.host)
    for port, port_name, protocol, _ in task.ports:
        for one in protocol.split(","):
            found = {"host": f"{unique}.{framework}.{DOMAIN}", "ip": task.host, "port": port}
            services.setdefault(f"_{name}._{one}.{framework}.{DOMAIN}", []).append(found)
            if port_name:
                services.setdefault(f"_{port_name}._{name}._{one}.{framework}.{DOMAIN}", []).append(found)


def _vips(tasks: list[RunningTask]) -> list[Json]:
    found: dict[tuple[str, int, str], Json] = {}
    for task in tasks:
        for port, _, protocol, labels in task.ports:
            for key, value in labels:
                parsed = parse_vip(value, task.framework) if key.upper().startswith("VIP") else None
                if parsed is None:
                    continue
                name, address, number = parsed
                for one in protocol.split(","):
                    vip = found.setdefault((address, number, one), {
                        "vip": f"{address}:{number}", "name": name, "address": address, "port": number,
                        "protocol": one, "backends": []})  # fmt: skip
                    if task.is_healthy:
                        vip["backends"].append({"ip": task.host, "port": port})
    for vip in found.values():
        vip["backends"].sort(key=lambda backend: (backend["ip"], backend["port"]))
    return [found[key] for key in sorted(found)]


def parse_vip(text: str, framework: str) -> tuple[str, str, int] | None:
    """(name, address, port) of `/name:port` or `1.2.3.4:port`; None if it is neither."""
    host, _, port = text.rpartition(":")
    if not port.isdigit() or not host:
        return None
    if host.startswith("/"):
        name = f"{host.strip('/').replace('/', '')}.{label(framework)}.{L4LB}".lower()
        return name, vip_address(name), int(port)
    try:
        return "", str(ipaddress.ip_address(host)), int(port)
    except ValueError:
        return None
