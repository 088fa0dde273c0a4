"""The public name, asked over a real socket."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from rekindle.errors import GateFailed
from rekindle.inventory import Inventory, Ssh
from rekindle.replay.public_name import PublicName, await_switched

INVENTORY = Inventory(
    environment="dev-dr", region="us-west-2", cluster_name="dev", hosts=(), ssh=Ssh(user="a"), load_balancer="lb"
)


@contextmanager
def answering(status: int) -> Iterator[int]:
    """A service that answers every request alike; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@dataclass
class Names:
    """A resolver whose answers change after a number of questions."""

    before: dict[str, str]
    after: dict[str, str]
    change_at: int
    asked: int = 0
    slept: list[float] = field(default_factory=list)

    def __call__(self, name: str) -> frozenset[str]:
        self.asked += 1
        now = self.after if self.asked > self.change_at else self.before
        return frozenset({now[name]} if name in now else ())

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@dataclass
class Resolver:
    """The machine's resolver, which fails with these codes in turn."""

    codes: list[int]

    def __call__(self, *question: object, **options: object) -> object:
        raise socket.gaierror(self.codes.pop(0), "no luck")


@pytest.mark.parametrize(("status", "is_serving"), [(200, True), (404, True), (401, True), (503, False), (502, False)])
def test_what_answers_with_an_error_of_its_own_does_not_serve(status: int, is_serving: bool) -> None:
    with answering(status) as port:
        assert PublicName("127.0.0.1", port).ask().is_serving is is_serving


def test_silence_is_no_service() -> None:
    with answering(200) as port:
        pass
    answer = PublicName("127.0.0.1", port).ask()
    assert not answer.is_serving
    assert "no answer" in answer.said


def test_a_name_leads_nowhere_yet_while_the_resolver_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", Resolver([socket.EAI_AGAIN]))
    assert not PublicName("orders.example").leads_to("lb")


def test_the_switch_is_over_when_the_name_leads_here_and_is_answered() -> None:
    names = Names({"127.0.0.1": "192.0.2.1", "lb": "203.0.113.1"}, {"127.0.0.1": "203.0.113.1", "lb": "203.0.113.1"}, 6)
    with answering(200) as port:
        told: list[str] = []
        await_switched(PublicName("127.0.0.1", port, names, names.sleep), INVENTORY, told.append)
    assert len(names.slept) == 3
    assert "does not lead to lb yet" in told[0]


def test_a_name_that_never_moves_is_a_gate_that_failed() -> None:
    names = Names({"127.0.0.1": "192.0.2.1", "lb": "203.0.113.1"}, {}, 10_000)
    clock = iter(range(100))
    name = PublicName("127.0.0.1", 1, names, names.sleep)
    with pytest.raises(GateFailed, match="lb"):
        await_switched(name, INVENTORY, lambda _: None, timeout=10, clock=lambda: float(next(clock)))
