"""Marathon's rules for an app, each as (path, message) when broken."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from rehearsal.cluster.marathon.app import SINGLE_INSTANCE, volumes
from rehearsal.cluster.settings import Json

Problem = tuple[str, str]

SEGMENT = re.compile(r"^(([a-z0-9]|[a-z0-9][a-z0-9\-]*[a-z0-9])\.)*([a-z0-9]|[a-z0-9][a-z0-9\-]*[a-z0-9])$|^(\.|\.\.)$")
RESERVED = {"restart", "tasks", "versions", ".", ".."}
OPERATORS = {"UNIQUE", "CLUSTER", "GROUP_BY", "LIKE", "UNLIKE", "MAX_PER", "IS"}
SECRETS_MESSAGE = "Feature secrets is not enabled. Enable with --enable_features secrets)"


def problems(app: Json, others: list[Json], *, enforce_group_role: bool) -> list[Problem]:
    """Every rule that the app (with defaults) breaks, given the cluster's other apps."""
    rules = (_id, _command, _constraints, _health_checks, _readiness, _ports, _secrets, _single_instance,
             _volumes, _unreachable)  # fmt: skip
    found = [problem for rule in rules for problem in rule(app)]
    found += _roles(app, enforce_group_role)
    found += _volume_names(app, others)
    return found


def _id(app: Json) -> Iterator[Problem]:
    segments = app["id"].strip("/").split("/")
    if not all(SEGMENT.match(segment) for segment in segments):
        yield "/id", f"must fully match regular expression '{SEGMENT.pattern}'"
    if segments[-1] in RESERVED:
        yield "/id", f"must not be one of {', '.join(sorted(RESERVED))}"


def _command(app: Json) -> Iterator[Problem]:
    has_image = bool(app.get("container", {}).get("docker"))
    if (app.get("cmd") and app.get("args")) or not (app.get("cmd") or app.get("args") or has_image):
        yield "/", "AppDefinition must either contain one of 'cmd' or 'args', and/or a 'container'."


def _constraints(app: Json) -> Iterator[Problem]:
    for index, constraint in enumerate(app.get("constraints", [])):
        message = _constraint(constraint)
        if message:
            yield f"/constraints({index})", message


def _constraint(constraint: list[str]) -> str | None:
    operator, value = constraint[1], constraint[2] if len(constraint) > 2 else None
    if operator not in OPERATORS:
        return "Invalid constraint operator: Must be one of UNIQUE, CLUSTER, GROUP_BY, LIKE, UNLIKE, MAX_PER or IS"
    if operator == "UNIQUE":
        return "Value specified but not used" if value else None
    if operator == "GROUP_BY":
        return None if value is None or value.isdigit() else "Value was specified but is not a number"
    if operator == "MAX_PER":
        return None if value and value.isdigit() else "Value was not specified or is not a number"
    if operator in {"LIKE", "UNLIKE"}:
        return _regex(value)
    if operator == "IS" and not re.fullmatch(r"[a-zA-Z0-9_/.-]+", value or ""):
        return "IS only supports values matching [a-zA-Z0-9_/.-]*"
    return None


def _regex(value: str | None) -> str | None:
    if not value:
        return "A regular expression value must be provided"
    try:
        re.compile(value)
    except re.error as error:
        return f"'{value}' is not a valid regular expression: {error}"
    return None


def _health_checks(app: Json) -> Iterator[Problem]:
    checks = app.get("healthChecks", [])
    by_mesos = [check for check in checks if check["protocol"].startswith("MESOS_") or check["protocol"] == "COMMAND"]
    if len(by_mesos) > 1:
        yield "/healthChecks", "AppDefinition can contain at most one Mesos health check"
    count = len(port_list(app))
    for index, check in enumerate(checks):
        if check["protocol"] == "COMMAND":
            if "command" not in check:
                yield f"/healthChecks({index})", "COMMAND health checks must have a command"
        elif "portIndex" in check and check["portIndex"] >= count:
            yield (
                f"/healthChecks({index})",
                "Health check port indices must address an element of the ports array or container port mappings.",
            )


def _readiness(app: Json) -> Iterator[Problem]:
    names = {port.get("name") for port in port_list(app)}
    for index, check in enumerate(app.get("readinessChecks", [])):
        if check["timeoutSeconds"] >= check["intervalSeconds"]:
            yield f"/readinessChecks({index})/timeoutSeconds", "must be less than intervalSeconds"
        if check["portName"] not in names:
            yield f"/readinessChecks({index})/portName", "port name must exist in the list of ports"


