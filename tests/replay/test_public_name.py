"""The public name, asked over a real socket."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from rekindle.replay.public_name import PublicName


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


@pytest.mark.parametrize(
    ("of_name", "of_balancer", "leads"),
    [
        ({"203.0.113.1"}, {"203.0.113.1", "203.0.113.2"}, True),
        ({"192.0.2.1"}, {"203.0.113.1"}, False),
        ({"192.0.2.1"}, set(), False),
        (set(), set(), False),
    ],
)
def test_a_name_leads_to_another_when_they_have_an_address_in_common(
    of_name: set[str], of_balancer: set[str], leads: bool
) -> None:
    answers = {"orders.example": frozenset(of_name), "lb": frozenset(of_balancer)}
    assert PublicName("orders.example", resolve=answers.__getitem__).leads_to("lb") is leads
