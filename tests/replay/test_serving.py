"""What counts as dead: a table of what was heard, and real sockets that behave as each line says."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from rekindle.replay import serving
from rekindle.replay.serving import Heard, Prober, Reply, judged, ports

HERE = "127.0.0.1"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
TLS_ALERT = b"\x15\x03\x01\x00\x02\x02\x28"

SERVES, CANNOT_BE_TOLD, DEAD = (True, True), (False, False), (False, True)  # is_serving, is_known
R = Reply


@pytest.mark.parametrize(
    ("heard", "is_"),
    [
        ([], CANNOT_BE_TOLD),
        ([R.SILENT], DEAD),
        ([R.REFUSED], DEAD),
        ([R.SILENT, R.REFUSED], DEAD),
        ([R.SILENT, R.UNTOLD], CANNOT_BE_TOLD),
        ([R.UNTOLD], CANNOT_BE_TOLD),
        ([R.REFUSED, R.PRESENT, R.REFUSED], CANNOT_BE_TOLD),
        ([R.PRESENT], CANNOT_BE_TOLD),
        ([R.SILENT, R.SERVED, R.REFUSED], SERVES),
        ([R.PRESENT, R.SERVED], SERVES),
        ([R.UNTOLD, R.SERVED], SERVES),
    ],
)
def test_only_silence_and_refusal_everywhere_is_dead(heard: list[Reply], is_: tuple[bool, bool]) -> None:
    answer = judged([Heard(reply=reply, said=reply.name) for reply in heard])
    assert (answer.is_serving, answer.is_known) == is_


def test_the_answer_says_what_decided_it_each_thing_once() -> None:
    heard = [Heard(reply=r, said=s) for r, s in [(R.SILENT, "a"), (R.PRESENT, "b"), (R.PRESENT, "b"), (R.PRESENT, "c")]]
    assert judged(heard).said == "b; c"


def test_all_ports_that_the_internet_may_reach_are_asked() -> None:
    assert {80, 443} <= set(ports())
    assert list(ports()) == sorted(set(ports()))


Behave = Callable[[socket.socket], None]


def answers(word: bytes, after: float = 0.0) -> Behave:
    def behave(connection: socket.socket) -> None:
        connection.recv(1000)
        time.sleep(after)
        connection.sendall(word)

    return behave


def resets(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def hangs(connection: socket.socket) -> None:
    connection.recv(1000)
    time.sleep(0.3)


@contextmanager
def listening(behave: Behave) -> Iterator[int]:
    """A port where each connection is treated alike."""
    server = socket.create_server((HERE, 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                behave(connection)

    threading.Thread(target=serve, daemon=True).start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()


def closed_port() -> int:
    with socket.create_server((HERE, 0)) as server:
        return int(server.getsockname()[1])


def prober(*asked: int, **changes: Any) -> Prober:
    known = {"patience": 5.0, "probes": 1, "pause": 0.0, "resolve": lambda name: frozenset({HERE})}
    return Prober(ports=asked, **{**known, **changes})


@pytest.mark.parametrize(
    ("behaviours", "is_", "said"),
    [
        ([answers(OK)], SERVES, "answered 200"),
        ([answers(b"HTTP/1.0 404 No\r\n\r\n")], SERVES, "answered 404"),
        ([answers(b"HTTP/1.1 301 Moved\r\n\r\n")], SERVES, "answered 301"),
        ([answers(b"HTTP/1.1 503 Busy\r\n\r\n")], CANNOT_BE_TOLD, "answered 503"),
        ([answers(b"HTTP/1.1 500 No\r\n\r\n")], CANNOT_BE_TOLD, "answered 500"),
        ([answers(TLS_ALERT)], CANNOT_BE_TOLD, "speaks no HTTP"),
        ([answers(b"")], CANNOT_BE_TOLD, "speaks no HTTP"),
        ([resets], CANNOT_BE_TOLD, "reset by peer"),
        ([hangs], CANNOT_BE_TOLD, "accepts connections: timed out"),
        ([answers(OK, after=0.1)], SERVES, "answered 200"),  # slow, within patience
        ([None], DEAD, "refuses connections"),
        ([None, answers(TLS_ALERT)], CANNOT_BE_TOLD, "speaks no HTTP"),
        ([None, answers(OK)], SERVES, "answered 200"),
        ([answers(b"HTTP/1.1 503 Busy\r\n\r\n"), answers(OK)], SERVES, "answered 200"),
    ],
)
def test_each_port_counts_by_how_it_behaves(behaviours: list[Behave | None], is_: tuple[bool, bool], said: str) -> None:
    with ExitStack() as servers:
        asked = [servers.enter_context(listening(b)) if b else closed_port() for b in behaviours]
        answer = prober(*asked, patience=0.1 if hangs in behaviours else 5.0)("orders.example")
    assert (answer.is_serving, answer.is_known) == is_
    assert said in answer.said


def test_silence_is_waited_for_and_is_dead() -> None:
    with socket.socket() as full:  # whose backlog takes no more: the kernel drops what else comes
        full.bind((HERE, 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        answer = prober(full.getsockname()[1], patience=0.1)("orders.example")
        for one in waiting:
            one.close()
    assert (answer.is_serving, answer.is_known) == DEAD
    assert "keeps silent" in answer.said


def test_every_address_is_asked() -> None:
    with listening(answers(OK)) as port:
        both = prober(port, resolve=lambda name: frozenset({"127.0.0.2", HERE}))("orders.example")
        other = prober(port, resolve=lambda name: frozenset({"127.0.0.2"}))("orders.example")
    assert (both.is_serving, other.is_serving) == (True, False)


def test_a_service_that_answers_one_probe_of_several_serves() -> None:
    seen: list[int] = []

    def seldom(connection: socket.socket) -> None:
        seen.append(1)
        if len(seen) == 3:
            answers(OK)(connection)
        else:
            resets(connection)

    with listening(seldom) as port:
        assert prober(port, probes=3)("orders.example").is_serving


def test_probes_begin_one_after_the_other() -> None:
    slept: list[float] = []
    prober(closed_port(), probes=3, pause=1.0, sleep=slept.append)("orders.example")
    assert sorted(slept) == [0.0, 1.0, 2.0]


def test_the_usual_patience_outlasts_a_slow_service() -> None:
    assert serving.PATIENCE >= 10
    assert serving.PROBES >= 3


@dataclass
class Resolver:
    """The machine's resolver, which fails with these codes in turn."""

    codes: list[int]
    asked: list[tuple[Any, ...]] = field(default_factory=list)

    def __call__(self, *question: Any, **options: Any) -> Any:
        self.asked.append(question)
        raise socket.gaierror(self.codes.pop(0), "no luck")