def _ports(app: Json) -> Iterator[Problem]:
    if app["networks"][0]["mode"] == "host":
        if app.get("container", {}).get("portMappings"):
            yield "/container/portMappings", "must be empty"
    elif app.get("portDefinitions"):
        yield "/portDefinitions", "must be empty"
    names = Counter(port["name"] for port in port_list(app) if port.get("name"))
    if any(count > 1 for count in names.values()):
        yield "/portDefinitions", "Port names must be unique."
    numbers = Counter(port["port"] for port in app.get("portDefinitions", []) if port["port"])
    if any(count > 1 for count in numbers.values()):
        yield "/portDefinitions", "Ports must be unique."


def port_list(app: Json) -> list[Json]:
    """The ports in the order of PORT0, PORT1, …"""
    if app["networks"][0]["mode"] == "host":
        found: list[Json] = app.get("portDefinitions", [])
    else:
        found = app.get("container", {}).get("portMappings", [])
    return found


def _secrets(app: Json) -> Iterator[Problem]:
    if app.get("secrets"):
        yield "/secrets", SECRETS_MESSAGE
    for name, value in app.get("env", {}).items():
        if isinstance(value, dict):
            yield f"/env({name})", SECRETS_MESSAGE
    for index, volume in enumerate(volumes(app)):
        if "secret" in volume:
            yield f"/container/volumes({index})", SECRETS_MESSAGE


def _single_instance(app: Json) -> Iterator[Problem]:
    if app["labels"].get(SINGLE_INSTANCE) != "true":
        return
    if app["instances"] > 1:
        yield "/instances", "Single instance app may only have one instance"
    strategy = app["upgradeStrategy"]
    if strategy["maximumOverCapacity"] or strategy["minimumHealthCapacity"]:
        yield "/upgradeStrategy", "Single instance app needs minimumHealthCapacity and maximumOverCapacity 0"


def _volumes(app: Json) -> Iterator[Problem]:
    for index, volume in enumerate(volumes(app)):
        if "external" in volume:
            for path, message in _external(volume, app):
                yield f"/container/volumes({index}){path}", message


def _external(volume: Json, app: Json) -> Iterator[Problem]:
    external: Json = volume["external"]
    if not re.fullmatch(r"[a-zA-Z0-9-]+", external.get("name", "")):
        yield "/external/name", "must fully match regular expression '^[a-zA-Z0-9-]+$'"
    if external.get("provider") != "dvdi":
        yield "/external/provider", "is unknown provider"
    if not external.get("options", {}).get("dvdi/driver"):
        yield "/external/options", 'undefined option "dvdi/driver"'
    if app["instances"] > 1 and not external.get("shared"):
        yield "/instances", "Only 0 or 1 instances of an app may use external volumes"
    if app["container"]["type"] == "MESOS":
        if volume.get("mode") != "RW":
            yield "/mode", "must be equal to RW"
        if "/" in volume["containerPath"]:
            yield "/containerPath", "must not contain '/': a relative, single-level path is needed"
    elif "size" in external:
        yield "/external/size", "must be undefined"


def _unreachable(app: Json) -> Iterator[Problem]:
    strategy: Any = app["unreachableStrategy"]
    if isinstance(strategy, dict) and strategy["inactiveAfterSeconds"] > strategy["expungeAfterSeconds"]:
        yield "/unreachableStrategy", "inactiveAfterSeconds must be less or equal to expungeAfterSeconds"


def _roles(app: Json, enforce_group_role: bool) -> Iterator[Problem]:
    segments = app["id"].strip("/").split("/")
    group_role = segments[0] if enforce_group_role and len(segments) > 1 else None
    if group_role is not None and app["role"] != group_role:
        yield "/role", f"It is not possible to use role '{app['role']}'; expected '{group_role}'"
    accepted = app["acceptedResourceRoles"]
    if not accepted:
        yield "/acceptedResourceRoles", "must not be empty"
    strange = [role for role in accepted if role not in {"*", app["role"]}]
    if strange:
        yield (
            "/acceptedResourceRoles",
            (
                "acceptedResourceRoles can only contain * and the app's role "
                f"('{app['role']}'), not {', '.join(strange)}"
            ),
        )


def _volume_names(app: Json, others: list[Json]) -> Iterator[Problem]:
    wanted = [volume["external"] for volume in volumes(app) if "external" in volume]
    mine = {external["name"] for external in wanted if "name" in external and not external.get("shared")}
    for other in others:
        for volume in volumes(other):
            name = volume.get("external", {}).get("name")
            if other["id"] != app["id"] and name in mine:
                yield "/container/volumes", f"Requested new external volume {name} is used already by {other['id']}"
