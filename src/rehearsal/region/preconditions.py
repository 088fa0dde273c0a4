"""What this machine must have before a region can be started, all named at once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from rehearsal.region.errors import PreconditionMissing

_TOOLS = {
    "debootstrap": "debootstrap",
    "haproxy": "haproxy",
    "ip": "iproute2",
    "losetup": "mount",
    "mkfs.xfs": "xfsprogs",
    "nft": "nftables",
    "nsenter": "util-linux",
    "systemd-nspawn": "systemd-container",
}
"""Tool to the Debian package that brings it."""
_FILE_SYSTEMS = ("overlay", "xfs", "ext4")
_FREE_GIB = 8
_DISK = "/var/tmp"  # noqa: S108


def missing() -> list[str]:
    """One line for each thing that is missing, with what to do about it."""
    return [*_privilege(), *_tools(), *_kernel(), *_space()]


def require() -> None:
    """Raises PreconditionMissing with all that is missing."""
    lines = missing()
    if lines:
        raise PreconditionMissing(
            "The rehearsal region cannot start here:\n" + "\n".join(f"  - {line}" for line in lines)
        )


def packages() -> list[str]:
    """The Debian packages that would bring the tools that are missing."""
    return sorted({package for tool, package in _TOOLS.items() if shutil.which(tool) is None})


def _privilege() -> list[str]:
    return (
        [] if os.geteuid() == 0 else ["it needs root (namespaces, mounts, loop devices): run it as root or with sudo"]
    )


def _tools() -> list[str]:
    absent = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if not absent:
        return []
    return [f"missing tools: {', '.join(absent)}; install them with `apt-get install {' '.join(packages())}`"]


def _kernel() -> list[str]:
    known = Path("/proc/filesystems").read_text().split()
    lines = [f"the kernel has no {name} file system" for name in _FILE_SYSTEMS if name not in known]
    if not Path("/dev/loop-control").exists():
        lines.append("the kernel has no loop devices (/dev/loop-control)")
    return lines


def _space() -> list[str]:
    free = shutil.disk_usage(_DISK).free >> 30
    return [] if free >= _FREE_GIB else [f"{_DISK} has {free} GiB free; {_FREE_GIB} are needed"]
