"""The agent's HTTP API on 5051: what operators read, and what its master asks."""

from __future__ import annotations

import time
from pathlib import Path

from aiohttp import web

from rehearsal.cluster.answers import answer, body_of, not_built_handler
from rehearsal.cluster.mesos.agent import TERMINAL, Agent, AgentTask
from rehearsal.cluster.settings import MESOS_VERSION, Json

NOT_BUILT = {
    "POST": ["/api/v1", "/api/v1/executor", "/api/v1/resource_provider"],
    "GET": ["/monitor/statistics", "/monitor/statistics.json", "/profiler/start"],
}
MAX_READ = 1 << 20


class AgentApi:
    """Routes of one agent; each also under `/slave(1)`."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def application(self) -> web.Application:
        """The server's routes."""
        application = web.Application(client_max_size=8 << 20)
        routes = application.router
        for prefix in ("", "/slave(1)"):
            for path, handler in (
                ("/state", self.state), ("/state.json", self.state), ("/health", self.health),
                ("/version", self.version), ("/flags", self.flags), ("/containers", self.containers),
            ):  # fmt: skip
                routes.add_get(prefix + path, handler)
        routes.add_get("/metrics/snapshot", self.metrics)
        routes.add_get("/files/browse", self.browse)
        routes.add_get("/files/read", self.read)
        routes.add_get("/files/download", self.download)
        routes.add_post("/internal/tasks", self.launch)
        routes.add_post("/internal/kill", self.kill)
        routes.add_get("/internal/ping", self.ping)
        for method, paths in NOT_BUILT.items():
            for path in paths:
                routes.add_route(method, path, not_built_handler(f"Mesos agent {method} {path}"))
        return application

    async def health(self, _: web.Request) -> web.Response:
        """200, empty."""
        return web.Response()

    async def version(self, _: web.Request) -> web.Response:
        """Mesos' version."""
        return answer({"version": MESOS_VERSION})

    async def flags(self, _: web.Request) -> web.Response:
        """The settings in force."""
        return answer({"flags": self._flags()})

    async def state(self, _: web.Request) -> web.Response:
        """The agent and its executors."""
        agent = self._agent
        return answer({
            "version": MESOS_VERSION,
            "id": agent.agent_id,
            "pid": f"slave(1)@{agent.settings.ip}:5051",
            "hostname": agent.settings.ip,
            "start_time": agent.started_at,
            "attributes": agent.identity.attributes,
            "resources": agent.identity.resources.document(),
            "flags": self._flags(),
            "frameworks": self._frameworks(),
            "completed_frameworks": [],
        })  # fmt: skip

    async def containers(self, _: web.Request) -> web.Response:
        """Running containers."""
        return answer([
            {"container_id": task.container_id, "executor_id": task.id, "framework_id": task.info["framework_id"]}
            for task in self._agent.tasks.values() if task.is_started
        ])  # fmt: skip

    async def metrics(self, _: web.Request) -> web.Response:
        """A few of Mesos' metrics."""
        agent = self._agent
        states = [task.state for task in agent.tasks.values()]
        return answer({
            "slave/registered": 1 if agent.is_registered else 0,
            "slave/uptime_secs": time.time() - agent.started_at,
            "slave/tasks_running": states.count("TASK_RUNNING"),
            "slave/tasks_staging": states.count("TASK_STAGING"),
            "slave/tasks_starting": states.count("TASK_STARTING"),
            "slave/executors_running": states.count("TASK_RUNNING"),
        })  # fmt: skip

    async def browse(self, request: web.Request) -> web.Response:
        """Files in a sandbox directory."""
        directory = self._inside(request)
        if directory is None or not directory.is_dir():
            return web.Response(status=404)
        return answer([_listed(path) for path in sorted(directory.iterdir())])

    async def read(self, request: web.Request) -> web.Response:
        """A piece of a sandbox file; offset -1 asks for its length."""
        path = self._inside(request)
        if path is None or not path.is_file():
            return web.Response(status=404)
        offset, length = int(request.query.get("offset", -1)), int(request.query.get("length", MAX_READ))
        if offset == -1:
            return answer({"data": "", "offset": path.stat().st_size})
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(min(length, MAX_READ))
        return answer({"data": data.decode(errors="replace"), "offset": offset})

    async def download(self, request: web.Request) -> web.StreamResponse:
        """A whole sandbox file."""
        path = self._inside(request)
        if path is None or not path.is_file():
            return web.Response(status=404)
        return web.FileResponse(path)

    async def launch(self, request: web.Request) -> web.Response:
        """Take a task from the master."""
        body = await body_of(request)
        if not self._agent.is_registered or body["agent_id"] != self._agent.agent_id:
            return answer({"message": "not registered"}, 409)
        self._agent.launch(body)
        return answer({})

    async def kill(self, request: web.Request) -> web.Response:
        """End a task for the master."""
        body = await body_of(request)
        await self._agent.kill(body["task_id"])
        return answer({})

    async def ping(self, request: web.Request) -> web.Response:
        """The master's ping. A master that thinks this agent lost makes it register again."""
        if request.query.get("connected") == "false":
            self._agent.register_again()
        return answer({"agent_id": self._agent.agent_id})

    def _inside(self, request: web.Request) -> Path | None:
        root = self._agent.settings.directories.agent.resolve()
        path = Path(request.query.get("path", "")).resolve()
        return path if path.is_relative_to(root / "slaves") else None

    def _flags(self) -> dict[str, str]:
        directory = self._agent.settings.directories.agent
        return {"work_dir": str(directory), "port": "5051", "master": "zk://zk-1.zk:2181/mesos",
                "isolation": "docker/volume", "launcher": "linux"}  # fmt: skip

    def _frameworks(self) -> list[Json]:
        frameworks: dict[str, list[Json]] = {}
        completed: dict[str, list[Json]] = {}
        for task in self._agent.tasks.values():
            group = completed if task.state in TERMINAL else frameworks
            group.setdefault(task.info["framework_id"], []).append(_executor(task))
        for task in self._agent.completed:
            completed.setdefault(task.info["framework_id"], []).append(_executor(task))
        return [
            {"id": name, "executors": frameworks.get(name, []), "completed_executors": completed.get(name, [])}
            for name in sorted({*frameworks, *completed})
        ]


def _executor(task: AgentTask) -> Json:
    return {
        "id": task.id, "name": task.info["name"], "source": task.id, "container": task.container_id,
        "directory": str(task.sandbox), "resources": task.info["resources"], "type": "DEFAULT",
        "tasks": [{"id": task.id, "name": task.info["name"], "state": task.state, "statuses": task.statuses}],
    }  # fmt: skip


def _listed(path: Path) -> Json:
    seen = path.lstat()
    return {
        "path": str(path), "size": seen.st_size, "nlink": seen.st_nlink, "mtime": int(seen.st_mtime),
        "mode": oct(seen.st_mode), "uid": str(seen.st_uid), "gid": str(seen.st_gid),
    }  # fmt: skip
