"""A process that can be told from every other that ever had its number, and what is left of its session."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

from rekindle.process import PROC, boot_id, session, started

GRACE_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process, named so that neither a reused number nor a reboot can be taken for it."""

    host: str
    boot_id: str
    pid: int
    start: int  # clock ticks after boot

    @property
    def is_of_this_host(self) -> bool:
        return self.host == socket.gethostname()

    @property
    def is_alive(self) -> bool:
        """Whether it runs; only to be asked on its own host."""
        return self.boot_id == boot_id() and started(self.pid) == self.start


def of(pid: int) -> Process:
    """The identity of a process that runs here; ProcessLookupError if there is none."""
    start = started(pid)
    if start is None:
        raise ProcessLookupError(pid)
    return Process(host=socket.gethostname(), boot_id=boot_id(), pid=pid, start=start)


def is_running(pid: int) -> bool:
    """Whether any process has this number here and now."""
    return started(pid) is not None


def end_session(leader: Process, *, grace: float = GRACE_SECONDS) -> int:
    """Ends what a dead session leader left running (plugins, in groups of their own); returns how many.

    While a session has members the kernel gives its number to nobody else, so they are surely its own.
    """
    if leader.boot_id != boot_id():
        return 0
    left = list(_members(leader.pid))
    for pid in left:
        _signal(pid, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while time.monotonic() < deadline and any(_members(leader.pid)):
        time.sleep(0.05)
    for pid in _members(leader.pid):
        _signal(pid, signal.SIGKILL)
    return len(left)


def _members(leader: int) -> Iterator[int]:
    numbers = (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())
    return (pid for pid in numbers if session(pid) == leader)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
