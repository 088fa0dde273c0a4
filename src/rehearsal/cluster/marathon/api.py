"""Marathon's HTTP API on 8080. Masters that do not lead pass requests on to the one that does."""

from __future__ import annotations

import asyncio
import fnmatch
import re
import time
from collections.abc import Callable
from typing import Any

import aiohttp
from aiohttp import web

from rehearsal.cluster.answers import answer
from rehearsal.cluster.leadership import LeaderWatch
from rehearsal.cluster.marathon import errors
from rehearsal.cluster.marathon.app import App, canonical
from rehearsal.cluster.marathon.core import Marathon, is_version
from rehearsal.cluster.marathon.errors import Refusal
from rehearsal.cluster.marathon.instances import Instance
from rehearsal.cluster.marathon.matching import summary
from rehearsal.cluster.marathon.validation import port_list
from rehearsal.cluster.proxy import forward
from rehearsal.cluster.settings import MARATHON_VERSION, Json
from rehearsal.cluster.times import timestamp

PORT = 8080
URI_NOT_FOUND = Refusal(500, {"message": "URI not found"})
NOT_BUILT = re.compile(r"^/(v2/pods(/.*)?|metrics|logging|v2/plugins/.+|admin/.*)$")


class MarathonApi:
    """Routes of one master's Marathon; `leading` gives the core while this master leads."""

    def __init__(
        self, leading: Callable[[], Marathon | None], leader: LeaderWatch, session: aiohttp.ClientSession
    ) -> None:
        self._leading = leading
        self._leader = leader
        self._session = session

    def application(self) -> web.Application:
        """The server's routes."""
        application = web.Application(client_max_size=32 << 20)
        application.router.add_route("*", "/{path:.*}", self.dispatch)
        return application

    async def dispatch(self, request: web.Request) -> web.StreamResponse:
        """Answer, or pass on to the leader."""
        if request.path == "/ping":
            return web.Response(text="pong", content_type="text/plain")
        marathon = self._leading()
        if marathon is None:
            if self._leader.ip is None or self._leader.ip == request.headers.get("X-Marathon-Via"):
                return answer({"message": "Leadership unavailable"}, 503)
            return await forward(
                self._session, request, f"http://{self._leader.ip}:{PORT}{request.raw_path}",
                {"X-Marathon-Via": self._leader.ip},
            )  # fmt: skip
        try:
            return await Call(marathon, self._leader, request).answer()
        except Refusal as refusal:
            return answer(refusal.body, refusal.status)


