"""The types of an app's fields (mesosphere/marathon 1.11 docs/docs/rest-api/public/api/v2/types/*.raml)."""

from __future__ import annotations

from typing import Any

from jsonschema import Draft7Validator
from jsonschema.exceptions import ValidationError

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
BOOL: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
AMOUNT: Schema = {"type": "number", "minimum": 0}
PORT: Schema = {"type": "integer", "minimum": 0, "maximum": 65535}
LABELS: Schema = {"type": "object", "additionalProperties": TEXT}
PORT_NAME: Schema = {"type": "string", "pattern": "^[a-z0-9-]+$"}


def _object(properties: dict[str, Schema], *required: str) -> Schema:
    return {"type": "object", "properties": properties, "required": list(required)}


def _list(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


def _one_of(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


PORT_FIELDS = {"protocol": _one_of("tcp", "udp", "udp,tcp"), "labels": LABELS, "name": PORT_NAME}
VOLUME = _object({
    "containerPath": {"type": "string", "minLength": 1},
    "hostPath": {"type": "string", "minLength": 1},
    "mode": _one_of("RO", "RW"),
    "external": _object({"name": TEXT, "provider": TEXT, "size": COUNT, "shared": BOOL, "options": LABELS}),
    "persistent": _object({"size": COUNT, "type": _one_of("root", "path", "mount")}, "size"),
    "secret": TEXT,
}, "containerPath")  # fmt: skip
CONTAINER = _object({
    "type": _one_of("MESOS", "DOCKER"),
    "docker": _object({"image": {"type": "string", "minLength": 1}}),
    "volumes": _list(VOLUME),
    "portMappings": _list(_object({
        "containerPort": PORT, "hostPort": PORT, "servicePort": PORT, **PORT_FIELDS})),
})  # fmt: skip
HEALTH_CHECK = _object({
    "protocol": _one_of("HTTP", "HTTPS", "TCP", "COMMAND", "MESOS_TCP", "MESOS_HTTP", "MESOS_HTTPS"),
    "command": _object({"value": TEXT}, "value"),
    "gracePeriodSeconds": COUNT, "intervalSeconds": COUNT, "maxConsecutiveFailures": COUNT,
    "timeoutSeconds": COUNT, "delaySeconds": COUNT, "path": TEXT, "port": PORT, "portIndex": PORT,
    "ignoreHttp1xx": BOOL, "ipProtocol": _one_of("IPv4", "IPv6"),
})  # fmt: skip
READINESS_CHECK = _object({
    "name": {"type": "string", "minLength": 1}, "protocol": _one_of("HTTP", "HTTPS"), "path": TEXT,
    "portName": PORT_NAME, "intervalSeconds": COUNT, "timeoutSeconds": {"type": "integer", "minimum": 1},
    "httpStatusCodesForReady": _list({"type": "integer", "minimum": 100, "maximum": 999}, minItems=1),
    "preserveLastResponse": BOOL,
})  # fmt: skip
FETCH = _object({"uri": TEXT, "extract": BOOL, "executable": BOOL, "cache": BOOL, "destPath": TEXT}, "uri")
UNREACHABLE: Schema = {"anyOf": [
    _one_of("disabled"), _object({"inactiveAfterSeconds": COUNT, "expungeAfterSeconds": COUNT})]}  # fmt: skip
FRACTION: Schema = {"type": "number", "minimum": 0, "maximum": 1}

APP = _object({
    "id": TEXT,
    "acceptedResourceRoles": _list(TEXT, uniqueItems=True),
    "args": _list(TEXT),
    "backoffFactor": {"type": "number", "minimum": 1},
    "backoffSeconds": COUNT,
    "cmd": {"type": "string", "minLength": 1},
    "constraints": _list(_list(TEXT, minItems=2, maxItems=3)),
    "container": CONTAINER,
    "cpus": {"type": "number", "minimum": 0.001},
    "dependencies": _list(TEXT, uniqueItems=True),
    "disk": AMOUNT,
    "env": {"type": "object", "additionalProperties": {"anyOf": [TEXT, _object({"secret": TEXT}, "secret")]}},
    "executor": TEXT,
    "fetch": _list(FETCH),
    "gpus": COUNT,
    "healthChecks": _list(HEALTH_CHECK),
    "instances": COUNT,
    "killSelection": _one_of("YOUNGEST_FIRST", "OLDEST_FIRST"),
    "labels": LABELS,
    "maxLaunchDelaySeconds": COUNT,
    "mem": AMOUNT,
    "networks": _list(_object({"name": TEXT, "mode": _one_of("container", "container/bridge", "host"),
                               "labels": LABELS})),
    "portDefinitions": _list(_object({"port": PORT, **PORT_FIELDS})),
    "ports": _list(PORT),
    "readinessChecks": _list(READINESS_CHECK, maxItems=1),
    "requirePorts": BOOL,
    "residency": {"type": "object"},
    "role": {"type": "string", "minLength": 1},
    "secrets": {"type": "object"},
    "taskKillGracePeriodSeconds": COUNT,
    "tty": BOOL,
    "unreachableStrategy": UNREACHABLE,
    "upgradeStrategy": _object({"maximumOverCapacity": FRACTION, "minimumHealthCapacity": FRACTION}),
    "uris": _list(TEXT),
    "user": TEXT,
    "version": TEXT,
})  # fmt: skip

PLAY_TYPES = {"string": "jsstring", "integer": "jsnumber", "number": "jsnumber", "boolean": "jsboolean",
              "array": "jsarray", "object": "jsobject"}  # fmt: skip


def type_errors(document: Any) -> list[tuple[str, str]]:
    """(path, message) for each field of the wrong type or out of its range, in Marathon's words."""
    return [(_path(error), _message(error)) for error in Draft7Validator(APP).iter_errors(document)]


def _path(error: ValidationError) -> str:
    parts = [f"({part})" if isinstance(part, int) else f"/{part}" for part in error.absolute_path]
    required: Any = error.validator_value if error.validator == "required" else []
    given: Any = error.instance
    missing = [f"/{name}" for name in required if name not in given]
    return "".join([*parts, *missing[:1]]) or "/"


def _message(error: ValidationError) -> str:
    if error.validator == "type":
        return f"error.expected.{PLAY_TYPES.get(str(error.validator_value), error.validator_value)}"
    if error.validator == "required":
        return "error.path.missing"
    if error.validator in {"minimum", "maximum"}:
        word = "minimum" if error.validator == "minimum" else "maximum"
        return f"error.{word[:3]}: {error.validator_value}"
    return str(error.message)
