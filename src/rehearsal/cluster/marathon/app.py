"""An app as Marathon keeps it: the document with the server's defaults, and what the scheduler reads from it."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

from rehearsal.cluster.settings import Json

MARATHON_ROLE = "slave_public"
SINGLE_INSTANCE = "MARATHON_SINGLE_INSTANCE_APP"
HEALTH_DEFAULTS = {"gracePeriodSeconds": 300, "intervalSeconds": 60, "maxConsecutiveFailures": 3,
                   "timeoutSeconds": 20, "delaySeconds": 15, "protocol": "HTTP", "ipProtocol": "IPv4"}  # fmt: skip
READINESS_DEFAULTS = {"name": "readinessCheck", "protocol": "HTTP", "path": "/", "portName": "http-api",
                      "intervalSeconds": 30, "timeoutSeconds": 10, "httpStatusCodesForReady": [200],
                      "preserveLastResponse": False}  # fmt: skip
FETCH_DEFAULTS = {"extract": True, "executable": False, "cache": False}
OMITTED_WHEN_EMPTY = (
    "args",
    "constraints",
    "dependencies",
    "env",
    "fetch",
    "healthChecks",
    "readinessChecks",
    "secrets",
)


def canonical(path: str, base: str = "/") -> str:
    """An absolute id; a relative one is taken below `base`."""
    absolute = path if path.startswith("/") else f"{base.rstrip('/')}/{path}"
    parts: list[str] = []
    for part in absolute.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in {"", "."}:
            parts.append(part)
    return "/" + "/".join(parts)


def with_defaults(document: Json, *, enforce_group_role: bool) -> Json:
    """The document as the server keeps and shows it. Deprecated fields become their successors."""
    app = {key: copy.deepcopy(value) for key, value in document.items() if value is not None}
    app["id"] = canonical(app["id"])
    for uri in app.pop("uris", []):
        app.setdefault("fetch", []).append({"uri": uri})
    defaults: Json = {
        "acceptedResourceRoles": ["*"], "backoffFactor": 1.15, "backoffSeconds": 1, "cpus": 1, "disk": 0,
        "executor": "", "gpus": 0, "instances": 1, "killSelection": "YOUNGEST_FIRST", "labels": {},
        "maxLaunchDelaySeconds": 300, "mem": 128, "networks": [{"mode": "host"}], "requirePorts": False,
        "role": default_role(app["id"], enforce_group_role),
    }  # fmt: skip
    app = {**defaults, **app}
    app["networks"] = [{"mode": "container", **network} for network in app["networks"]] or [{"mode": "host"}]
    _ports(app)
    _container(app)
    app["healthChecks"] = [_health_check(check, app) for check in app.get("healthChecks", [])]
    app["readinessChecks"] = [{**READINESS_DEFAULTS, **check} for check in app.get("readinessChecks", [])]
    app["fetch"] = [{**FETCH_DEFAULTS, **fetch} for fetch in app.get("fetch", [])]
    app["dependencies"] = [canonical(path, group_of(app["id"])) for path in app.get("dependencies", [])]
    app["upgradeStrategy"] = {**_upgrade_default(app), **app.get("upgradeStrategy", {})}
    app["unreachableStrategy"] = _unreachable(app)
    return {key: value for key, value in app.items() if value or key not in OMITTED_WHEN_EMPTY}


def default_role(app_id: str, enforce_group_role: bool) -> str:
    """Marathon's own role, or the top-level group's (marathon_new_group_enforce_role: top)."""
    parts = app_id.strip("/").split("/")
    return parts[0] if enforce_group_role and len(parts) > 1 else MARATHON_ROLE


def group_of(app_id: str) -> str:
    """The id of the group that holds an app or group."""
    return app_id.rsplit("/", 1)[0] or "/"


def is_resident(app: Json) -> bool:
    """True if the app has a local persistent volume."""
    return any("persistent" in volume for volume in volumes(app))


def volumes(app: Json) -> list[Json]:
    """The volumes of the app's container."""
    found: list[Json] = app.get("container", {}).get("volumes", [])
    return found


