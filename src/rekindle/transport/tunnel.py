"""A local port that ends on a host itself, through the connection that host already has."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import Any, TypeAlias

from rekindle.errors import RekindleError

OpenChannel: TypeAlias = Callable[[], Any]
"""Opens a fresh channel to the far end, over a new connection if the old one dropped."""

CHUNK = 64 * 1024


@contextmanager
def forwarded(open_channel: OpenChannel) -> Iterator[int]:
    """Listens on 127.0.0.1 and yields the port; each client gets a channel of its own."""

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                channel = open_channel()
            except RekindleError:  # the client sees its connection closed, and retries or reports
                return
            try:
                _splice(self.request, channel)
            finally:
                channel.close()

    server = _Server(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no event."""


def _splice(client: socket.socket, channel: Any) -> None:
    """Copies both ways until both sides have ended."""
    upward = Thread(target=_copy, args=(client.recv, channel.sendall, channel.shutdown_write), daemon=True)
    upward.start()
    _copy(channel.recv, client.sendall, lambda: client.shutdown(socket.SHUT_WR))
    with suppress(OSError):
        client.shutdown(socket.SHUT_RDWR)
    upward.join(timeout=5)


def _copy(read: Callable[[int], bytes], write: Callable[[bytes], Any], end: Callable[[], Any]) -> None:
    with suppress(OSError, EOFError):
        while chunk := read(CHUNK):
            write(chunk)
    with suppress(OSError, EOFError):
        end()