class Call:
    """One request to the leading Marathon."""

    def __init__(self, marathon: Marathon, leader: LeaderWatch, request: web.Request) -> None:
        self._marathon = marathon
        self._leader = leader
        self._request = request

    async def answer(self) -> web.StreamResponse:
        """The answer to the request."""
        method, path = self._request.method, re.sub("//+", "/", self._request.path)
        for pattern, handler in ROUTES:
            found = re.fullmatch(pattern, f"{method} {path.rstrip('/') or '/'}")
            if found:
                return await handler(self, **found.groupdict())  # type: ignore[no-any-return]
        if NOT_BUILT.match(path):
            raise errors.not_built(f"Marathon {method} {path}")
        raise URI_NOT_FOUND

    # -- reading requests ------------------------------------------------------------------------------------

    def flag(self, name: str, default: bool = False) -> bool:
        """A boolean of the query."""
        return self._request.query.get(name, str(default)).lower() == "true"

    async def body(self) -> Any:
        """The JSON body, or Marathon's 400."""
        try:
            return await self._request.json()
        except ValueError as error:
            raise Refusal(400, {"message": "Invalid JSON", "details": str(error)}) from error

    async def object(self) -> Json:
        """A JSON object, or Marathon's 422."""
        found = await self.body()
        if not isinstance(found, dict):
            raise errors.invalid([("/", "error.expected.jsobject")])
        return found

    @staticmethod
    def changed(result: tuple[str, str], status: int = 200) -> web.Response:
        """A version and the deployment that brings it."""
        version, deployment = result
        return answer({"version": version, "deploymentId": deployment}, status, {"Marathon-Deployment-Id": deployment})

    # -- apps ------------------------------------------------------------------------------------------------

    async def list_apps(self) -> web.Response:
        """GET /v2/apps."""
        apps = [app for app in self._marathon.apps.values() if self._is_wanted(app)]
        embed = set(self._request.query.getall("embed", []))
        return answer({"apps": [self._app_info(app, embed) for app in sorted(apps, key=lambda app: app.id)]})

    def _is_wanted(self, app: App) -> bool:
        query = self._request.query
        if "cmd" in query and query["cmd"] not in app.document.get("cmd", ""):
            return False
        if "id" in query and query["id"] not in app.id:
            return False
        return "label" not in query or all(_selects(one, app.document["labels"]) for one in query["label"].split(","))

    def _app_info(self, app: App, embed: set[str]) -> Json:
        scheduler = self._marathon.scheduler
        holding = self._marathon.deployments.holding({app.id})
        document = {**app.document, **scheduler.counts(app.id), "deployments": [{"id": one} for one in holding]}
        if {"apps.tasks", "app.tasks", "tasks"} & embed:
            document["tasks"] = self._tasks_of(app.id)
        wants_failure = bool({"apps.lastTaskFailure", "apps.failures", "app.failures", "lastTaskFailure"} & embed)
        if wants_failure and app.id in scheduler.failures:
            document["lastTaskFailure"] = scheduler.failures[app.id]
        if {"apps.readiness", "app.readiness"} & embed:
            mine = {one.task_id for one in scheduler.of_app(app.id)}
            document["readinessCheckResults"] = [
                found for task_id, found in scheduler.readiness.items() if task_id in mine]  # fmt: skip
        return document

    def _tasks_of(self, app_id: str) -> list[Json]:
        app = self._marathon.apps.get(app_id)
        ports = [port.get("port", 0) for port in port_list(app.document)] if app else []
        return [one.task_document(ports) for one in self._marathon.scheduler.of_app(app_id)]

    async def create_app(self) -> web.Response:
        """POST /v2/apps."""
        app, deployment = await self._marathon.create(await self.object(), force=self.flag("force"))
        document = {**app.document, "tasksStaged": 0, "tasksRunning": 0, "tasksHealthy": 0, "tasksUnhealthy": 0,
                    "deployments": [{"id": deployment}]}  # fmt: skip
        return answer(document, 201, {"Location": f"/v2/apps{app.id}", "Marathon-Deployment-Id": deployment})

    async def update_apps(self) -> web.Response:
        """PUT and PATCH /v2/apps."""
        bodies = await self.body()
        if not isinstance(bodies, list):
            raise errors.invalid([("/", "error.expected.jsarray")])
        partial = self._request.method == "PATCH" or self.flag("partialUpdate", True)
        return self.changed(await self._marathon.update_many(bodies, partial=partial, force=self.flag("force")))

    async def get_app(self, id: str) -> web.Response:
        """GET /v2/apps/{id}."""
        app = self._marathon.app(canonical(id))
        asked = set(self._request.query.getall("embed", []))
        return answer({"app": self._app_info(app, asked | {"app.tasks", "app.failures"})})

    async def put_app(self, id: str) -> web.Response:
        """PUT /v2/apps/{id}."""
        created, version, deployment = await self._marathon.update(
            canonical(id), await self.object(), partial=self.flag("partialUpdate", True), force=self.flag("force")
        )
        return self.changed((version, deployment), 201 if created else 200)

    async def patch_app(self, id: str) -> web.Response:
        """PATCH /v2/apps/{id}."""
        self._marathon.app(canonical(id))
        return await self.put_app(id)

    async def delete_app(self, id: str) -> web.Response:
        """DELETE /v2/apps/{id}; here force is the default."""
        return self.changed(await self._marathon.delete(canonical(id), force=self.flag("force", True)))

    async def restart_app(self, id: str) -> web.Response:
        """POST /v2/apps/{id}/restart."""
        return self.changed(await self._marathon.restart(canonical(id), force=self.flag("force")))

    async def apps_below(self, id: str) -> web.Response:
        """GET /v2/apps/{group}/*."""
        prefix = canonical(id).rstrip("/") + "/"
        apps = [app for app in self._marathon.apps.values() if app.id.startswith(prefix)]
        return answer({"*": [self._app_info(app, set()) for app in apps]})

    async def app_versions(self, id: str) -> web.Response:
        """GET /v2/apps/{id}/versions."""
        self._marathon.app(canonical(id))
        return answer({"versions": await self._marathon.versions(canonical(id))})

    async def app_version(self, id: str, version: str) -> web.Response:
        """GET /v2/apps/{id}/versions/{version}."""
        if not is_version(version):
            raise Refusal(400, {"message": f'Invalid format: "{version}" is malformed'})
        return answer(await self._marathon.version(canonical(id), version))

    # -- tasks -----------------------------------------------------------------------------------------------

    async def app_tasks(self, id: str) -> web.Response:
        """GET /v2/apps/{id}/tasks."""
        self._marathon.app(canonical(id))
        return answer({"tasks": self._tasks_of(canonical(id))})

    async def kill_app_tasks(self, id: str, task: str | None = None) -> web.Response:
        """DELETE /v2/apps/{id}/tasks[/{task}]."""
        app_id, host = canonical(id), self._request.query.get("host")
        self._marathon.app(app_id)
        if task is not None and task not in self._marathon.scheduler.instances:
            raise errors.not_found("Task", task)

        def is_wanted(one: Instance) -> bool:
            return one.app_id == app_id and task in {None, one.task_id} and host in {None, one.host}

        result = await self._kill(is_wanted)
        if isinstance(result, tuple):
            return self.changed(result)
        documents = [one.task_document([]) for one in result]
        return answer({"task": documents[0] if documents else None} if task else {"tasks": documents})

    async def list_tasks(self) -> web.Response:
        """GET /v2/tasks."""
        states = {"running": {"TASK_RUNNING"}, "staging": {"TASK_STAGING", "TASK_STARTING"}}
        asked = self._request.query.getall("status", [])
        wanted = {state for one in asked for state in states.get(one, set())}
        tasks = [task for app_id in self._marathon.apps for task in self._tasks_of(app_id)]
        return answer({"tasks": [task for task in tasks if not asked or task["state"] in wanted]})

    async def delete_tasks(self) -> web.Response:
        """POST /v2/tasks/delete."""
        ids = set((await self.object()).get("ids", []))
        result = await self._kill(lambda one: one.task_id in ids)
        if isinstance(result, tuple):
            return self.changed(result)
        return answer({"tasks": [one.task_document([]) for one in result]})

    async def _kill(self, is_wanted: Callable[[Instance], bool]) -> list[Instance] | tuple[str, str]:
        return await self._marathon.kill_tasks(
            is_wanted, scale=self.flag("scale"), wipe=self.flag("wipe"), force=self.flag("force")
        )

    # -- groups ----------------------------------------------------------------------------------------------

    async def get_group(self, id: str = "/") -> web.Response:
        """GET /v2/groups[/{id}]."""
        return answer(self._marathon.group(canonical(id)))

    async def group_versions(self, id: str = "/") -> web.Response:
        """GET /v2/groups/{id}/versions: only the present one is kept."""
        return answer([self._marathon.group(canonical(id))["version"]])

    async def create_group(self, id: str = "") -> web.Response:
        """POST /v2/groups[/{id}]."""
        body = await self.object()
        if id:
            body = {**body, "id": canonical(body.get("id", id), canonical(id))}
        return self.changed(await self._marathon.create_group(body, force=self.flag("force")), 201)

    async def update_group(self, id: str = "/") -> web.Response:
        """PUT /v2/groups[/{id}]: creates and updates what it names; what it does not name stays."""
        body = await self.object()
        if "scaleBy" in body or set(body) == {"version"}:
            raise errors.not_built(f"Marathon PUT /v2/groups with {sorted(body)}")
        if self.flag("dryRun"):
            raise errors.not_built("Marathon PUT /v2/groups?dryRun")
        group = {**body, "id": canonical(id)}
        return self.changed(await self._marathon.create_group(group, force=self.flag("force"), update=True))

    async def delete_group(self, id: str) -> web.Response:
        """DELETE /v2/groups/{id}."""
        return self.changed(await self._marathon.delete_group(canonical(id), force=self.flag("force")))

    # -- deployments, queue, info ----------------------------------------------------------------------------

    async def list_deployments(self) -> web.Response:
        """GET /v2/deployments."""
        readiness = self._marathon.scheduler.readiness
        return answer([one.document(readiness) for one in self._marathon.deployments.running.values()])

    async def delete_deployment(self, id: str) -> web.Response:
        """DELETE /v2/deployments/{id}."""
        result = await self._marathon.roll_back(id, force=self.flag("force"))
        return web.Response(status=202) if result is None else self.changed(result)

    async def queue(self) -> web.Response:
        """GET /v2/queue."""
        embeds = set(self._request.query.getall("embed", []))
        return answer({"queue": [self._queued(name, embeds) for name in self._marathon.scheduler.queue]})

    def _queued(self, app_id: str, embeds: set[str]) -> Json:
        scheduler = self._marathon.scheduler
        waiting, app = scheduler.queue[app_id], self._marathon.apps[app_id]
        backoff = scheduler.backoffs.get(app_id)
        left = max(0, int(backoff.until - time.time() + 0.999)) if backoff else 0
        reasons = summary([found for _, found in waiting.last_matches])
        offers: Json = {"processedOffersCount": waiting.processed, "unusedOffersCount": waiting.unused,
                        "rejectSummaryLastOffers": reasons, "rejectSummaryLaunchAttempt": reasons}  # fmt: skip
        if waiting.last_unused_at is not None:
            offers["lastUnusedOfferAt"] = timestamp(waiting.last_unused_at)
        if waiting.last_used_at is not None:
            offers["lastUsedOfferAt"] = timestamp(waiting.last_used_at)
        item: Json = {
            "app": app.document, "count": waiting.count, "role": app.role, "since": timestamp(waiting.since),
            "delay": {"timeLeftSeconds": left, "overdue": left == 0}, "processedOffersSummary": offers,
        }  # fmt: skip
        if "lastUnusedOffers" in embeds:
            item["lastUnusedOffers"] = [_unused_offer(offer, found, waiting.last_unused_at)
                                        for offer, found in waiting.last_matches]  # fmt: skip
        return item

    async def reset_delay(self, id: str) -> web.Response:
        """DELETE /v2/queue/{id}/delay."""
        if not self._marathon.scheduler.reset_backoff(canonical(id)):
            raise Refusal(404, {"message": f"Application {canonical(id)} not found in tasks queue."})
        return web.Response(status=204)

    async def leader(self) -> web.Response:
        """GET /v2/leader."""
        return answer({"leader": f"{self._leader.ip}:{PORT}"})

    async def abdicate(self) -> web.Response:
        """DELETE /v2/leader."""
        raise errors.not_built("Marathon DELETE /v2/leader")

    async def info(self) -> web.Response:
        """GET /v2/info."""
        settings = self._marathon.settings
        return answer({
            "name": "marathon", "version": MARATHON_VERSION, "elected": True, "leader": f"{self._leader.ip}:{PORT}",
            "frameworkId": self._marathon.scheduler.framework_id, "buildref": "unknown",
            "http_config": {"http_port": PORT, "https_port": 8443},
            "zookeeper_config": {"zk": f"zk://{settings.zookeeper}/marathon", "zk_timeout": 10000,
                                 "zk_session_timeout": 10000, "zk_max_versions": 25},
            "marathon_config": {
                "master": "zk://zk-1.zk:2181/mesos", "failover_timeout": 604800, "ha": True, "checkpoint": True,
                "hostname": settings.ip, "executor": "//cmd", "framework_name": "marathon",
                "mesos_role": "slave_public",
                "mesos_user": "root", "local_port_min": 10000, "local_port_max": 20000,
                "features": ["vips", "task_killing", "external_volumes", "gpu_resources"],
                "access_control_allow_origin": None, "decline_offer_duration": 300000,
                "new_group_enforce_role": "top" if settings.enforce_group_role else "off",
            },
        })  # fmt: skip

    async def plugins(self) -> web.Response:
        """GET /v2/plugins."""
        return answer({"plugins": []})

    async def events(self) -> web.StreamResponse:
        """GET /v2/events."""
        if "text/event-stream" not in self._request.headers.get("Accept", ""):
            return web.Response(status=406)
        kinds = frozenset(self._request.query.getall("event_type", []))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        await response.prepare(self._request)
        queue = self._marathon.events.subscribe(kinds)
        self._marathon.events.publish("event_stream_attached", remoteAddress=self._request.remote or "")
        try:
            while True:
                await response.write(await self._next_event(queue))
        except (ConnectionError, asyncio.CancelledError):
            return response
        finally:
            self._marathon.events.unsubscribe(queue)

    @staticmethod
    async def _next_event(queue: asyncio.Queue[bytes]) -> bytes:
        try:
            return await asyncio.wait_for(queue.get(), 10.0)
        except TimeoutError:
            return b"\r\n"


