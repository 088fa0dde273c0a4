"""Marathon app definitions in one spelling, so that what a server fills in is no drift.

Fields and defaults: marathon/raml-1.11.24 and FACTS 5 (1.8 to 1.11 agree but where said).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Definition = Mapping[str, Any]

SERVICE_PORTS = range(10000, 20001)  # what Marathon picks from for a port declared as 0

DEFAULTS: Definition = {
    "acceptedResourceRoles": ["*"],
    "args": [],
    "backoffFactor": 1.15,
    "backoffSeconds": 1,
    "constraints": [],
    "cpus": 1,
    "dependencies": [],
    "disk": 0,
    "env": {},
    "executor": "",
    "fetch": [],
    "gpus": 0,
    "healthChecks": [],
    "instances": 1,
    "killSelection": "YOUNGEST_FIRST",
    "labels": {},
    "maxLaunchDelaySeconds": 300,
    "mem": 128,
    "networks": [{"mode": "host"}],
    "portDefinitions": [{}],
    "readinessChecks": [],
    "requirePorts": False,
    "resourceLimits": {},
    "secrets": {},
    "unreachableStrategy": {"inactiveAfterSeconds": 0, "expungeAfterSeconds": 0},
}
NO_DEFAULT = frozenset(
    {"id", "cmd", "container", "check", "executorResources", "taskKillGracePeriodSeconds", "upgradeStrategy", "user"}
)
FIELDS = frozenset(DEFAULTS) | NO_DEFAULT | {"role"}  # others are the server's own, or deprecated spellings

MESOS_ROLES = ("*", "slave_public")  # what DC/OS's Marathon registers with, and so reports
HEALTH_CHECK: Definition = {
    "protocol": "HTTP",
    "gracePeriodSeconds": 300,
    "intervalSeconds": 60,
    "timeoutSeconds": 20,
    "maxConsecutiveFailures": 3,
    "delaySeconds": 15,
    "ignoreHttp1xx": False,
    "ipProtocol": "IPv4",
    "portIndex": 0,
}
FETCH: Definition = {"extract": True, "executable": False, "cache": False}
PORT: Definition = {"protocol": "tcp", "labels": {}, "name": "default"}
VOLUME: Definition = {"mode": "RW"}
EXTERNAL: Definition = {"shared": False}
CONTAINER: Definition = {"type": "MESOS", "volumes": [], "portMappings": []}
DOCKER: Definition = {"forcePullImage": False, "privileged": False, "parameters": [], "portMappings": []}
PLAIN_UPGRADE: Definition = {"minimumHealthCapacity": 1, "maximumOverCapacity": 1}
VOLUME_UPGRADE: Definition = {"minimumHealthCapacity": 0.5, "maximumOverCapacity": 0}


def normal(app: Definition) -> dict[str, Any]:
    """The definition without what a server fills in by itself, in one spelling of numbers and ids."""
    found = {key: value for key, value in spelt(app).items() if key in FIELDS}
    found["id"] = "/" + str(app["id"]).strip("/")
    _each(found, "healthChecks", _health_check)
    _each(found, "fetch", lambda item: _without(item, FETCH))
    _each(found, "portDefinitions", lambda item: _port(item, bool(found.get("requirePorts"))))
    if "container" in found:
        found["container"] = _container(found["container"])
    upgrade = VOLUME_UPGRADE if has_volumes(found) else PLAIN_UPGRADE
    if found.get("upgradeStrategy") == upgrade:
        del found["upgradeStrategy"]
    if found.get("role") in MESOS_ROLES:
        del found["role"]
    return {key: value for key, value in _without(found, DEFAULTS).items() if value not in ({}, None)}


def spelt(value: Definition) -> dict[str, Any]:
    """In one spelling, which has one digest: 2.0 and 2 are one number, and null says what a missing key says."""
    return {key: _spelt(item) for key, item in value.items() if item is not None}


def has_volumes(app: Definition) -> bool:
    """Whether it owns persistent or external volumes."""
    volumes = (app.get("container") or {}).get("volumes", [])
    return any("external" in volume or "persistent" in volume for volume in volumes)


def external_volumes(app: Definition) -> tuple[str, ...]:
    """Names of the external volumes that it mounts."""
    volumes = (app.get("container") or {}).get("volumes", [])
    return tuple(volume["external"]["name"] for volume in volumes if "external" in volume)


def _container(value: Definition) -> dict[str, Any]:
    found = dict(value)
    _each(found, "volumes", _volume)
    if "docker" in found:
        found["docker"] = _without(found["docker"], DOCKER)
    return _without(found, CONTAINER)


def _volume(value: Definition) -> dict[str, Any]:
    found = _without(value, VOLUME)
    if "external" in found:
        found["external"] = _without(found["external"], EXTERNAL)
    return found


def _health_check(value: Definition) -> dict[str, Any]:
    found = _without(value, HEALTH_CHECK)
    return found if found.get("path") != "/" else _without(found, {"path": "/"})


def _port(value: Definition, is_required: bool) -> dict[str, Any]:
    found = _without(value, PORT)
    if not is_required and (found.get("port") == 0 or found.get("port") in SERVICE_PORTS):
        del found["port"]
    return found


def _each(found: dict[str, Any], key: str, normalised: Callable[[Definition], dict[str, Any]]) -> None:
    if isinstance(found.get(key), Sequence):
        found[key] = [normalised(item) for item in found[key]]


def _without(value: Definition, defaults: Definition) -> dict[str, Any]:
    return {key: item for key, item in value.items() if key not in defaults or item != defaults[key]}


def _spelt(value: Any) -> Any:
    if isinstance(value, Mapping):
        return spelt(value)
    if isinstance(value, list | tuple):
        return [_spelt(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
