"""What Marathon asks Mesos to run for an instance: command, environment, checks, volumes."""

from __future__ import annotations

import re
from typing import Any

from rehearsal.cluster.marathon.app import App, volumes
from rehearsal.cluster.marathon.instances import Instance
from rehearsal.cluster.marathon.validation import port_list
from rehearsal.cluster.settings import Json

LABEL_LIMIT = 512


def task_info(app: App, instance: Instance, framework_id: str) -> Json:
    """The task as the agent takes it."""
    document = app.document
    return {
        "task_id": instance.task_id, "name": app.name, "framework_id": framework_id, "role": instance.role,
        "command": _command(app, instance), "resources": instance.resources, "container": _container(app),
        "health_check": _mesos_check(app, instance), "labels": document["labels"],
        "kill_grace_seconds": document.get("taskKillGracePeriodSeconds", 3),
        "discovery": {"visibility": "FRAMEWORK", "name": app.name, "ports": {"ports": _discovery_ports(app, instance)}},
        "app_id": app.id,
    }  # fmt: skip


def _command(app: App, instance: Instance) -> Json:
    document = app.document
    return {
        "shell": "cmd" in document, "value": document.get("cmd"), "arguments": document.get("args", []),
        "user": document.get("user", "root"), "environment": environment(app, instance),
        "uris": [
            {"value": fetch["uri"], "extract": fetch["extract"], "executable": fetch["executable"],
             "cache": fetch["cache"], "output_file": fetch.get("destPath", "")}
            for fetch in document.get("fetch", [])
        ],
    }  # fmt: skip


def environment(app: App, instance: Instance) -> dict[str, str]:
    """The variables that Marathon sets; the app's own win."""
    document = app.document
    found = {
        "HOST": instance.host,
        "MARATHON_APP_ID": app.id,
        "MARATHON_APP_VERSION": app.version,
        "MARATHON_APP_RESOURCE_CPUS": str(float(document["cpus"])),
        "MARATHON_APP_RESOURCE_MEM": str(float(document["mem"])),
        "MARATHON_APP_RESOURCE_DISK": str(float(document["disk"])),
        "MARATHON_APP_RESOURCE_GPUS": str(document["gpus"]),
        "MESOS_TASK_ID": instance.task_id,
        **_label_variables(document["labels"]),
        **_port_variables(app, instance.ports),
    }
    return {**found, **{name: str(value) for name, value in document.get("env", {}).items()}}


def _label_variables(labels: dict[str, str]) -> dict[str, str]:
    names = {re.sub(r"[^A-Z0-9_]", "_", name.upper()): value for name, value in labels.items()}
    short = {name: value for name, value in names.items() if len(value) <= LABEL_LIMIT}
    return {"MARATHON_APP_LABELS": " ".join(sorted(short)),
            **{f"MARATHON_APP_LABEL_{name}": value for name, value in short.items()}}  # fmt: skip


def _port_variables(app: App, ports: list[int]) -> dict[str, str]:
    if not ports:
        return {}
    found = {"PORT": str(ports[0]), "PORTS": ",".join(map(str, ports))}
    for index, (port, definition) in enumerate(zip(ports, port_list(app.document), strict=False)):
        found[f"PORT{index}"] = str(port)
        if definition.get("port"):
            found[f"PORT_{definition['port']}"] = str(port)
        if definition.get("name"):
            found["PORT_" + re.sub(r"[^A-Z0-9_]", "_", definition["name"].upper())] = str(port)
    return found


def _discovery_ports(app: App, instance: Instance) -> list[Json]:
    return [
        {"number": port, "name": definition.get("name", ""), "protocol": definition.get("protocol", "tcp"),
         "labels": {"labels": [{"key": key, "value": value} for key, value in definition.get("labels", {}).items()]}}
        for port, definition in zip(instance.ports, port_list(app.document), strict=False)
    ]  # fmt: skip


def _container(app: App) -> Json:
    found: list[Json] = []
    for volume in volumes(app.document):
        one: Json = {"container_path": volume["containerPath"], "mode": volume.get("mode", "RW")}
        if "external" in volume:
            external: dict[str, Any] = volume["external"]
            one["external"] = {"name": external["name"], "options": external.get("options", {})}
            if "size" in external:
                one["external"]["size"] = external["size"]
        else:
            one["host_path"] = volume["hostPath"]
        found.append(one)
    return {"type": "MESOS", "volumes": found}


def check_port(check: Json, instance: Instance) -> int | None:
    """The port that a check addresses."""
    if "port" in check:
        return int(check["port"])
    index = check.get("portIndex", 0)
    return instance.ports[index] if index < len(instance.ports) else None


def _mesos_check(app: App, instance: Instance) -> Json | None:
    for check in app.document.get("healthChecks", []):
        kind = check["protocol"].removeprefix("MESOS_")
        if kind == check["protocol"] and kind != "COMMAND":
            continue
        found: Json = {
            "type": "HTTP" if kind == "HTTPS" else kind, "scheme": kind.lower(), "path": check.get("path", "/"),
            "port": check_port(check, instance), "grace_period_seconds": check["gracePeriodSeconds"],
            "interval_seconds": check["intervalSeconds"], "timeout_seconds": check["timeoutSeconds"],
            "delay_seconds": check["delaySeconds"], "consecutive_failures": check["maxConsecutiveFailures"],
        }  # fmt: skip
        if kind == "COMMAND":
            found["command"] = check["command"]["value"]
        return found
    return None
