"""One EC2 instance as a systemd-nspawn machine: boots, gets disks, stops, fails."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import stat
import subprocess
import time
from pathlib import Path

from rehearsal.hosts import cgroups, mounts
from rehearsal.region.errors import RegionError
from rehearsal.region.stage import Stage, namespace_path

_POWER_OFF = signal.SIGRTMIN + 4
"""systemd as process 1 powers off on this signal (systemd(1))."""
_BOOTED_MARK = "run/instance-booted"


class Machine:
    """The machine of one instance. Its disk lives in `directory` until the instance is terminated."""

    def __init__(self, stage: Stage, instance_id: str, image: Path) -> None:
        self.id = instance_id
        self._stage, self._image = stage, image
        self._directory = stage.data_directory / "hosts" / instance_id
        self._cgroup = f"{stage.cgroup}/{instance_id}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def console(self) -> Path:
        return self._directory / "console"

    @property
    def root(self) -> Path:
        return self._directory / "root"

    def start(self) -> None:
        """Boots the machine in its namespace; returns at once."""
        self._mount_root()
        console = self.console.open("ab")
        members = cgroups.create(self._cgroup)
        joining = "".join(f"echo $$ > {path} && " for path in members)
        self._process = subprocess.Popen(
            ["sh", "-c", f'{joining}exec "$@"', "machine", *self._nspawn()],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            env={**os.environ, "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network", "SYSTEMD_NSPAWN_LOCK": "0"},
            start_new_session=True,
        )
        console.close()

    def _nspawn(self) -> list[str]:
        return [
            "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot", "--console=read-only",
            "--link-journal=no", "--resolv-conf=off", "--timezone=off", "--settings=no",
            "--capability=CAP_NET_ADMIN,CAP_NET_RAW,CAP_SYS_ADMIN,CAP_MKNOD",
            f"--network-namespace-path={namespace_path(self._stage.namespace_of(self.id))}",
            f"--machine={self.id}", f"--uuid={hashlib.md5(self.id.encode(), usedforsecurity=False).hexdigest()}",
            f"--directory={self.root}",
        ]  # fmt: skip

    def _mount_root(self) -> None:
        upper, work = self._directory / "upper", self._directory / "work"
        for path in (upper, work, self.root):
            path.mkdir(parents=True, exist_ok=True)
        if not os.path.ismount(self.root):
            options = f"lowerdir={self._image},upperdir={upper},workdir={work}"
            subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, str(self.root)], check=True)

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def leader(self) -> int | None:
        """Process 1 of the machine, as this machine numbers it: the child of nspawn."""
        if self._process is None or not self.is_alive:
            return None
        pid = self._process.pid
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            return next((int(child) for child in children if _is_first_process(int(child))), None)
        return None

    @property
    def is_booted(self) -> bool:
        """sshd is up."""
        leader = self.leader
        return leader is not None and Path(f"/proc/{leader}/root/{_BOOTED_MARK}").exists()

    def shut_down(self, seconds: float = 15.0) -> None:
        """An orderly shutdown, cut off when it takes too long."""
        leader = self.leader
        if leader is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(leader, _POWER_OFF)
            self._wait(seconds)
        self.kill()

    def fail(self) -> None:
        """As if the power went: file systems stop where they are, then every process dies."""
        mounts.cut_power(self._mounts())
        self.kill()

    def kill(self) -> None:
        """No process of the machine is left, and its root is unmounted."""
        mounts.thaw(self._mounts())
        leader = self.leader
        if leader is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(leader, signal.SIGKILL)
            self._wait(5)
        cgroups.kill(self._cgroup)
        self._wait(5)
        cgroups.remove(self._cgroup)
        if os.path.ismount(self.root):
            subprocess.run(["umount", "--lazy", str(self.root)], capture_output=True, check=False)

    def delete(self) -> None:
        """The machine's own disk is gone."""
        shutil.rmtree(self._directory, ignore_errors=True)

    def _wait(self, seconds: float) -> None:
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)

    # -- disks ---------------------------------------------------------------------------------

    def add_device(self, device: Path, name: str, volume_id: str) -> None:
        """The guest finds the block device under the name that the API was given, and by volume id."""
        inside = self._inside()
        node = inside / name.lstrip("/")
        number = os.stat(device).st_rdev
        node.unlink(missing_ok=True)
        os.mknod(node, stat.S_IFBLK | 0o660, number)
        by_id = inside / "dev/disk/by-id"
        by_id.mkdir(parents=True, exist_ok=True)
        link = by_id / _by_id(volume_id)
        link.unlink(missing_ok=True)
        link.symlink_to(f"../../{Path(name).name}")

    def remove_device(self, name: str, volume_id: str) -> None:
        with contextlib.suppress(RegionError, FileNotFoundError):
            inside = self._inside()
            (inside / name.lstrip("/")).unlink(missing_ok=True)
            (inside / "dev/disk/by-id" / _by_id(volume_id)).unlink(missing_ok=True)

    def unmount(self, device: Path) -> None:
        """Tears a device out of a guest that still has it mounted."""
        enter = ["nsenter", f"--target={self.leader}", "--mount", "--"]
        for mount in self._mounts():
            if mount.device == os.stat(device).st_rdev:
                subprocess.run([*enter, "umount", "--lazy", mount.point], capture_output=True, check=False)

    def _inside(self) -> Path:
        leader = self.leader
        if leader is None:
            raise RegionError(f"instance {self.id}: no machine is running")
        return Path(f"/proc/{leader}/root")

    def _mounts(self) -> list[mounts.Mount]:
        leader = self.leader
        return list(mounts.of_process(leader)) if leader is not None else []


def _is_first_process(pid: int) -> bool:
    """Whether it is process 1 of a process namespace of its own."""
    status = Path(f"/proc/{pid}/status").read_text()
    numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()
    return numbers[-1] == "1"


def _by_id(volume_id: str) -> str:
    return f"nvme-Amazon_Elastic_Block_Store_{volume_id.replace('-', '')}"


def clean_up(stage: Stage) -> None:
    """No machine of the stage is left, whoever started it; repeatable."""
    mounts.thaw(mounts.of_machines(cgroups.processes(stage.cgroup)))
    cgroups.kill(stage.cgroup)
    cgroups.remove(stage.cgroup)
    hosts = stage.data_directory / "hosts"
    for root in hosts.glob("*/root") if hosts.is_dir() else ():
        if os.path.ismount(root):
            subprocess.run(["umount", "--lazy", str(root)], capture_output=True, check=False)
    for _ in range(20):
        shutil.rmtree(hosts, ignore_errors=True)
        if not hosts.exists():
            return
        time.sleep(0.1)
