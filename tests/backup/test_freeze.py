"""The freeze on a real file system: what was written is on the device, and without it is not."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from backup_machine import REAL, Machine, eventually

from rekindle.aws.compute import VolumeFacts
from rekindle.backup import freezing, mounts
from rekindle.backup.mounts import Mount
from rekindle.errors import CommandFailed
from rekindle.inventory import Host, Role

pytestmark = pytest.mark.integration

LINES = 10_000
POINT = "rp-1"
MIB = 2**20
MAKE = {"ext4": ["mkfs.ext4", "-q", "-E", "lazy_itable_init=0"], "xfs": ["mkfs.xfs", "-q"]}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """This one, but for systemd."""
    monkeypatch.setattr(freezing, "RUN", str(tmp_path / "run"))
    made = Machine(tmp_path / "machine", tools=REAL)
    yield made
    made.end()


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
        ran("mount", "-o", "loop" if copy_is("ext4", copy) else "loop,nouuid", copy, path)
        try:
            log = path / "log"
            return len(log.read_text().replace("\0", "").splitlines()) if log.exists() else 0
        finally:
            ran("umount", path)

    def is_writable(self) -> bool:
        """Whether a write ends; it is not to be killed, and ends when the thaw comes."""
        write = subprocess.Popen(["touch", self.path / "probe"])
        try:
            write.wait(0.5)
        except subprocess.TimeoutExpired:
            return False
        return True


def ran(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def copy_is(kind: str, image: Path) -> bool:
    return ran("blkid", "-o", "value", "-s", "TYPE", image) == kind


@pytest.fixture(params=["ext4", "xfs"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    image, path = tmp_path / "disk", tmp_path / "with a\ttab, a \\ and\na line"
    path.mkdir()
    with image.open("wb") as file:
        file.truncate(320 * MIB)
    ran(*MAKE[request.param], image)
    device = ran("losetup", "--find", "--show", "--direct-io=on", image)
    ran("mount", device, path)
    ran("sync", "--file-system", path)
    yield Disk(image, device, path)
    subprocess.run(["fsfreeze", "--unfreeze", path], check=False, capture_output=True)
    subprocess.run(["umount", path], check=False, capture_output=True)
    ran("losetup", "--detach", device)


def mounted(machine: Machine, device: str) -> tuple[Mount, ...]:
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
        device=device,
        tags={},
    )
    return mounts.mounts(machine, [agent], {"kafka-1": facts})


def test_the_mount_is_found_by_its_device(machine: Machine, disk: Disk) -> None:
    (found,) = mounted(machine, disk.device)
    assert (found.volume, found.host, found.path) == ("kafka-1", "agent", str(disk.path))


def test_a_mount_of_a_partition_is_found_and_one_that_is_missing_told(machine: Machine, tmp_path: Path) -> None:
    image, paths = tmp_path / "disk", [tmp_path / "one", tmp_path / "two"]
    with image.open("wb") as file:
        file.truncate(128 * MIB)
    device = ran("losetup", "--find", "--show", image)
    for number, first in enumerate(("2048", "67584"), 1):
        ran("addpart", device, str(number), first, "65536")
    try:
        for number, path in enumerate(paths, 1):
            path.mkdir()
            node = partition(device, number)
            ran("mkfs.ext4", "-q", node)
            if number == 2:
                with pytest.raises(CommandFailed, match="sees no mount of its block device"):
                    mounted(machine, device)
            ran("mount", node, path)
        assert {m.path for m in mounted(machine, device)} == {str(path) for path in paths}
    finally:
        for path in paths:
            subprocess.run(["umount", path], check=False, capture_output=True)
        for number in (1, 2):
            ran("delpart", device, str(number))
        ran("losetup", "--detach", device)


def partition(device: str, number: int) -> Path:
    """Its node, made where udev does not run."""
    node = Path(f"{device}p{number}")
    major, minor = Path(f"/sys/class/block/{node.name}/dev").read_text().strip().split(":")
    if not node.exists():
        ran("mknod", node, "b", major, minor)
    return node


def test_one_that_another_namespace_has_mounted_is_not_at_rest(machine: Machine, disk: Disk) -> None:
    inside = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", "echo in; read line"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert inside.stdout
    inside.stdout.readline()
    ran("umount", disk.path)
    try:
        with pytest.raises(CommandFailed, match="sees no mount"):
            mounted(machine, disk.device)
    finally:
        inside.communicate(b"\n")


def test_a_device_that_is_not_there_is_told(machine: Machine) -> None:
    with pytest.raises(CommandFailed, match=r"i-1 \(agent\), which has no device /dev/xvdz"):
        mounted(machine, "/dev/xvdz")


def test_under_the_freeze_nothing_is_lost(machine: Machine, disk: Disk) -> None:
    disk.write()
    found = mounted(machine, disk.device)
    freezing.freeze(machine, found, POINT)
    assert not disk.is_writable()
    assert disk.lines_of_a_snapshot() == LINES
    freezing.thaw(machine, found, POINT)
    assert disk.is_writable()


def test_without_the_freeze_what_was_acknowledged_is_lost(disk: Disk) -> None:
    disk.write()
    assert disk.lines_of_a_snapshot() < LINES


def test_its_host_thaws_it_in_any_case_and_that_is_noticed(
    machine: Machine, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freezing, "KEEP_SECONDS", 2)
    found = mounted(machine, disk.device)
    freezing.freeze(machine, found, POINT)
    ran("touch", disk.path / "waits-for-the-thaw")
    with pytest.raises(CommandFailed, match="not frozen any more"):
        freezing.thaw(machine, found, POINT)
    assert disk.is_writable()


def test_when_the_unit_was_killed_the_timer_thaws_it(machine: Machine, disk: Disk) -> None:
    found = mounted(machine, disk.device)
    freezing.freeze(machine, found, POINT)
    machine.kill_units()
    assert not disk.is_writable()
    for fired in machine.fire():
        assert fired.wait(20) == 0
    assert disk.is_writable()


def test_a_freeze_that_hangs_and_is_given_up_ends_with_a_thaw(
    machine: Machine, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator's part is over long before the freeze: the device accepts nothing for seconds."""
    monkeypatch.setattr(freezing, "FREEZE_SECONDS", 1)
    monkeypatch.setattr(freezing, "THAW_SECONDS", 1)
    machine.tool("fsfreeze", f'#!/bin/sh\n[ "$1" = --unfreeze ] || sleep 4\nexec {shutil.which("fsfreeze")} "$@"\n')
    found = mounted(machine, disk.device)
    for hold in (freezing.freeze, freezing.thaw):
        with pytest.raises(CommandFailed, match="does not come to an end"):
            hold(machine, found, POINT)
    assert machine.timers
    eventually(lambda: "over" in next(Path(freezing.RUN).glob("*.state")).read_text())
    assert disk.is_writable()


def test_what_is_frozen_cannot_be_unmounted(machine: Machine, disk: Disk) -> None:
    """Else nobody could thaw it: the kernel keeps it frozen without a mount."""
    found = mounted(machine, disk.device)
    freezing.freeze(machine, found, POINT)
    tried = subprocess.run(["umount", disk.path], check=False, capture_output=True, text=True)
    assert "busy" in tried.stderr
    freezing.thaw(machine, found, POINT)
    started = time.monotonic()
    ran("umount", disk.path)
    assert time.monotonic() - started < 5
