"""Admin Router on 80 and 443: checks tokens and passes each path to the component it belongs to.

Routes: dcos-data/adminrouter/2.1/nginx.master.yaml.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from http.cookies import CookieError, SimpleCookie

import aiohttp
from aiohttp import web

from rehearsal.cluster.answers import answer, not_built
from rehearsal.cluster.iam import COOKIE, TokenKey
from rehearsal.cluster.leadership import LeaderWatch
from rehearsal.cluster.proxy import forward, gateway_error
from rehearsal.cluster.settings import DCOS_VERSION, IMAGE_COMMIT, Json, NodeSettings

OPEN_PATHS = re.compile(
    r"^(/|/assets(/.*)?|/login|/acs/api/v1/auth/.*|/dcos-metadata/dcos-version\.json|/dcos-metadata/ui-config\.json"
    r"|/exhibitor/exhibitor/v1/cluster/status|/nginx/metrics)$"
)
NOT_BUILT = re.compile(
    r"^(/login|/system/v1/(logs|metrics|agent|leader)/.*|/nginx/(status|metrics)|/dcos-ui-update-service/api/.*"
    r"|/navstar/lashup/key|/pkgpanda/.+)$"
)
UNAUTHORIZED = """<!DOCTYPE html>
<html><head><title>401 Authorization Required</title></head>
<body><center><h1>401 Authorization Required</h1></center><hr><center>openresty</center></body></html>
"""
CACHE_SECONDS = 5.0
SERVICES_SECONDS = 5.0
SERVICE_SEGMENTS = 10

Route = Callable[[web.Request, "re.Match[str]"], Awaitable[web.StreamResponse]]


def unauthorized() -> web.Response:
    """401 as Admin Router gives it."""
    return web.Response(
        status=401, text=UNAUTHORIZED, content_type="text/html", headers={"WWW-Authenticate": "oauthjwt"}
    )


def token_of(request: web.Request) -> str | None:
    """The token in the header, or else in the cookie; a header hides the cookie."""
    header = request.headers.get("Authorization")
    if header is not None:
        found = re.fullmatch(r"(?:token=|Bearer\s+)(\S+)", header.strip(), re.IGNORECASE)
        return found.group(1) if found else None
    try:
        morsel = SimpleCookie(request.headers.get("Cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return morsel.value if morsel else None


class AdminRouter:
    """One master's Admin Router."""

    def __init__(
        self, settings: NodeSettings, leader: LeaderWatch, key: TokenKey, session: aiohttp.ClientSession,
        cluster_id: str,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._leader = leader
        self._key = key
        self._session = session
        self._cluster_id = cluster_id
        self._cached: dict[str, tuple[float, web.Response]] = {}
        self._services: tuple[float, list[Json]] = (0.0, [])
        local = "127.0.0.1" if settings.bind == "0.0.0.0" else settings.ip  # noqa: S104
        self._local = local
        self._routes: list[tuple[re.Pattern[str], Route]] = [
            (re.compile(pattern), route) for pattern, route in (
                (r"/", self._root),
                (r"/metadata", self._metadata),
                (r"/dcos-metadata/dcos-version\.json", self._version),
                (r"/dcos-metadata/ui-config\.json", self._to(8101, "/acs/api/v1/uiconfig")),
                (r"/pkgpanda/active\.buildinfo\.full\.json", self._buildinfo),
                (r"/acs/api/v1(?P<rest>/.*)?", self._to(8101, "/acs/api/v1")),
                (r"/marathon", self._slash),
                (r"/marathon(?P<rest>/.*)", self._to(8080, "")),
                (r"/mesos", self._slash),
                (r"/mesos(?P<rest>/.*)", self._mesos),
                (r"/cache/master(?P<rest>/.*)", self._cached_mesos),
                (r"/(?:slave|agent)/(?P<agent>[0-9a-zA-Z-]+)(?P<rest>/.*)?", self._agent),
                (r"/package(?P<rest>/.*)", self._to(7070, "/package")),
                (r"/cosmos/service(?P<rest>/.*)", self._to(7070, "/service")),
                (r"/capabilities", self._to(7070, "/capabilities")),
                (r"/exhibitor(?P<rest>/.*)", self._to(8181, "")),
                (r"/mesos_dns(?P<rest>/.*)", self._to(8123, "")),
                (r"/net(?P<rest>/.*)", self._to(62080, "")),
                (r"/system/health/v1(?P<rest>/.*)?", self._to(1050, "/system/health/v1")),
                (r"/system/checks/v1(?P<rest>/.*)?", self._to(1050, "/system/checks/v1")),
                (r"/service/(?P<name>[^/]+)", self._slash_permanently),
                (r"/service/(?P<path>.+)", self._service),
            )
        ]  # fmt: skip

    def application(self) -> web.Application:
        """The server's routes."""
        application = web.Application(client_max_size=64 << 20)
        application.router.add_route("*", "/{path:.*}", self.dispatch)
        return application

    async def dispatch(self, request: web.Request) -> web.StreamResponse:
        """Check the token, find the route."""
        path = request.path
        if not OPEN_PATHS.match(path):
            token = token_of(request)
            if token is None or self._key.uid_of(token) is None:
                return unauthorized()
        for pattern, route in self._routes:
            found = pattern.fullmatch(path)
            if found:
                return await route(request, found)
        if NOT_BUILT.match(path):
            return not_built(f"Admin Router {request.method} {path}")
        return gateway_error(404, "Not Found")

    # -- answers of its own ----------------------------------------------------------------------------------

    async def _root(self, _: web.Request, __: re.Match[str]) -> web.StreamResponse:
        text = "<!DOCTYPE html><title>DC/OS</title><p>The rehearsal cluster has no graphical interface."
        return web.Response(text=text, content_type="text/html")

    async def _metadata(self, _: web.Request, __: re.Match[str]) -> web.StreamResponse:
        return answer({"PUBLIC_IPV4": self._settings.public_ip, "CLUSTER_ID": self._cluster_id})

    async def _version(self, _: web.Request, __: re.Match[str]) -> web.StreamResponse:
        return answer(version_document(self._settings))

    async def _buildinfo(self, _: web.Request, __: re.Match[str]) -> web.StreamResponse:
        return answer({"rehearsal-cluster": {"sources": {}}})

    async def _slash(self, request: web.Request, _: re.Match[str]) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": request.path + "/"})

    async def _slash_permanently(self, request: web.Request, found: re.Match[str]) -> web.StreamResponse:
        return web.Response(status=301, headers={"Location": f"/service/{found['name']}/"})

    # -- upstreams -------------------------------------------------------------------------------------------

    def _to(self, port: int, base: str) -> Route:
        async def route(request: web.Request, found: re.Match[str]) -> web.StreamResponse:
            return await self._forward(request, f"http://{self._local}:{port}", base, found)

        return route

    async def _forward(
        self, request: web.Request, upstream: str, base: str, found: re.Match[str]
    ) -> web.StreamResponse:
        raw, query = _raw_rest(request, found)
        headers = {"X-Forwarded-For": request.remote or "", "X-Forwarded-Proto": request.scheme}
        return await forward(self._session, request, f"{upstream}{base}{raw}{query}", headers)

    async def _mesos(self, request: web.Request, found: re.Match[str]) -> web.StreamResponse:
        if self._leader.ip is None:
            return gateway_error(503, "Service Temporarily Unavailable")
        return await self._forward(request, f"http://{self._leader.ip}:5050", "", found)

    async def _cached_mesos(self, request: web.Request, found: re.Match[str]) -> web.StreamResponse:
        kept_at, kept = self._cached.get(request.path_qs, (0.0, None))
        if kept is not None and time.monotonic() - kept_at < CACHE_SECONDS:
            return web.Response(status=kept.status, body=kept.body, content_type="application/json")
        response = await self._mesos(request, found)
        if isinstance(response, web.Response) and response.status == 200:
            self._cached[request.path_qs] = (time.monotonic(), response)
        return response

    async def _agent(self, request: web.Request, found: re.Match[str]) -> web.StreamResponse:
        agents = (await self._leader_json("/master/slaves") or {}).get("slaves", [])
        address = next((f"{one['hostname']}:{one['port']}" for one in agents if one["id"] == found["agent"]), None)
        if address is None:
            return gateway_error(404, "Not Found")
        return await self._forward(request, f"http://{address}", "", found)

    # -- services --------------------------------------------------------------------------------------------

    async def _service(self, request: web.Request, found: re.Match[str]) -> web.StreamResponse:
        path = found["path"]
        if path == "marathon" or path.startswith("marathon/"):
            rest = re.fullmatch(r"/service/marathon(?P<rest>/.*)?", request.path)
            assert rest is not None
            return await self._forward(request, f"http://{self._local}:8080", "", rest)
        if path == "metronome" or path.startswith("metronome/"):
            rest = re.fullmatch(r"/service/metronome(?P<rest>/.*)?", request.path)
            assert rest is not None
            return await self._forward(request, f"http://{self._local}:9000", "", rest)
        return await self._named_service(request, path)

    async def _named_service(self, request: web.Request, path: str) -> web.StreamResponse:
        services = await self._known_services()
        segments = path.split("/")
        for count in range(min(SERVICE_SEGMENTS, len(segments)), 0, -1):
            name = "/".join(segments[:count])
            service = next((one for one in services if one["name"] == name), None)
            if service is None:
                continue
            if not path[len(name) :] and not request.path.endswith("/"):
                return web.Response(status=301, headers={"Location": request.path + "/"})
            prefix = "" if not service["rewrite"] else f"/service/{re.escape(name)}"
            rest = re.fullmatch(rf"{prefix}(?P<rest>/.*)", request.path)
            assert rest is not None
            return await self._forward(request, service["upstream"], "", rest)
        return web.Response(status=404, text="404 Not Found: service not found.")

    async def _known_services(self) -> list[Json]:
        """Services by label, refreshed when older than a few seconds (the real one's cache lives up to 25 s)."""
        at, known = self._services
        if time.monotonic() - at > SERVICES_SECONDS:
            body = await self._json(f"http://{self._local}:8080/v2/apps?embed=apps.tasks")
            if body is not None:
                known = [one for app in body["apps"] if (one := _service_of(app)) is not None]
                self._services = (time.monotonic(), known)
        return known

    async def _leader_json(self, path: str) -> Json | None:
        return await self._json(f"http://{self._leader.ip}:5050{path}") if self._leader.ip else None

    async def _json(self, url: str) -> Json | None:
        try:
            async with self._session.get(url, timeout=aiohttp.ClientTimeout(10)) as response:
                document: Json = await response.json(content_type=None)
                return document if response.status == 200 else None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return None


def _raw_rest(request: web.Request, found: re.Match[str]) -> tuple[str, str]:
    """What follows the route's prefix, still encoded, and the query with its question mark."""
    raw, _, query = request.raw_path.partition("?")
    rest = found.groupdict().get("rest")
    if rest is None:
        return "", f"?{query}" if query else ""
    prefix_segments = request.path[: len(request.path) - len(rest)].count("/")
    position = 0
    for _ in range(prefix_segments):
        position = raw.find("/", position + 1)
        if position < 0:
            return rest, f"?{query}" if query else ""
    return (raw[position:] if prefix_segments else raw), f"?{query}" if query else ""


def _service_of(app: Json) -> Json | None:
    labels = app["labels"]
    if not {"DCOS_SERVICE_NAME", "DCOS_SERVICE_SCHEME", "DCOS_SERVICE_PORT_INDEX"} <= labels.keys():
        return None
    running = [task for task in app.get("tasks", []) if task["state"] == "TASK_RUNNING"]
    index = labels["DCOS_SERVICE_PORT_INDEX"]
    if not running or not index.isdigit() or int(index) >= len(running[0]["ports"]):
        return None
    task = running[0]
    return {
        "name": labels["DCOS_SERVICE_NAME"].strip("/"),
        "upstream": f"{labels['DCOS_SERVICE_SCHEME']}://{task['host']}:{task['ports'][int(index)]}",
        "rewrite": labels.get("DCOS_SERVICE_REWRITE_REQUEST_URLS", "true").lower() != "false",
    }  # fmt: skip


def version_document(settings: NodeSettings) -> Json:
    """`/dcos-metadata/dcos-version.json`."""
    return {"version": DCOS_VERSION, "dcos-image-commit": IMAGE_COMMIT, "bootstrap-id": settings.bootstrap_id,
            "dcos-variant": "open"}  # fmt: skip
