"""Everything that runs on an agent but dcos-net and the tasks, in one process."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from rehearsal.cluster import rexray
from rehearsal.cluster.answers import answer, not_built_handler, serve
from rehearsal.cluster.diagnostics import AGENT_PORT, Diagnostics, Unit, UnitSource, systemd_units
from rehearsal.cluster.ec2 import Ec2, MetadataService
from rehearsal.cluster.leadership import LeaderWatch
from rehearsal.cluster.mesos import agent as mesos_agent
from rehearsal.cluster.mesos.agent import Agent, AgentIdentity
from rehearsal.cluster.mesos.agent_api import AgentApi
from rehearsal.cluster.mesos.resources import PRIVATE_PORTS, PUBLIC_PORTS, Resources, parse_ports
from rehearsal.cluster.mesos.runner import Runner
from rehearsal.cluster.rexray import Rexray
from rehearsal.cluster.settings import DCOS_VERSION, IMAGE_COMMIT, Json, NodeSettings
from rehearsal.cluster.store import Store

GIB_IN_MIB = 1024


def attributes(environment: dict[str, str], role: str) -> dict[str, str]:
    """`zone:us-east-1a;public_ip:true` from MESOS_ATTRIBUTES; a public agent has public_ip in any case."""
    pairs = [part.split(":", 1) for part in environment.get("MESOS_ATTRIBUTES", "").split(";") if ":" in part]
    own = {"public_ip": "true"} if role == "slave_public" else {}
    return {**own, **{name.strip(): value.strip() for name, value in pairs}}


def resources(environment: dict[str, str], role: str, measured: Resources) -> Resources:
    """What MESOS_RESOURCES says (text or JSON), and for the rest what the machine has."""
    said = _said(environment.get("MESOS_RESOURCES", ""))
    ports = parse_ports(said["ports"]) if "ports" in said else PUBLIC_PORTS if role == "slave_public" else PRIVATE_PORTS
    return Resources(
        cpus=float(said.get("cpus", measured.cpus)), mem=float(said.get("mem", measured.mem)),
        disk=float(said.get("disk", measured.disk)), gpus=float(said.get("gpus", 0)), ports=ports,
    )  # fmt: skip


def _said(text: str) -> dict[str, str]:
    if text.strip().startswith("["):
        return {item["name"]: _json_resource(item) for item in json.loads(text)}
    pairs = [part.split(":", 1) for part in text.split(";") if ":" in part]
    return {name.split("(")[0].strip(): value.strip() for name, value in pairs}


def _json_resource(item: Json) -> str:
    if "ranges" in item:
        return "[" + ",".join(f"{one['begin']}-{one['end']}" for one in item["ranges"]["range"]) + "]"
    return str(item["scalar"]["value"])


def measured(directory: Path) -> Resources:
    """What Mesos would offer of this machine: a GiB of memory and 5 GiB of disk stay behind."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    disk = shutil.disk_usage(directory).total // 2**20
    return Resources(
        cpus=float(os.cpu_count() or 1),
        mem=float(memory - GIB_IN_MIB if memory > 2 * GIB_IN_MIB else memory // 2),
        disk=float(disk - 5 * GIB_IN_MIB if disk > 10 * GIB_IN_MIB else disk // 2),
    )


def environment_file(path: Path) -> dict[str, str]:
    """The variables in a file of NAME=value lines; empty when there is none."""
    if not path.exists():
        return {}
    lines = [line.strip().removeprefix("export ") for line in path.read_text().splitlines()]
    pairs = [line.split("=", 1) for line in lines if "=" in line and not line.startswith("#")]
    return {name.strip(): value.strip().strip("\"'") for name, value in pairs}


class AgentNode:
    """One agent; `start` returns when it serves and tries to register."""

    def __init__(
        self, settings: NodeSettings, identity: AgentIdentity, runner: Runner, on_lost: Callable[[], None],
        ec2_endpoint: str | None = None, units: UnitSource | None = None,
    ) -> None:  # fmt: skip
        self.settings = settings
        self.store = Store(settings.zookeeper, on_lost)
        self.leader = LeaderWatch(self.store)
        self.agent: Agent | None = None
        self._identity = identity
        self._runner = runner
        self._endpoint = ec2_endpoint
        self._units = units
        self._runners: list[web.AppRunner] = []
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Serve and register."""
        await self.store.connect()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60),
        )
        ec2 = Ec2(self._session, MetadataService(self._session), self._endpoint)
        volumes = Rexray(ec2, rexray.configuration(self.settings.rexray), self.settings.directories.volumes)
        self.agent = Agent(self.settings, self._identity, self.leader, self._runner, self._session, volumes)
        await self.leader.start()
        await self.agent.start()
        for port, application in (
            (mesos_agent.PORT, AgentApi(self.agent).application()),
            (AGENT_PORT, self._router(self._session)),
        ):
            self._runners.append(await serve(application, self.settings.bind, port))

    async def stop(self) -> None:
        """Go; tasks stay."""
        if self.agent is not None:
            await self.agent.stop()
        await self.store.close()
        await asyncio.gather(*(runner.cleanup() for runner in self._runners))
        if self._session is not None:
            await self._session.close()

    def _router(self, session: aiohttp.ClientSession) -> web.Application:
        application = web.Application()

        async def version(_: web.Request) -> web.Response:
            return answer({"version": DCOS_VERSION, "dcos-image-commit": IMAGE_COMMIT,
                           "bootstrap-id": self.settings.bootstrap_id, "dcos-variant": "open"})  # fmt: skip

        application.router.add_get("/dcos-metadata/dcos-version.json", version)
        diagnostics = Diagnostics(self.settings, self._units or self._own_units, _no_nodes, session, self._mesos_id)
        diagnostics.routes(application)
        for path in (
            "/system/v1/logs/{rest:.*}",
            "/system/v1/metrics/{rest:.*}",
            "/pkgpanda/{rest:.*}",
            "/nginx/metrics",
        ):
            application.router.add_route("*", path, not_built_handler(f"Agent's Admin Router {path}"))
        return application

    def _mesos_id(self) -> str:
        return self.agent.agent_id if self.agent else ""

    async def _own_units(self) -> list[Unit]:
        name = "dcos-mesos-slave-public.service" if self.settings.role == "slave_public" else "dcos-mesos-slave.service"
        found = await systemd_units([name, "dcos-net.service"])
        is_registered = self.agent is not None and self.agent.is_registered
        output = "" if is_registered else "the agent is not registered with a master"
        router = Unit(id="dcos-adminrouter-agent.service", description="Admin Router Agent", health=0)
        return [*found, router, Unit(id="dcos-mesos-registration.service", description="Registration with the master",
                                     health=0 if is_registered else 1, output=output)]  # fmt: skip


async def _no_nodes() -> list[Any]:
    return []
