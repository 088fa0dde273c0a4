"""The HTTP face of orders, over a book in memory."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from orders.model import NotReady, Receipt
from orders.web import Server

TOKEN = {"Authorization": "Bearer t0ken"}


@dataclass
class Book:
    """Orders in memory; `broken` acknowledges nothing."""

    kept: list[dict[str, Any]] = field(default_factory=list)
    broken: bool = False
    ready: bool = True

    def write(self, orders: list[dict[str, Any]]) -> list[Receipt]:
        if self.broken:
            raise NotReady("not acknowledged")
        first = len(self.kept)
        self.kept += orders
        return [Receipt(order["id"], 0, first + n) for n, order in enumerate(orders)]

    def ends(self) -> dict[int, int]:
        return {0: len(self.kept)}

    def read(self) -> Iterator[Any]:
        for offset, order in enumerate(self.kept):
            value = json.dumps(order).encode()
            yield SimpleNamespace(key=order["id"].encode(), partition=0, offset=offset, value=value)
        if self.broken:
            raise NotReady("orders stopped coming")


@dataclass
class Service:
    book: Book
    server: Server
    client: httpx.Client


@pytest.fixture
def service() -> Iterator[Service]:
    book = Book()
    server = Server(("127.0.0.1", 0), book, "t0ken")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}", trust_env=False) as client:
        yield Service(book, server, client)
    server.shutdown()
    server.server_close()
    thread.join()


def test_one_order_and_a_list_are_acknowledged(service: Service) -> None:
    one = service.client.post("/orders", json={"id": "a"}, headers=TOKEN)
    assert (one.status_code, one.json()) == (201, {"id": "a", "partition": 0, "offset": 0})
    many = service.client.post("/orders", json=[{"id": "b"}, {"id": "c"}], headers=TOKEN)
    assert [receipt["offset"] for receipt in many.json()] == [1, 2]


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ('{"id": "a"}', {}, 401),
        ('{"id": "a"}', {"Authorization": "Bearer wrong"}, 401),
        ("{", TOKEN, 400),
        ('{"name": "a"}', TOKEN, 400),
        ('[{"id": "a"}, {"id": 7}]', TOKEN, 400),
        ('{"id": ""}', TOKEN, 400),
    ],
)
def test_what_is_not_accepted_is_not_kept(service: Service, body: str, headers: dict[str, str], status: int) -> None:
    assert service.client.post("/orders", content=body, headers=headers).status_code == status
    assert service.book.kept == []


def test_an_order_that_is_not_acknowledged_is_not_accepted(service: Service) -> None:
    service.book.broken = True
    assert service.client.post("/orders", json={"id": "a"}, headers=TOKEN).status_code == 503


def test_orders_are_read_back(service: Service) -> None:
    service.client.post("/orders", json=[{"id": "a", "item": "book"}, {"id": "b"}], headers=TOKEN)
    lines = [json.loads(line) for line in service.client.get("/orders/all").text.splitlines()]
    assert lines[0] == {"id": "a", "partition": 0, "offset": 0, "order": {"id": "a", "item": "book"}}
    assert [line["id"] for line in lines] == ["a", "b"]
    assert service.client.get("/orders", params={"ids": "b,x"}).json() == [{"id": "b"}]
    assert service.client.get("/barrier").json()["offsets"] == {"0": 2}


def test_a_reading_that_breaks_off_is_noticed(service: Service) -> None:
    service.client.post("/orders", json={"id": "a"}, headers=TOKEN)
    service.book.broken = True
    with pytest.raises(httpx.RemoteProtocolError):
        service.client.get("/orders/all")


def test_it_is_unhealthy_until_kafka_is_reached_and_while_it_drains(service: Service) -> None:
    assert service.client.get("/healthz").status_code == 200
    service.server.draining = True
    answer = service.client.get("/healthz")
    assert (answer.status_code, answer.headers["Connection"]) == (503, "close")
    service.server.draining, service.book.ready = False, False
    assert service.client.get("/healthz").status_code == 503


def test_an_unknown_path_is_404(service: Service) -> None:
    assert service.client.get("/nothing").status_code == 404
    assert service.client.post("/nothing", headers=TOKEN).status_code == 404