def _selects(selector: str, labels: dict[str, str]) -> bool:
    name, _, value = selector.partition("==")
    if selector.find("!=") > 0:
        name, _, value = selector.partition("!=")
        return labels.get(name) != value
    return name in labels if not value else fnmatch.fnmatch(labels.get(name, "\0"), value)


def _unused_offer(offer: Any, found: Any, when: float | None) -> Json:
    agent = offer.agent
    return {
        "offer": {
            "id": f"{agent.id}-offer", "agentId": agent.id, "hostname": agent.hostname,
            "resources": [{"name": name, "role": agent.role, "scalar": value, "set": []}
                          for name, value in (("cpus", offer.free.cpus), ("mem", offer.free.mem),
                                              ("disk", offer.free.disk))],
            "attributes": [{"name": name, "text": value} for name, value in agent.attributes.items()],
        },
        "timestamp": timestamp(when or time.time()), "reason": list(found.reasons),
    }  # fmt: skip


ROUTES: list[tuple[str, Any]] = [
    ("GET /v2/apps", Call.list_apps),
    ("POST /v2/apps", Call.create_app),
    ("(PUT|PATCH) /v2/apps", Call.update_apps),
    (r"GET /v2/apps(?P<id>(/.+)?)/\*", Call.apps_below),
    ("GET /v2/apps(?P<id>/.+)/versions", Call.app_versions),
    ("GET /v2/apps(?P<id>/.+)/versions/(?P<version>[^/]+)", Call.app_version),
    ("GET /v2/apps(?P<id>/.+)/tasks", Call.app_tasks),
    ("DELETE /v2/apps(?P<id>/.+)/tasks", Call.kill_app_tasks),
    ("DELETE /v2/apps(?P<id>/.+)/tasks/(?P<task>[^/]+)", Call.kill_app_tasks),
    ("POST /v2/apps(?P<id>/.+)/restart", Call.restart_app),
    ("GET /v2/apps(?P<id>/.+)", Call.get_app),
    ("PUT /v2/apps(?P<id>/.+)", Call.put_app),
    ("PATCH /v2/apps(?P<id>/.+)", Call.patch_app),
    ("DELETE /v2/apps(?P<id>/.+)", Call.delete_app),
    ("GET /v2/tasks", Call.list_tasks),
    ("POST /v2/tasks/delete", Call.delete_tasks),
    ("GET /v2/groups", Call.get_group),
    ("GET /v2/groups/versions", Call.group_versions),
    ("GET /v2/groups(?P<id>/.+)/versions", Call.group_versions),
    ("GET /v2/groups(?P<id>/.+)", Call.get_group),
    ("POST /v2/groups", Call.create_group),
    ("POST /v2/groups(?P<id>/.+)", Call.create_group),
    ("(PUT|PATCH) /v2/groups", Call.update_group),
    ("(PUT|PATCH) /v2/groups(?P<id>/.+)", Call.update_group),
    ("DELETE /v2/groups(?P<id>/.+)", Call.delete_group),
    ("GET /v2/deployments", Call.list_deployments),
    ("DELETE /v2/deployments/(?P<id>[^/]+)", Call.delete_deployment),
    ("GET /v2/queue", Call.queue),
    ("DELETE /v2/queue(?P<id>/.+)/delay", Call.reset_delay),
    ("GET /v2/leader", Call.leader),
    ("DELETE /v2/leader", Call.abdicate),
    ("GET /v2/info", Call.info),
    ("GET /v2/plugins", Call.plugins),
    ("GET /v2/events", Call.events),
]