def _ports(app: Json) -> None:
    numbers = app.pop("ports", None)
    if numbers is not None and "portDefinitions" not in app:
        app["portDefinitions"] = [{"port": number} for number in numbers]
    if app["networks"][0].get("mode") != "host":
        return
    definitions = app.get("portDefinitions", [{"port": 0, "name": "default"}])
    app["portDefinitions"] = [{"labels": {}, "port": 0, "protocol": "tcp", **one} for one in definitions]


def _container(app: Json) -> None:
    container = app.get("container")
    if container is not None:
        kind = "DOCKER" if container.get("docker") and "type" not in container else "MESOS"
        app["container"] = {"type": kind, "volumes": [], **container}


def _health_check(check: Json, app: Json) -> Json:
    filled = {**HEALTH_DEFAULTS, **check}
    if filled["protocol"] == "COMMAND":
        return filled
    if "port" not in filled:
        filled.setdefault("portIndex", 0)
    if filled["protocol"].endswith(("HTTP", "HTTPS")):
        filled.setdefault("path", "/")
        if not filled["protocol"].startswith("MESOS_"):
            filled.setdefault("ignoreHttp1xx", False)
    return filled


def _upgrade_default(app: Json) -> Json:
    if app["labels"].get(SINGLE_INSTANCE) == "true":
        return {"minimumHealthCapacity": 0, "maximumOverCapacity": 0}
    if any("external" in volume or "persistent" in volume for volume in volumes(app)):
        return {"minimumHealthCapacity": 0.5, "maximumOverCapacity": 0}
    return {"minimumHealthCapacity": 1, "maximumOverCapacity": 1}


def _unreachable(app: Json) -> Any:
    given = app.get("unreachableStrategy")
    if is_resident(app):
        return "disabled"
    if isinstance(given, str):
        return given
    return {"inactiveAfterSeconds": 0, "expungeAfterSeconds": 0, **(given or {})}


def config_of(app: Json) -> Json:
    """What makes a restart necessary when it changes: all but the number of instances and the versions."""
    return {key: value for key, value in app.items() if key not in {"instances", "version", "versionInfo"}}


@dataclass(frozen=True)
class App:
    """A versioned app; `document` is what the API shows."""

    document: Json

    @property
    def id(self) -> str:
        """The absolute id."""
        return str(self.document["id"])

    @property
    def version(self) -> str:
        """The version's timestamp."""
        return str(self.document["version"])

    @property
    def config_version(self) -> str:
        """The version that last changed anything but the number of instances."""
        return str(self.document["versionInfo"]["lastConfigChangeAt"])

    @property
    def instances(self) -> int:
        """How many are wanted."""
        return int(self.document["instances"])

    @property
    def has_health_checks(self) -> bool:
        """True if instances must be healthy to count."""
        return bool(self.document.get("healthChecks"))

    @property
    def readiness_check(self) -> Json | None:
        """The readiness check, if any."""
        return next(iter(self.document.get("readinessChecks", [])), None)

    @property
    def dependencies(self) -> list[str]:
        """Ids of the apps and groups it depends on."""
        found: list[str] = self.document.get("dependencies", [])
        return found

    @property
    def name(self) -> str:
        """The Mesos task's name: the id's parts, reversed and joined by dots."""
        return ".".join(reversed(self.id.strip("/").split("/")))

    @property
    def role(self) -> str:
        """The Mesos role its resources are allocated to."""
        return str(self.document["role"])

    def restart_strategy(self, running: int) -> tuple[int, int]:
        """(how many to kill at once, most instances at any time), as Marathon's TaskReplaceActor computes it."""
        strategy = self.document["upgradeStrategy"]
        least = math.ceil(self.instances * strategy["minimumHealthCapacity"])
        most = int(self.instances * (1 + strategy["maximumOverCapacity"]))
        kill = max(0, running - least)
        if least == most and most <= running:
            if is_resident(self.document):
                kill = running - least + 1
            else:
                most += 1
        return kill, most
