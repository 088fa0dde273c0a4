"""dcos-diagnostics: how the units of every node do, and the checks of this one.

A node's units are its systemd units, as systemd says, and the components that run inside one of them, as they answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web

from rehearsal.cluster.answers import answer, not_built_handler
from rehearsal.cluster.mesos.runner import run
from rehearsal.cluster.settings import DCOS_VERSION, Json, NodeSettings
from rehearsal.cluster.times import timestamp

PORT = 1050
AGENT_PORT = 61001
TIMEOUT = aiohttp.ClientTimeout(3)


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One unit's health: 0 healthy, 1 not."""

    id: str
    description: str
    health: int
    output: str = ""

    def document(self) -> Json:
        """As `/system/health/v1` shows a unit of its node."""
        return {"id": self.id, "name": self.id.removeprefix("dcos-").removesuffix(".service"), "health": self.health,
                "description": self.description, "output": self.output,
                "help": f"Look in the journal: journalctl -u {self.id}"}  # fmt: skip


UnitSource = Callable[[], Awaitable[list[Unit]]]
Probe = Callable[[], Awaitable[str | None]]


async def systemd_units(names: list[str]) -> list[Unit]:
    """The state of systemd units by name."""
    _, text = await run("systemctl", "show", "--property=Id,Description,ActiveState,SubState,LoadState", *names)
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "Id" in fields:
            is_well = fields["ActiveState"] == "active"
            output = "" if is_well else f"{fields['ActiveState']} ({fields.get('SubState')})"
            description = fields.get("Description", "")
            found.append(Unit(id=fields["Id"], description=description, health=0 if is_well else 1, output=output))
    return found


