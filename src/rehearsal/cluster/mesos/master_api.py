"""The Mesos master's HTTP API on 5050. Every path answers under `/master` too; a follower redirects."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from rehearsal.cluster.answers import answer, body_of, not_built
from rehearsal.cluster.leadership import LeaderWatch
from rehearsal.cluster.mesos import documents
from rehearsal.cluster.mesos.master import MesosMaster
from rehearsal.cluster.settings import MESOS_VERSION, Json

Reader = Callable[[MesosMaster, LeaderWatch], object]

READERS: dict[str, Reader] = {
    "state": documents.state,
    "state.json": documents.state,
    "state-summary": documents.state_summary,
    "slaves": documents.slaves,
    "frameworks": documents.frameworks,
    "tasks": documents.tasks,
    "tasks.json": documents.tasks,
    "roles": documents.roles,
    "quota": lambda *_: {"infos": []},
    "weights": lambda *_: [],
}
NOT_BUILT = ("teardown", "reserve", "unreserve", "create-volumes", "destroy-volumes", "machine/down", "machine/up",
             "maintenance/schedule POST", "quota POST", "api/v1/scheduler")  # fmt: skip
OPERATOR_CALLS = (
    "GET_HEALTH", "GET_FLAGS", "GET_VERSION", "GET_METRICS", "GET_LOGGING_LEVEL", "SET_LOGGING_LEVEL", "LIST_FILES",
    "READ_FILE", "GET_STATE", "GET_AGENTS", "GET_FRAMEWORKS", "GET_EXECUTORS", "GET_OPERATIONS", "GET_TASKS",
    "GET_ROLES", "GET_WEIGHTS", "UPDATE_WEIGHTS", "GET_MASTER", "SUBSCRIBE", "RESERVE_RESOURCES",
    "UNRESERVE_RESOURCES", "CREATE_VOLUMES", "DESTROY_VOLUMES", "GROW_VOLUME", "SHRINK_VOLUME",
    "GET_MAINTENANCE_STATUS", "GET_MAINTENANCE_SCHEDULE", "UPDATE_MAINTENANCE_SCHEDULE", "START_MAINTENANCE",
    "STOP_MAINTENANCE", "DRAIN_AGENT", "DEACTIVATE_AGENT", "REACTIVATE_AGENT", "GET_QUOTA", "SET_QUOTA",
    "UPDATE_QUOTA", "REMOVE_QUOTA", "TEARDOWN", "MARK_AGENT_GONE",
)  # fmt: skip


class MesosMasterApi:
    """Routes of one master, leading or not."""

    def __init__(self, master: MesosMaster, leader: LeaderWatch) -> None:
        self._master = master
        self._leader = leader

    def application(self) -> web.Application:
        """The server's routes."""
        application = web.Application(client_max_size=32 << 20)
        application.router.add_post("/internal/agents", self.register)
        application.router.add_post("/internal/agents/{agent}/status", self.status)
        application.router.add_route("*", "/{path:.*}", self.dispatch)
        return application

    @property
    def is_leading(self) -> bool:
        """True if this master was elected and has read its registry."""
        return self._leader.ip == self._master.settings.ip and self._master.is_recovered

    async def register(self, request: web.Request) -> web.Response:
        """An agent introduces itself."""
        if not self.is_leading:
            return answer({"message": "not the leader"}, 503)
        return answer(await self._master.register(await body_of(request)))

    async def status(self, request: web.Request) -> web.Response:
        """An agent reports a task's state."""
        if not self.is_leading:
            return answer({"message": "not the leader"}, 503)
        if request.match_info["agent"] not in self._master.agents:
            return answer({"message": "unknown agent"}, 404)
        status: Json = await body_of(request)
        self._master.update(status["task_id"], status)
        return answer({})

    async def dispatch(self, request: web.Request) -> web.StreamResponse:
        """Answer a path, with or without `/master` before it."""
        path = request.match_info["path"].removeprefix("master/").strip("/")
        local = self._local(path)
        if local is not None:
            return local
        if not self.is_leading:
            return self._redirect(request)
        if path == "api/v1" and request.method == "POST":
            return await self._operator_call(request)
        return await self._read(request, path)

    def _local(self, path: str) -> web.Response | None:
        local: dict[str, Callable[[], web.Response]] = {
            "health": web.Response,
            "version": lambda: answer({"version": MESOS_VERSION}),
            "flags": lambda: answer({"flags": documents.flags(self._master)}),
            "metrics/snapshot": lambda: answer(documents.metrics(self._master, self.is_leading)),
        }
        return local[path]() if path in local else None

    def _redirect(self, request: web.Request) -> web.Response:
        leader = self._leader.ip
        if leader is None or leader == self._master.settings.ip:
            return web.Response(status=503, text="No leader elected")
        return web.Response(status=307, headers={"Location": f"//{leader}:5050{request.path_qs}"})

    async def _read(self, request: web.Request, path: str) -> web.Response:
        if path == "redirect":
            return web.Response(status=307, headers={"Location": f"//{self._master.settings.ip}:5050"})
        if path in READERS and request.method == "GET":
            return answer(READERS[path](self._master, self._leader))
        if path == "maintenance/schedule" and request.method == "GET":
            return answer({})
        if path == "maintenance/status":
            return answer({})
        if path in {name.split()[0] for name in NOT_BUILT}:
            return not_built(f"Mesos master {request.method} /{path}")
        return web.Response(status=404)

    async def _operator_call(self, request: web.Request) -> web.Response:
        if not request.content_type.startswith("application/json"):
            if request.content_type in {"application/x-protobuf", "application/x-recordio"}:
                return not_built(f"Mesos operator calls as {request.content_type}")
            return web.Response(status=415, text="Expecting 'Content-Type' of application/json")
        try:
            call = await body_of(request)
            kind = call["type"]
        except (ValueError, KeyError, TypeError) as error:
            return web.Response(status=400, text=f"Failed to parse body into JSON: {error}")
        built = self._built_calls()
        if kind in built:
            return answer({"type": kind, **built[kind]()})
        if kind in OPERATOR_CALLS:
            return not_built(f"Mesos operator call {kind}")
        return web.Response(status=400, text=f"Failed to validate master::Call: unknown type {kind}")

    def _built_calls(self) -> dict[str, Callable[[], Json]]:
        master, leader = self._master, self._leader
        return {
            "GET_HEALTH": lambda: {"get_health": {"healthy": True}},
            "GET_VERSION": lambda: {"get_version": {"version_info": {"version": MESOS_VERSION}}},
            "GET_FLAGS": lambda: {"get_flags": {"flags": [
                {"name": name, "value": value} for name, value in documents.flags(master).items()]}},
            "GET_AGENTS": lambda: {"get_agents": documents.v1_agents(master)},
            "GET_TASKS": lambda: {"get_tasks": documents.v1_tasks(master)},
            "GET_FRAMEWORKS": lambda: {"get_frameworks": documents.v1_frameworks(master)},
            "GET_STATE": lambda: {"get_state": {
                "get_agents": documents.v1_agents(master), "get_tasks": documents.v1_tasks(master),
                "get_frameworks": documents.v1_frameworks(master)}},
            "GET_MASTER": lambda: {"get_master": {"master_info": leader.leader}},
            "GET_QUOTA": lambda: {"get_quota": {"status": {}}},
            "GET_MAINTENANCE_STATUS": lambda: {"get_maintenance_status": {"status": {}}},
            "GET_MAINTENANCE_SCHEDULE": lambda: {"get_maintenance_schedule": {"schedule": {}}},
        }  # fmt: skip
