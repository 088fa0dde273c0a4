"""Who holds a lock, and whether that process lives."""

import getpass
import os
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
STARTED = 19  # starttime is field 22 of proc_pid_stat(5); the first two end at the last ")"


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who holds or wants a lock, and as which process."""

    name: str  # user@host
    place: str  # boot id and process namespace: where `pid` means something
    pid: int
    started: int  # of the process, in clock ticks since boot: tells a pid used again
    reason: str  # "apply"
    command_id: str

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
    boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {os.readlink(PROC / 'self/ns/pid')}"


def started(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None if there is none, or a dead one."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[STARTED])
