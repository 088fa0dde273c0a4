"""EBS on one machine: sparse files on one XFS file system, reached as loop devices.

A snapshot is a reflink: XFS shares the blocks that the volume's file has at that instant. What the
guest still holds in its page cache is not in it, as on AWS, and nothing is flushed for it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

from rehearsal.region.errors import RegionError

_GIB = 1 << 30
_STORE_SIZE = 200 * _GIB
"""Sparse: only what guests write takes space."""
_LOOP_SET_CAPACITY = 0x4C07


class VolumeStore:
    """The files behind volumes and snapshots, and the loop devices over them."""

    def __init__(self, directory: Path) -> None:
        self._image = directory / "volumes.xfs"
        self._mount = directory / "volumes"

    def open(self) -> None:
        """The file system is there, empty, and mounted."""
        self._mount.mkdir(parents=True, exist_ok=True)
        with self._image.open("wb") as image:
            image.truncate(_STORE_SIZE)
        _run("mkfs.xfs", "-q", "-f", "-m", "reflink=1,rmapbt=0", "-l", "size=64m", str(self._image))
        _run("mount", "-o", "loop,noatime,discard", str(self._image), str(self._mount))

    def close(self) -> None:
        """No loop device, mount or file is left; repeatable, and safe after a crash."""
        for device in self._devices():
            subprocess.run(["losetup", "--detach", device], capture_output=True, check=False)
        if os.path.ismount(self._mount):
            subprocess.run(["umount", "--lazy", str(self._mount)], capture_output=True, check=False)
        self._image.unlink(missing_ok=True)
        shutil.rmtree(self._mount, ignore_errors=True)

    def create(self, region: str, volume: str, size_gib: int, snapshot: str | None = None) -> None:
        """An empty volume, or one with a snapshot's content."""
        path = self._volume(region, volume)
        if snapshot is not None:
            _reflink(self._snapshot(region, snapshot), path)
        with path.open("ab") as file:
            file.truncate(max(size_gib * _GIB, path.stat().st_size))

    def resize(self, region: str, volume: str, size_gib: int) -> None:
        """A larger volume; a device over it sees the new size at once."""
        with self._volume(region, volume).open("ab") as file:
            file.truncate(size_gib * _GIB)
        device = self.device(region, volume)
        if device is not None:
            with open(device) as handle:
                fcntl.ioctl(handle, _LOOP_SET_CAPACITY)

    def snapshot(self, region: str, volume: str, snapshot: str) -> None:
        """The volume's blocks at this instant."""
        _reflink(self._volume(region, volume), self._snapshot(region, snapshot))

    def copy(self, source_region: str, source: str, region: str, snapshot: str) -> None:
        """A snapshot of one region in another."""
        _reflink(self._snapshot(source_region, source), self._snapshot(region, snapshot))

    def delete_volume(self, region: str, volume: str) -> None:
        self._volume(region, volume).unlink(missing_ok=True)

    def delete_snapshot(self, region: str, snapshot: str) -> None:
        self._snapshot(region, snapshot).unlink(missing_ok=True)

    def written_bytes(self, region: str, volume: str) -> int:
        """How much a volume really holds."""
        return self._volume(region, volume).stat().st_blocks * 512

    def connect(self, region: str, volume: str) -> Path:
        """The loop device over a volume, made if there is none yet."""
        present = self.device(region, volume)
        if present is not None:
            return present
        path = self._volume(region, volume)
        return Path(_run("losetup", "--find", "--show", "--nooverlap", str(path)).strip())

    def device(self, region: str, volume: str) -> Path | None:
        """The loop device over a volume, if one is connected."""
        found = _run("losetup", "--noheadings", "--output", "NAME", "--associated", str(self._volume(region, volume)))
        return Path(found.split()[0]) if found.strip() else None

    def disconnect(self, region: str, volume: str) -> bool:
        """False while a mounted file system still holds the device."""
        device = self.device(region, volume)
        if device is None:
            return True
        if is_busy(device):
            return False
        _run("losetup", "--detach", str(device))
        return True

    def _volume(self, region: str, volume: str) -> Path:
        return self._file(region, volume)

    def _snapshot(self, region: str, snapshot: str) -> Path:
        return self._file(region, snapshot)

    def _file(self, region: str, resource: str) -> Path:
        directory = self._mount / region
        directory.mkdir(exist_ok=True)
        return directory / resource

    def _devices(self) -> list[str]:
        """Loop devices over this store's files, and over none of another's."""
        listed = subprocess.run(
            ["losetup", "--noheadings", "--raw", "--output", "NAME,BACK-FILE"],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        pairs = (line.split(maxsplit=1) for line in listed.splitlines())
        return [pair[0] for pair in pairs if len(pair) == 2 and pair[1].startswith(f"{self._mount}/")]


def is_busy(device: Path) -> bool:
    """A block device can be opened exclusively only while no file system is mounted from it."""
    try:
        os.close(os.open(device, os.O_RDONLY | os.O_EXCL))
    except OSError:
        return True
    return False


def _reflink(source: Path, target: Path) -> None:
    _run("cp", "--reflink=always", "--sparse=auto", str(source), str(target))


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RegionError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout
