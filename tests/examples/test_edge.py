"""Labels and healthy tasks in, routes and HAProxy's configuration out."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from edge.haproxy import configuration
from edge.routes import Server, routes

LABELS = {"HAPROXY_GROUP": "external", "HAPROXY_0_VHOST": "orders.example.org,www.example.org"}


def task(host: str = "10.0.2.11", *, state: str = "TASK_RUNNING", alive: bool | None = True) -> dict[str, Any]:
    results = [] if alive is None else [{"alive": alive}]
    return {"host": host, "ports": [3301, 3302], "state": state, "healthCheckResults": results}


def app(*tasks: dict[str, Any], **changes: Any) -> dict[str, Any]:
    checks = [{"protocol": "MESOS_HTTP", "path": "/healthz"}]
    return {"id": "/orders", "labels": LABELS, "healthChecks": checks, "tasks": list(tasks), **changes}


@pytest.mark.parametrize(
    ("found", "servers"),
    [
        (app(task()), [Server("10.0.2.11", 3301)]),
        (app(task(alive=False)), []),
        (app(task(alive=None)), []),
        (app(task(alive=None), healthChecks=[]), [Server("10.0.2.11", 3301)]),
        (app(task(state="TASK_STAGING")), []),
        (app(task("10.0.2.12"), task()), [Server("10.0.2.11", 3301), Server("10.0.2.12", 3301)]),
        (app(task(), labels={**LABELS, "HAPROXY_0_VHOST": "", "HAPROXY_1_PORT": "8000"}), [Server("10.0.2.11", 3302)]),
    ],
)
def test_only_healthy_tasks_are_routed_to(found: dict[str, Any], servers: list[Server]) -> None:
    assert list(routes([found], "external")[-1].servers) == servers


@pytest.mark.parametrize("labels", [{}, {"HAPROXY_GROUP": "internal", "HAPROXY_0_VHOST": "a"}])
def test_apps_of_other_groups_are_left_alone(labels: dict[str, str]) -> None:
    assert routes([app(task(), labels=labels)], "external") == ()


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")
def test_haproxy_takes_the_configuration(tmp_path: Path) -> None:
    found = routes([app(task(), labels={**LABELS, "HAPROXY_1_PORT": "8000"}), app(id="/none")], "external")
    text = configuration(found, address="127.0.0.1", port=18080, health_port=19090)
    (tmp_path / "haproxy.cfg").write_text(text)
    done = subprocess.run(
        ["haproxy", "-c", "-f", str(tmp_path / "haproxy.cfg")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_order_of_apps_does_not_matter() -> None:
    apps = [app(task()), app(task("10.0.2.12"), id="/other")]
    texts = {
        configuration(routes(order, "external"), address="", port=80, health_port=9090) for order in (apps, apps[::-1])
    }
    assert len(texts) == 1
