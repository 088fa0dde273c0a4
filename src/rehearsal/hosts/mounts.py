"""File systems that guests have mounted from the stage's disks, seen and handled from outside."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_LOOP_MAJOR = 7
_SHUTDOWN = 0x8004587D
_NO_LOG_FLUSH = (2).to_bytes(4, "little")
"""EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN share number and flag: stop without writing anything more."""
_THAW = 0xC0045878
"""FITHAW. A frozen file system outlives its last mount, and would hold its disk for ever."""


@dataclass(frozen=True)
class Mount:
    device: int
    point: str
    """Inside the guest."""
    path: Path
    """The same place, from outside."""


def of_process(pid: int) -> Iterator[Mount]:
    """Mounts from loop devices in a process's mount namespace."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines():
            fields = line.split()
            major, minor = map(int, fields[2].split(":"))
            if major == _LOOP_MAJOR:
                yield Mount(os.makedev(major, minor), fields[4], Path(f"/proc/{pid}/root{fields[4]}"))


def of_machines(pids: Iterable[int]) -> Iterator[Mount]:
    """The same for many processes, each mount namespace once, and this process's own never."""
    seen = {os.stat("/proc/self/ns/mnt").st_ino}
    for pid in pids:
        with contextlib.suppress(OSError):
            namespace = os.stat(f"/proc/{pid}/ns/mnt").st_ino
            if namespace not in seen:
                seen.add(namespace)
                yield from of_process(pid)


def cut_power(mounts: Iterable[Mount]) -> None:
    """These file systems write nothing more: what had not reached the disk never will."""
    for mount in mounts:
        _control(mount, _SHUTDOWN, _NO_LOG_FLUSH)
        _control(mount, _THAW, 0)


def thaw(mounts: Iterable[Mount]) -> None:
    """None of these is frozen."""
    for mount in mounts:
        _control(mount, _THAW, 0)


def _control(mount: Mount, request: int, argument: int | bytes) -> None:
    with contextlib.suppress(OSError):
        handle = os.open(mount.path, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, request, argument)
        finally:
            os.close(handle)
