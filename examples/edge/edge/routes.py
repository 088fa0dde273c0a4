"""From Marathon's apps to routes: which names go to which tasks. No I/O."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

App = Mapping[str, Any]


@dataclass(frozen=True, order=True)
class Server:
    """One healthy task's port."""

    host: str
    port: int

    @property
    def name(self) -> str:
        return re.sub(r"[^A-Za-z0-9]", "_", f"{self.host}_{self.port}")


@dataclass(frozen=True)
class Route:
    """Requests of these host names, or of a service port, and the tasks that answer them."""

    app_id: str
    index: int
    hosts: tuple[str, ...]
    port: int | None  # None: by host name on port 80
    health_path: str | None
    servers: tuple[Server, ...]

    @property
    def name(self) -> str:
        return re.sub(r"[^A-Za-z0-9]", "_", f"{self.app_id.strip('/')}_{self.index}")


def routes(apps: Iterable[App], group: str) -> tuple[Route, ...]:
    """The routes of all apps labelled HAPROXY_GROUP=group, in a stable order."""
    found = [route for app in apps if group in _groups(app) for route in _of_app(app)]
    return tuple(sorted(found, key=lambda route: (route.app_id, route.index)))


def _groups(app: App) -> list[str]:
    return str(app.get("labels", {}).get("HAPROXY_GROUP", "")).split(",")


def _of_app(app: App) -> Iterator[Route]:
    labels = app.get("labels", {})
    indexes = sorted({int(m[1]) for m in (re.match(r"HAPROXY_(\d+)_(VHOST|PORT)$", key) for key in labels) if m})
    for index in indexes:
        port = labels.get(f"HAPROXY_{index}_PORT")
        yield Route(
            app_id=app["id"],
            index=index,
            hosts=tuple(filter(None, labels.get(f"HAPROXY_{index}_VHOST", "").split(","))),
            port=int(port) if port else None,
            health_path=_health_path(app),
            servers=tuple(sorted(_servers(app, index))),
        )


def _health_path(app: App) -> str | None:
    checks = [c for c in app.get("healthChecks", []) if "HTTP" in c.get("protocol", "HTTP")]
    return checks[0].get("path", "/") if checks else None


def _servers(app: App, index: int) -> Iterator[Server]:
    checked = bool(app.get("healthChecks"))
    for task in app.get("tasks", []):
        ports = task.get("ports") or []
        if task.get("state") == "TASK_RUNNING" and index < len(ports) and (not checked or _is_healthy(task)):
            yield Server(task["host"], ports[index])


def _is_healthy(task: Mapping[str, Any]) -> bool:
    results = task.get("healthCheckResults") or []
    return bool(results) and all(result.get("alive") for result in results)
