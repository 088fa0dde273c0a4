"""A cluster that answers as FACTS say, in memory: IAM, Marathon and Cosmos. Deployments end when they are looked at."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from rekindle.dcos import Client, Credentials, Session
from rekindle.dcos.cosmos import CALLS
from rekindle.dcos.marathon import Marathon
from rekindle.packages import Universe
from rekindle.secrets import Secret

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
TOKEN_KEY = "the cluster's own secret, of at least 32 bytes"
TOKEN_SECONDS = 432_000
TASK_COUNTS = ("tasksRunning", "tasksHealthy")
SERVER_DEFAULTS = {
    "backoffFactor": 1.15,
    "backoffSeconds": 1,
    "executor": "",
    "instances": 1,
    "killSelection": "YOUNGEST_FIRST",
    "maxLaunchDelaySeconds": 300,
    "networks": [{"mode": "host"}],
    "requirePorts": False,
    "upgradeStrategy": {"maximumOverCapacity": 1, "minimumHealthCapacity": 1},
    "unreachableStrategy": {"inactiveAfterSeconds": 0, "expungeAfterSeconds": 0},
    "version": "2026-11-21T10:00:00.000Z",
    "cpus": 1.0,
    "gpus": 0,
    "disk": 0.0,
    "mem": 128.0,
    "role": "*",
}


@dataclass
class FakeCluster:
    """State of one cluster, and a transport that answers for it."""

    now: float = 1_000_000.0
    apps: dict[str, dict[str, Any]] = field(default_factory=dict)
    repositories: list[dict[str, str]] = field(default_factory=list)
    packages: dict[tuple[str, str], Universe] = field(default_factory=dict)
    unhealthy: set[str] = field(default_factory=set)
    locked: dict[str, set[str]] = field(default_factory=dict)  # by deployment, the apps that it holds
    lock_seconds: float = 5.0
    failing: list[httpx.Response] = field(default_factory=list)  # answers given before any other
    log: list[str] = field(default_factory=list)
    logins: int = 0
    revoked: set[str] = field(default_factory=set)
    _client: Client | None = None
    _numbers: Any = field(default_factory=lambda: count(1))

    def session(self, credentials: Credentials | None = None, **options: Any) -> Session:
        return Session(
            "http://cluster",
            credentials or Credentials("rekindle", Secret(PEM)),
            transport=httpx.MockTransport(self.answer),
            clock=lambda: self.now,
            sleep=self.sleep,
            **options,
        )

    def client(self) -> Client:
        """The same one each time: a login signs with a key that is slow to load."""
        if self._client is None:
            session = self.session()
            made = Client.over(session)
            marathon = Marathon(session, clock=lambda: self.now, sleep=self.sleep)
            self._client = Client(marathon, made.cosmos, made.mesos, made.health)
        return self._client

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.log.append(f"{request.method} {path}")
        if path == "/acs/api/v1/auth/login":
            return self._login(request)
        if not self._is_known(request):
            return httpx.Response(401, html="<html>401</html>", headers={"WWW-Authenticate": "oauthjwt"})
        if self.failing:
            return self.failing.pop(0)
        routes: list[tuple[str, Callable[[httpx.Request], httpx.Response]]] = [
            ("/service/marathon/v2/apps", self._apps),
            ("/service/marathon/v2/queue", self._queue),
            ("/service/marathon/v2/deployments", self._deployments),
            ("/package/", self._cosmos),
            ("/cosmos/", self._cosmos),
        ]
        for start, route in routes:
            if path.startswith(start):
                return route(request)
        return httpx.Response(404, html="404 Not Found: service not found.")

    def _login(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        try:
            claims = jwt.decode(
                body["token"], KEY.public_key(), algorithms=["RS256"], options={"verify_exp": False, "require": ["exp"]}
            )
        except jwt.PyJWTError:
            claims = {}
        if claims.get("uid") != "rekindle" or not self.now < claims["exp"] <= self.now + 300:
            return httpx.Response(
                401,
                json={
                    "title": "Unauthorized",
                    "description": "Invalid credentials.",
                    "code": "ERR_INVALID_CREDENTIALS",
                },
            )
        self.logins += 1
        token = {"uid": "rekindle", "exp": int(self.now) + TOKEN_SECONDS, "n": self.logins}
        return httpx.Response(200, json={"token": jwt.encode(token, TOKEN_KEY, algorithm="HS256")})

    def _is_known(self, request: httpx.Request) -> bool:
        token = request.headers.get("Authorization", "").removeprefix("token=")
        try:
            claims = jwt.decode(token, TOKEN_KEY, algorithms=["HS256"], options={"verify_exp": False})
        except jwt.PyJWTError:
            return False
        return token not in self.revoked and claims["exp"] > self.now

    def _apps(self, request: httpx.Request) -> httpx.Response:
        app_id = "/" + request.url.path.removeprefix("/service/marathon/v2/apps").strip("/")
        if request.method == "GET":
            return self._shown(app_id)
        held = [deployment for deployment, apps in self.locked.items() if app_id in apps]
        if held and request.url.params.get("force") != "true":
            return httpx.Response(409, json={"message": "App is locked by one or more deployments."})
        for deployment in held:
            del self.locked[deployment]
        if request.method == "DELETE":
            if self.apps.pop(app_id, None) is None:
                return httpx.Response(404, json={"message": f"App '{app_id}' does not exist"})
        else:
            assert request.url.params["partialUpdate"] == "false"
            self.put(app_id, json.loads(request.content))
        return httpx.Response(200, json={"version": "v", "deploymentId": f"d{next(self._numbers)}"})

    def put(self, app_id: str, app: dict[str, Any]) -> None:
        """As Marathon keeps it: with everything that it fills in."""
        kept = {**SERVER_DEFAULTS, **app, "id": app_id}
        kept.setdefault("labels", {})
        kept["fetch"] = [{"extract": True, "executable": False, "cache": False, **f} for f in app.get("fetch", [])]
        kept["healthChecks"] = [
            {"gracePeriodSeconds": 300, "intervalSeconds": 60, "timeoutSeconds": 20, "maxConsecutiveFailures": 3, **c}
            for c in app.get("healthChecks", [])
        ]
        ports = app.get("portDefinitions", [{"name": "default"}])
        kept["portDefinitions"] = [
            {"protocol": "tcp", "labels": {}, **p, "port": p.get("port") or 10001} for p in ports
        ]
        self.apps[app_id] = kept
        self.log.append(f"deploy {app_id}")

    def _shown(self, app_id: str) -> httpx.Response:
        if app_id == "/":
            return httpx.Response(200, json={"apps": [self._with_counts(app) for app in self.apps.values()]})
        if app_id not in self.apps:
            return httpx.Response(404, json={"message": f"App '{app_id}' does not exist"})
        return httpx.Response(200, json={"app": self._with_counts(self.apps[app_id])})

    def _with_counts(self, app: dict[str, Any]) -> dict[str, Any]:
        up = 0 if app["id"] in self.unhealthy else app["instances"]
        failure = {"state": "TASK_FAILED", "host": "10.0.2.10", "message": "exit 78"}
        extra = {} if up else {"lastTaskFailure": failure}
        return {**app, "tasksRunning": app["instances"], "tasksHealthy": up, "deployments": [], **extra}

    def _deployments(self, request: httpx.Request) -> httpx.Response:
        """A deployment of several apps ends after a while."""
        self.lock_seconds -= 1
        if self.lock_seconds < 0:
            self.locked = {name: apps for name, apps in self.locked.items() if len(apps) == 1}
        found = [{"id": name, "affectedApps": sorted(apps)} for name, apps in self.locked.items()]
        return httpx.Response(200, json=found)

    def _queue(self, request: httpx.Request) -> httpx.Response:
        refused = [{"reason": "UnfulfilledConstraint", "declined": 3, "processed": 3}]
        waiting = {
            "count": 1,
            "delay": {"overdue": True},
            "processedOffersSummary": {"rejectSummaryLastOffers": refused},
        }
        return httpx.Response(200, json={"queue": [{"app": {"id": i}, **waiting} for i in sorted(self.unhealthy)]})

    def _cosmos(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        name, version, _ = CALLS[path]
        expected = (
            f"application/vnd.dcos.{name}-request+json;charset=utf-8;version=v1",
            f"application/vnd.dcos.{name}-response+json;charset=utf-8;version=v{version}",
        )
        if (request.headers["Content-Type"], request.headers["Accept"]) != expected:
            return _cosmos_error("not_valid", "wrong media type")
        answer = getattr(self, "_" + path.strip("/").replace("/", "_").replace("-", "_"))
        found: httpx.Response = answer(json.loads(request.content))
        return found

    def _package_repository_list(self, body: dict[str, Any]) -> httpx.Response:
        return httpx.Response(200, json={"repositories": self.repositories})

    def _package_repository_add(self, body: dict[str, Any]) -> httpx.Response:
        if any(r["name"] == body["name"] for r in self.repositories):
            return _cosmos_error("RepositoryAlreadyPresent", "is there")
        self.repositories.insert(body.get("index", 0), {"name": body["name"], "uri": body["uri"]})
        return self._package_repository_list(body)

    def _package_repository_delete(self, body: dict[str, Any]) -> httpx.Response:
        self.repositories = [r for r in self.repositories if r["name"] != body["name"]]
        return self._package_repository_list(body)

    def _package_render(self, body: dict[str, Any]) -> httpx.Response:
        return httpx.Response(200, json={"marathonJson": self._render(body)})

    def _package_install(self, body: dict[str, Any]) -> httpx.Response:
        if body["appId"] in self.apps:
            return _cosmos_error("PackageAlreadyInstalled", "is installed", 409)
        self.put(body["appId"], self._render(body))
        return httpx.Response(200, json={"packageName": body["packageName"], "packageVersion": body["packageVersion"]})

    def _package_uninstall(self, body: dict[str, Any]) -> httpx.Response:
        del self.apps[body["appId"]]
        return httpx.Response(200, json={"results": []})

    def _cosmos_service_update(self, body: dict[str, Any]) -> httpx.Response:
        assert body["replace"] is True
        if any(body["appId"] in apps for apps in self.locked.values()):
            return _cosmos_error("PackageAlreadyInstalled", "locked", 409)
        labels = self.apps[body["appId"]]["labels"]
        names = {"packageName": labels["DCOS_PACKAGE_NAME"], "packageVersion": labels["DCOS_PACKAGE_VERSION"]}
        self.put(body["appId"], self._render({**names, **body}))
        return httpx.Response(200, json={"package": {}, "resolvedOptions": {}, "marathonDeploymentId": "d"})

    def _render(self, body: dict[str, Any]) -> dict[str, Any]:
        universe = self.packages[body["packageName"], body["packageVersion"]]
        app = universe.app(body["options"], body["appId"])
        labels = {
            "DCOS_PACKAGE_NAME": universe.name,
            "DCOS_PACKAGE_VERSION": universe.version,
            "DCOS_PACKAGE_OPTIONS": base64.b64encode(json.dumps(body["options"]).encode()).decode(),
        }
        return {**app, "labels": {**app.get("labels", {}), **labels}}


def _cosmos_error(kind: str, message: str, status: int = 400) -> httpx.Response:
    return httpx.Response(status, json={"type": kind, "message": message})
