"""The freeze on a real file system: what was written is on the device, and without it is not."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from rekindle.aws.compute import VolumeFacts
from rekindle.backup import mounts
from rekindle.errors import CommandFailed, RekindleError
from rekindle.inventory import Host, Role
from rekindle.transport import Result

pytestmark = pytest.mark.integration

LINES = 10_000
T = TypeVar("T")
# A machine without systemd as its first process: the timer is a shell that waits, and can be stopped.
SYSTEMD_RUN = """#!/bin/sh
for word; do case $word in --unit=*) unit=${word#--unit=};; --on-active=*) wait=${word#--on-active=};; esac; done
while [ "${1#--}" != "$1" ]; do shift; done
(sleep "${TIMER:-$wait}"; "$@") >/dev/null 2>&1 & echo $! >"$UNITS/$unit"
"""
SYSTEMCTL = """#!/bin/sh
for unit; do kill "$(cat "$UNITS/${unit%.timer}" 2>/dev/null)" 2>/dev/null; done; exit 0
"""


@dataclass
class ThisMachine:
    """Runs what would be run on an agent."""

    tools: Path
    timer: str = ""

    def run(self, host: str, command: str, *, timeout: float = 60, check: bool = True) -> Result:
        variables = {**os.environ, "PATH": f"{self.tools}:{os.environ['PATH']}", "UNITS": str(self.tools)}
        if self.timer:
            variables["TIMER"] = self.timer
        done = subprocess.run(["sh", "-c", command], env=variables, capture_output=True, text=True, check=False)
        result = Result(host=host, command=command, exit_code=done.returncode, stdout=done.stdout, stderr=done.stderr)
        return result.check() if check else result

    def facts(self, host: str, script: str) -> str:
        return self.run(host, script).stdout

    def each(self, hosts: Iterable[str], call: Callable[[str], T]) -> dict[str, T | RekindleError]:
        return {host: call(host) for host in hosts}


@pytest.fixture
def machine(tmp_path: Path) -> ThisMachine:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, text in (("systemd-run", SYSTEMD_RUN), ("systemctl", SYSTEMCTL)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    return ThisMachine(tools)


@dataclass
class Disk:
    """A file system on a loop device."""

    image: Path
    device: str
    path: Path

    def write(self) -> None:
        """As a broker does: written and acknowledged, not flushed."""
        (self.path / "log").write_text("".join(f"order {n}\n" for n in range(LINES)))

    def lines_of_a_snapshot(self) -> int:
        """What one instant of the device holds, with no help from the machine that has it mounted."""
        copy, path = self.image.with_name("snapshot"), self.path.with_name("restored")
        shutil.copyfile(self.image, copy)
        path.mkdir()
        subprocess.run(["mount", "-o", "loop", copy, path], check=True)
        try:
            log = path / "log"
            return len(log.read_text().replace("\0", "").splitlines()) if log.exists() else 0
        finally:
            subprocess.run(["umount", path], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    image, path = tmp_path / "disk", tmp_path / "mounted"
    path.mkdir()
    with image.open("wb") as file:
        file.truncate(64 * 2**20)
    subprocess.run(["mkfs.ext4", "-q", "-E", "lazy_itable_init=0", image], check=True)
    device = subprocess.run(
        ["losetup", "--find", "--show", "--direct-io=on", image], check=True, capture_output=True, text=True
    ).stdout.strip()
    subprocess.run(["mount", device, path], check=True)
    subprocess.run(["sync", "--file-system", path], check=True)
    yield Disk(image, device, path)
    subprocess.run(["fsfreeze", "--unfreeze", path], check=False, capture_output=True)
    subprocess.run(["umount", path], check=True)
    subprocess.run(["losetup", "--detach", device], check=True)


def mounted(machine: ThisMachine, disk: Disk) -> tuple[mounts.Mount, ...]:
    agent = Host(
        name="agent",
        role=Role.PRIVATE_AGENT,
        pool="p",
        zone="private",
        az="a",
        private_ip="10.0.0.1",  # type: ignore[arg-type]
        instance_id="i-1",
    )
    facts = VolumeFacts(
        volume_id="vol-0abc",
        state="in-use",
        az="a",
        size_gib=1,
        snapshot_id=None,
        attached_to="i-1",
        device=disk.device,
        tags={},
    )
    return mounts.mounts(machine, [agent], {"kafka-1": facts})


def is_frozen(disk: Disk) -> bool:
    """Whether a write waits; it is not to be ended, and done when the thaw comes."""
    write = subprocess.Popen(["touch", disk.path / "probe"])
    try:
        write.wait(0.5)
    except subprocess.TimeoutExpired:
        return True
    return False


def test_the_mount_is_found_by_its_device(machine: ThisMachine, disk: Disk) -> None:
    assert mounted(machine, disk) == (mounts.Mount(volume="kafka-1", host="agent", path=str(disk.path)),)


def test_under_the_freeze_nothing_is_lost(machine: ThisMachine, disk: Disk) -> None:
    disk.write()
    found = mounted(machine, disk)
    mounts.freeze(machine, found, "rp-1")
    assert is_frozen(disk)
    assert disk.lines_of_a_snapshot() == LINES
    mounts.thaw(machine, found, "rp-1")
    assert not is_frozen(disk)


def test_without_the_freeze_what_was_acknowledged_is_lost(disk: Disk) -> None:
    disk.write()
    assert disk.lines_of_a_snapshot() < LINES


def test_the_hosts_own_timer_thaws_in_any_case_and_is_noticed(machine: ThisMachine, disk: Disk) -> None:
    machine.timer = "1"
    found = mounted(machine, disk)
    mounts.freeze(machine, found, "rp-1")
    subprocess.run(["touch", disk.path / "waits-for-the-thaw"], check=True, timeout=20)
    with pytest.raises(CommandFailed, match="not frozen any more"):
        mounts.thaw(machine, found, "rp-1")


def test_a_thaw_stops_the_timer(machine: ThisMachine, disk: Disk) -> None:
    found = mounted(machine, disk)
    mounts.freeze(machine, found, "rp-1")
    mounts.thaw(machine, found, "rp-1")
    pid = (machine.tools / "rekindle-thaw-rp-1-kafka-1").read_text().strip()
    deadline = time.monotonic() + 5  # the signal is sent; the process still has to get its turn
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_alive(pid)


def is_alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
