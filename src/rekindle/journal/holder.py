"""Who holds a lock, and whether that process lives."""

import getpass
import os
import socket
import uuid
from dataclasses import dataclass

from pydantic import ConfigDict

from rekindle.journal.content import Number
from rekindle.process import PROC, boot_id, started


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who holds or wants a lock, and as which process."""

    name: str  # user@host
    place: str  # boot id and process namespace: where `pid` means something
    pid: Number
    started: Number  # of the process, in clock ticks since boot: tells a pid used again
    reason: str  # "apply"
    command_id: str

    __pydantic_config__ = ConfigDict(extra="forbid")

    @classmethod
    def of_this_process(cls, reason: str) -> "Holder":
        """This process, with a new command id."""
        pid = os.getpid()
        return cls(
            name=f"{getpass.getuser()}@{socket.gethostname()}",
            place=place(),
            pid=pid,
            started=started(pid) or 0,
            reason=reason,
            command_id=str(uuid.uuid4()),
        )

    def is_alive(self) -> bool | None:
        """Whether the process runs; None if that cannot be known from here."""
        return started(self.pid) == self.started if self.place == place() else None


def place() -> str:
    """Boot id and process namespace: two containers of one machine do not see each other's processes."""
    return f"{boot_id()} {os.readlink(PROC / 'self/ns/pid')}"