@pytest.mark.parametrize("code", [socket.EAI_NONAME, socket.EAI_NODATA, socket.EAI_AGAIN, socket.EAI_FAIL])
def test_a_name_without_an_address_tells_nothing(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", Resolver([code]))
    answer = Prober(probes=1)("orders.example")
    assert (answer.is_serving, answer.is_known) == CANNOT_BE_TOLD


def test_what_is_no_name_tells_nothing() -> None:
    assert not Prober(probes=1)("orders..example").is_known


def test_one_probe_without_an_address_leaves_it_untold(monkeypatch: pytest.MonkeyPatch) -> None:
    found = iter([frozenset({HERE}), frozenset[str]()])
    answer = prober(closed_port(), probes=2, resolve=lambda name: next(found))("orders.example")
    assert (answer.is_serving, answer.is_known) == CANNOT_BE_TOLD


def test_where_no_way_leads_nobody_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*place: Any, **options: Any) -> Any:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket, "create_connection", unreachable)
    answer = prober(80)("orders.example")
    assert (answer.is_serving, answer.is_known) == CANNOT_BE_TOLD
    assert "unreachable" in answer.said


@pytest.mark.parametrize(
    ("family", "address"), [(socket.AF_INET, ("192.0.2.1", 0)), (socket.AF_INET6, ("::1", 0, 0, 0))]
)
def test_addresses_of_both_families_are_found(monkeypatch: pytest.MonkeyPatch, family: int, address: Any) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(family, 1, 6, "", address)])
    assert serving.addresses("orders.example") == {address[0]}
