"""A tunnel copies both ways, one channel for each client, and ends on this machine alone."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from rekindle.errors import Unreachable
from rekindle.transport.tunnel import forwarded


class Channel:
    """A channel whose far end answers each byte it was sent in capitals, once all has come."""

    def __init__(self) -> None:
        self._near, self._far = socket.socketpair()
        self.closed = threading.Event()
        threading.Thread(target=self._answer, daemon=True).start()
        self.recv, self.sendall = self._near.recv, self._near.sendall

    def _answer(self) -> None:
        said = b""
        while chunk := self._far.recv(65536):
            said += chunk
        self._far.sendall(said.upper())
        self._far.close()

    def shutdown_write(self) -> None:
        self._near.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.closed.set()
        self._near.close()


@contextmanager
def client(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as made:
        yield made


def answered(made: socket.socket, text: bytes) -> bytes:
    made.sendall(text)
    made.shutdown(socket.SHUT_WR)
    return b"".join(iter(lambda: made.recv(65536), b""))


def test_each_client_has_a_channel_of_its_own_that_is_closed_when_both_sides_ended() -> None:
    channels: list[Channel] = []

    def opened() -> Any:
        channels.append(Channel())
        return channels[-1]

    with forwarded(opened) as port:
        for text in (b"one", b"two" * 100_000):
            with client(port) as made:
                assert answered(made, text) == text.upper()
        assert all(channel.closed.wait(5) for channel in channels)
    assert len(channels) == 2


def test_a_host_that_cannot_be_reached_closes_its_client_and_no_other() -> None:
    outcomes: list[Any] = [Unreachable("off"), Channel()]

    def opened() -> Any:
        found = outcomes.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    with forwarded(opened) as port:
        with client(port) as first:
            assert first.recv(1) == b""
        with client(port) as second:
            assert answered(second, b"x") == b"X"


def test_it_listens_on_this_machine_alone_and_only_while_it_is_open() -> None:
    with forwarded(Channel) as port, pytest.raises(OSError, match="in use"), socket.socket() as other:
        other.bind(("127.0.0.1", port))
    with forwarded(Channel) as port, socket.socket() as other:
        other.bind(("127.0.0.2", port))
    began = time.monotonic()
    with pytest.raises(ConnectionRefusedError), client(port):
        pass
    assert time.monotonic() - began < 2
