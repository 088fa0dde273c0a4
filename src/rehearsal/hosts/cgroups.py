"""A control group of its own for each machine: nothing escapes it, so all of it can be ended."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

_HIERARCHIES = (Path("/sys/fs/cgroup/systemd"), Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))


def hierarchies() -> list[Path]:
    """Where process membership is kept: a v2 hierarchy, v1's `name=systemd`, or both."""
    return [path for path in _HIERARCHIES if (path / "cgroup.procs").exists()]


def directories(name: str) -> list[Path]:
    return [path / name for path in hierarchies()]


def create(name: str) -> list[Path]:
    """The files to which a process writes its id to be a member."""
    for directory in directories(name):
        directory.mkdir(parents=True, exist_ok=True)
    return [directory / "cgroup.procs" for directory in directories(name)]


def processes(name: str) -> set[int]:
    """All processes in the group and beneath."""
    found: set[int] = set()
    for directory in directories(name):
        for listed in _files(directory, "cgroup.procs"):
            with contextlib.suppress(OSError):
                found.update(int(line) for line in listed.read_text().split())
    return found - {0}


def kill(name: str, seconds: float = 10.0) -> None:
    """SIGKILL for every process, until none is left."""
    deadline = time.monotonic() + seconds
    while (alive := processes(name)) and time.monotonic() < deadline:
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def remove(name: str) -> None:
    """The groups' directories are gone, innermost first."""
    for directory in directories(name):
        inner = (
            sorted((p for p in directory.rglob("*") if p.is_dir()), key=lambda p: -len(p.parts))
            if directory.is_dir()
            else []
        )
        for path in [*inner, directory]:
            with contextlib.suppress(OSError):
                path.rmdir()


def _files(directory: Path, name: str) -> Iterator[Path]:
    if directory.is_dir():
        yield from directory.rglob(name)