async def component(unit: str, description: str, probe: Probe) -> Unit:
    """A component inside a process: healthy if its probe finds nothing wrong."""
    wrong = await probe()
    return Unit(id=unit, description=description, health=0 if wrong is None else 1, output=wrong or "")


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node of the cluster: role is master, agent or agent_public."""

    ip: str
    role: str


class Diagnostics:
    """This node's units, and on masters everybody's."""

    def __init__(
        self, settings: NodeSettings, units: UnitSource, nodes: Callable[[], Awaitable[list[Node]]],
        session: aiohttp.ClientSession, mesos_id: Callable[[], str],
    ) -> None:  # fmt: skip
        self._settings = settings
        self._units = units
        self._nodes = nodes
        self._session = session
        self._mesos_id = mesos_id

    def routes(self, application: web.Application) -> None:
        """Add the routes that every node has."""
        base = "/system/health/v1"
        application.router.add_get(base, self.mine)
        application.router.add_get("/system/checks/v1/node/", self.list_checks)
        application.router.add_post("/system/checks/v1/node/", self.run_checks)
        if not self._settings.is_master:
            return
        for path, handler in (
            ("/units", self.all_units), ("/units/{unit}", self.one_unit), ("/units/{unit}/nodes", self.unit_nodes),
            ("/units/{unit}/nodes/{node}", self.unit_node), ("/nodes", self.all_nodes),
            ("/nodes/{node}", self.one_node), ("/nodes/{node}/units", self.node_units),
            ("/nodes/{node}/units/{unit}", self.node_unit), ("/report", self.report),
        ):  # fmt: skip
            application.router.add_get(base + path, handler)
        application.router.add_get("/system/checks/v1/cluster/", self.list_checks)
        application.router.add_post("/system/checks/v1/cluster/", self.run_checks)
        for path in ("/diagnostics", "/diagnostics/{id}", "/diagnostics/{id}/file", "/report/diagnostics/{call:.*}"):
            application.router.add_route("*", base + path, not_built_handler(f"dcos-diagnostics {path}"))

    async def mine(self, _: web.Request) -> web.Response:
        """GET /system/health/v1: this node."""
        role = {"slave": "agent", "slave_public": "agent_public"}.get(self._settings.role, "master")
        return answer({
            "units": [unit.document() for unit in await self._units()], "hostname": self._settings.ip,
            "ip": self._settings.ip, "dcos_version": DCOS_VERSION, "node_role": role, "mesos_id": self._mesos_id(),
        })  # fmt: skip

    # -- everybody's -----------------------------------------------------------------------------------------

    async def _pull(self) -> dict[Node, list[Json]]:
        nodes = await self._nodes()
        found = await asyncio.gather(*(self._units_of(node) for node in nodes))
        return dict(zip(nodes, found, strict=True))

    async def _units_of(self, node: Node) -> list[Json]:
        if node.ip == self._settings.ip:
            return [unit.document() for unit in await self._units()]
        port = PORT if node.role == "master" else AGENT_PORT
        try:
            async with self._session.get(f"http://{node.ip}:{port}/system/health/v1", timeout=TIMEOUT) as response:
                units: list[Json] = (await response.json())["units"]
                return units
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError) as error:
            return [Unit(id="dcos-diagnostics.service", description="DC/OS Diagnostics", health=1,
                         output=f"{node.ip} did not answer: {error}").document()]  # fmt: skip

    async def all_units(self, _: web.Request) -> web.Response:
        """GET /units: each unit, unhealthy if it is so on any node."""
        merged: dict[str, Json] = {}
        for units in (await self._pull()).values():
            for unit in units:
                known = merged.setdefault(unit["id"], _summary(unit))
                known["health"] = max(known["health"], unit["health"])
        return answer({"units": [merged[name] for name in sorted(merged)]})

    async def one_unit(self, request: web.Request) -> web.Response:
        """GET /units/{unit}."""
        nodes = await self._nodes_of_unit(request)
        if not nodes:
            return _missing(f"Unit {request.match_info['unit']} not found")
        units = [unit for _, unit in nodes]
        return answer({**_summary(units[0]), "health": max(unit["health"] for unit in units)})

    async def unit_nodes(self, request: web.Request) -> web.Response:
        """GET /units/{unit}/nodes."""
        nodes = await self._nodes_of_unit(request)
        if not nodes:
            return _missing(f"Unit {request.match_info['unit']} not found")
        return answer({"nodes": [{"host_ip": node.ip, "health": unit["health"], "role": node.role}
                                 for node, unit in nodes]})  # fmt: skip

    async def unit_node(self, request: web.Request) -> web.Response:
        """GET /units/{unit}/nodes/{node}."""
        for node, unit in await self._nodes_of_unit(request):
            if node.ip == request.match_info["node"]:
                return answer({"host_ip": node.ip, "health": unit["health"], "role": node.role,
                               "output": unit["output"], "help": unit["help"]})  # fmt: skip
        return _missing(f"Node {request.match_info['node']} not found")

    async def _nodes_of_unit(self, request: web.Request) -> list[tuple[Node, Json]]:
        wanted = request.match_info["unit"]
        return [(node, unit) for node, units in (await self._pull()).items() for unit in units if unit["id"] == wanted]

    async def all_nodes(self, _: web.Request) -> web.Response:
        """GET /nodes."""
        return answer({"nodes": [_node(node, units) for node, units in (await self._pull()).items()]})

    async def one_node(self, request: web.Request) -> web.Response:
        """GET /nodes/{node}."""
        found = await self._node(request)
        return answer(_node(*found)) if found else _missing(f"Node {request.match_info['node']} not found")

    async def node_units(self, request: web.Request) -> web.Response:
        """GET /nodes/{node}/units."""
        found = await self._node(request)
        if not found:
            return _missing(f"Node {request.match_info['node']} not found")
        return answer({"units": [_summary(unit) for unit in found[1]]})

    async def node_unit(self, request: web.Request) -> web.Response:
        """GET /nodes/{node}/units/{unit}."""
        found = await self._node(request)
        for unit in found[1] if found else []:
            if unit["id"] == request.match_info["unit"]:
                return answer(unit)
        return _missing(f"Unit {request.match_info['unit']} not found")

    async def _node(self, request: web.Request) -> tuple[Node, list[Json]] | None:
        wanted = request.match_info["node"]
        return next(((node, units) for node, units in (await self._pull()).items() if node.ip == wanted), None)

    async def report(self, _: web.Request) -> web.Response:
        """GET /report: the whole tree."""
        pulled = await self._pull()
        nodes = {node.ip: {**_node(node, units), "units": units} for node, units in pulled.items()}
        units: dict[str, Any] = {}
        for node, found in pulled.items():
            for unit in found:
                known = units.setdefault(unit["id"], {**_summary(unit), "nodes": []})
                known["health"] = max(known["health"], unit["health"])
                known["nodes"].append({"host_ip": node.ip, "health": unit["health"], "role": node.role})
        return answer({"units": units, "nodes": nodes, "updated_time": timestamp(time.time())})

    # -- checks ----------------------------------------------------------------------------------------------

    async def list_checks(self, _: web.Request) -> web.Response:
        """GET /system/checks/v1/…: a check for each unit."""
        return answer({unit.id.removesuffix(".service"): {"description": unit.description, "timeout": "10s"}
                       for unit in await self._units()})  # fmt: skip

    async def run_checks(self, _: web.Request) -> web.Response:
        """POST /system/checks/v1/…: 0 ok, 2 critical."""
        found = {unit.id.removesuffix(".service"): {"output": unit.output, "status": 2 if unit.health else 0}
                 for unit in await self._units()}  # fmt: skip
        return answer({"status": max([0, *(int(str(one["status"])) for one in found.values())]), "checks": found})


def _summary(unit: Json) -> Json:
    return {name: unit[name] for name in ("id", "name", "health", "description")}


def _node(node: Node, units: list[Json]) -> Json:
    return {"host_ip": node.ip, "health": max([0, *(unit["health"] for unit in units)]), "role": node.role}


def _missing(message: str) -> web.Response:
    return web.Response(status=500, text=message)
