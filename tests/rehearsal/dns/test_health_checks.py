"""Health checks against a real listener on this machine's loopback."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from rehearsal.dns.health_checks import HealthCheck, HealthChecks, probe


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
    checks = HealthChecks(lambda name: [])
    checks.apply([down, inverted, either])
    assert checks.is_healthy("down"), "a new check counts as healthy"
    deadline = time.monotonic() + 5
    while checks.is_healthy("down") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not checks.is_healthy("down")
    assert checks.is_healthy("up")
    assert checks.is_healthy("either")
    checks.apply([])
