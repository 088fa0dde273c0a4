"""Health checks against a real listener on this machine's loopback."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from rehearsal.dns.alarms import Alarm, Metric, State
from rehearsal.dns.health_checks import HealthCheck, HealthChecks, Watch, probe


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(int(self.path.strip("/")))
            self.end_headers()
            self.wfile.write(b"all is well")

        def log_message(self, format: str, *args: object) -> None:
            pass

    made = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


@pytest.mark.parametrize(
    ("kind", "path", "search", "healthy"),
    [
        ("HTTP", "/200", None, True),
        ("HTTP", "/302", None, True),
        ("HTTP", "/404", None, False),
        ("HTTP_STR_MATCH", "/200", "is well", True),
        ("HTTP_STR_MATCH", "/200", "is ill", False),
        ("TCP", "/", None, True),
    ],
)
def test_one_look(server: HTTPServer, kind: str, path: str, search: str | None, healthy: bool) -> None:
    check = HealthCheck(id="1", type=kind, port=server.server_port, path=path, search=search)
    assert probe(check, "127.0.0.1")[0] is healthy


def test_it_turns_after_the_threshold_and_can_be_inverted(server: HTTPServer) -> None:
    down = HealthCheck(
        id="down", type="HTTP", address="127.0.0.1", port=server.server_port, path="/500", interval=0.1, threshold=3
    )
    inverted = HealthCheck(
        id="up",
        type="HTTP",
        address="127.0.0.1",
        port=server.server_port,
        path="/500",
        interval=0.1,
        threshold=1,
        inverted=True,
    )
    either = HealthCheck(id="either", type="CALCULATED", children=("down", "up"), healthy_children=1)
    checks = HealthChecks(lambda name: [], lambda alarm: State.OK)
    checks.apply([down, inverted, either])
    assert checks.is_healthy("down"), "a new check counts as healthy"
    deadline = time.monotonic() + 5
    while checks.is_healthy("down") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not checks.is_healthy("down")
    assert checks.is_healthy("up")
    assert checks.is_healthy("either")
    checks.apply([])


ALARM = Alarm(
    name="a",
    region="us-west-2",
    metric=Metric(namespace="n", name="m"),
    statistic="Maximum",
    comparison="GreaterThanThreshold",
    threshold=0.5,
    period=60,
)
OK, BREACHING, SILENT = State.OK, State.ALARM, State.INSUFFICIENT_DATA


def watching(states: list[State], *checks: HealthCheck) -> tuple[HealthChecks, list[Watch]]:
    """Checks that look when they are told to, at a stream that says these states in turn."""
    watches: list[Watch] = []
    made = HealthChecks(lambda name: [], lambda alarm: states.pop(0), watches.append)
    made.apply(checks)
    return made, watches


@pytest.mark.parametrize(
    ("without_data", "states", "is_healthy"),
    [
        ("LastKnownStatus", [], True),  # new
        ("LastKnownStatus", [SILENT], True),
        ("LastKnownStatus", [OK], True),
        ("LastKnownStatus", [BREACHING], False),
        ("LastKnownStatus", [BREACHING, SILENT, SILENT], False),
        ("LastKnownStatus", [BREACHING, SILENT, OK, SILENT], True),
        ("Healthy", [BREACHING, SILENT], True),
        ("Healthy", [BREACHING], False),
        ("Unhealthy", [OK, SILENT], False),
        ("Unhealthy", [OK], True),
    ],
)
@pytest.mark.parametrize("inverted", [False, True])
def test_a_check_of_an_alarm(without_data: str, states: list[State], is_healthy: bool, inverted: bool) -> None:
    check = HealthCheck(
        id="1", type="CLOUDWATCH_METRIC", alarm=ALARM, without_data=without_data, inverted=inverted, threshold=3
    )
    checks, (watch,) = watching(list(states), check)
    for _ in states:
        watch.look()
    assert checks.is_healthy("1") is (is_healthy is not inverted)


def test_a_check_that_is_changed_has_no_last_status() -> None:
    check = HealthCheck(id="1", type="CLOUDWATCH_METRIC", alarm=ALARM)
    checks, watches = watching([BREACHING], check)
    watches[0].look()
    checks.apply([check])
    assert not checks.is_healthy("1")
    checks.apply([replace(check, without_data="Healthy")])
    assert checks.is_healthy("1")


def test_what_is_disabled_or_calculated_looks_at_nothing() -> None:
    disabled = HealthCheck(id="1", type="CLOUDWATCH_METRIC", alarm=ALARM, disabled=True)
    checks, watches = watching([], disabled, HealthCheck(id="2", type="CALCULATED"))
    assert (checks.is_healthy("1"), watches) == (True, [])


def test_what_was_seen_of_an_alarm_is_told() -> None:
    check = HealthCheck(id="1", type="CLOUDWATCH_METRIC", alarm=ALARM)
    checks, (watch,) = watching([BREACHING, SILENT], check)
    said = [checks.observation("1").text]
    for _ in range(2):
        watch.look()
        said.append(checks.observation("1").text)
    assert said == ["Unknown: not checked yet", "a in us-west-2: ALARM", "Insufficient data: LastKnownStatus"]
