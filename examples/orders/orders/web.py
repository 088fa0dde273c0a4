"""The HTTP face of the book: POST /orders, GET /orders, /orders/all, /barrier, /healthz."""

import hmac
import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from orders.model import NotReady

if TYPE_CHECKING:
    from orders.book import Book

MAX_BODY = 4 * 1024 * 1024


class BadOrder(Exception):
    """The body is not an order or a list of orders."""


class Server(ThreadingHTTPServer):
    """Answers for one book; `draining` makes health checks fail and connections close."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], book: "Book", token: str) -> None:
        super().__init__(address, Handler)
        self.book = book
        self.token = token
        self.draining = False


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 65536
    server: Server

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        routes = {
            "/healthz": self._health,
            "/barrier": self._barrier,
            "/orders/all": self._all,
            "/orders": lambda: self._by_id(parse_qs(url.query).get("ids", [])),
        }
        self._answering(routes.get(url.path, self._unknown))

    def do_POST(self) -> None:
        body = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), MAX_BODY))
        if urlsplit(self.path).path != "/orders":
            return self._unknown()
        if not self._is_allowed():
            return self._send(HTTPStatus.UNAUTHORIZED, {"message": "a bearer token is needed to write"})
        return self._answering(lambda: self._accept(body))

    def _answering(self, answer: Any) -> None:
        try:
            answer()
        except BadOrder as error:
            self._send(HTTPStatus.BAD_REQUEST, {"message": str(error)})
        except NotReady as error:
            self._send(HTTPStatus.SERVICE_UNAVAILABLE, {"message": str(error)})

    def _accept(self, body: bytes) -> None:
        orders, is_list = _orders_of(body)
        receipts = [asdict(receipt) for receipt in self.server.book.write(orders)]
        self._send(HTTPStatus.CREATED, receipts if is_list else receipts[0])

    def _health(self) -> None:
        is_up = self.server.book.ready and not self.server.draining
        self._send(HTTPStatus.OK if is_up else HTTPStatus.SERVICE_UNAVAILABLE, {"ready": is_up})

    def _barrier(self) -> None:
        ends = {str(partition): end for partition, end in sorted(self.server.book.ends().items())}
        self._send(HTTPStatus.OK, {"offsets": ends, "at": datetime.now(UTC).isoformat()})

    def _all(self) -> None:
        self._stream(_line(record) for record in self.server.book.read())

    def _by_id(self, asked: list[str]) -> None:
        wanted = {name for part in asked for name in part.split(",") if name}
        orders = (json.loads(record.value) for record in self.server.book.read())
        self._send(HTTPStatus.OK, [order for order in orders if order["id"] in wanted])

    def _unknown(self) -> None:
        self._send(HTTPStatus.NOT_FOUND, {"message": f"nothing is at {self.path}"})

    def _is_allowed(self) -> bool:
        given = self.headers.get("Authorization") or ""
        return hmac.compare_digest(given.encode(), f"Bearer {self.server.token}".encode())

    def _send(self, status: HTTPStatus, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self._end_headers()
        self.wfile.write(body)

    def _stream(self, lines: Iterable[bytes]) -> None:
        """NDJSON in chunks; a failure in mid-stream leaves the last chunk out, so a reader notices."""
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self._end_headers()
        try:
            for line in lines:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(line), line))
            self.wfile.write(b"0\r\n\r\n")
        except NotReady as error:
            self.log_error("%s", error)
            self.close_connection = True

    def _end_headers(self) -> None:
        if self.server.draining:
            self.send_header("Connection", "close")
        self.end_headers()

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Says nothing for each request: errors are logged where they happen."""


def _line(record: Any) -> bytes:
    head = json.dumps({"id": record.key.decode(), "partition": record.partition, "offset": record.offset})
    return b'%b,"order":%b}\n' % (head.encode()[:-1], record.value)


def _orders_of(body: bytes) -> tuple[list[dict[str, Any]], bool]:
    """The orders of a body, and whether it was a list."""
    try:
        value = json.loads(body)
    except ValueError as error:
        raise BadOrder(f"the body is not JSON: {error}") from error
    orders = value if isinstance(value, list) else [value]
    for order in orders:
        if not isinstance(order, dict) or not isinstance(order.get("id"), str) or not order["id"]:
            raise BadOrder("each order is an object with a non-empty string `id`")
    return orders, isinstance(value, list)
