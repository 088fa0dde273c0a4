"""Volumes are files of their own, snapshots what they were, and nobody else's loop device is touched."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from rehearsal.region.errors import RegionError
from rehearsal.volumes import store as module
from rehearsal.volumes.store import VolumeStore

HERE, THERE = "us-west-2", "us-east-1"
GIB = 1 << 30


class Machine:
    """Loop devices by name, mounts, and cp; any other command is refused."""

    def __init__(self) -> None:
        self.loops: dict[str, str] = {}
        self.mounted: set[str] = set()
        self.made: list[str] = []

    def run(self, command: list[str], **_: Any) -> CompletedProcess[str]:
        done = getattr(self, f"_{command[0].replace('.', '_')}", None)
        if done is None:
            return CompletedProcess(command, 127, "", f"{command[0]}: not found")
        try:
            return CompletedProcess(command, 0, done(list(command[1:])) or "", "")
        except OSError as error:
            return CompletedProcess(command, 1, "", str(error))

    def _cp(self, words: list[str]) -> None:
        assert "--reflink=always" in words
        shutil.copyfile(words[-2], words[-1])

    def _mkfs_xfs(self, words: list[str]) -> None:
        assert "reflink=1" in words[words.index("-m") + 1]
        self.made.append(words[-1])

    def _mount(self, words: list[str]) -> None:
        self.mounted.add(words[-1])

    def _umount(self, words: list[str]) -> None:
        self.mounted.discard(words[-1])

    def _losetup(self, words: list[str]) -> str:
        if "--detach" in words:
            self.loops.pop(words[-1])
            return ""
        if "--associated" in words:
            return "".join(f"{name}\n" for name, file in self.loops.items() if file == words[-1])
        if "--show" in words:
            name = f"/dev/loop{len(self.loops) + 10}"
            self.loops[name] = words[-1]
            return f"{name}\n"
        return "".join(f"{name} {file}\n" for name, file in self.loops.items())


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr(module.subprocess, "run", made.run)
    return made


@pytest.fixture
def store(machine: Machine, tmp_path: Path) -> VolumeStore:
    made = VolumeStore(tmp_path)
    made.open()
    return made


def file(tmp_path: Path, name: str, region: str = HERE) -> Path:
    return tmp_path / "volumes" / region / name


def write(path: Path, text: bytes) -> None:
    with path.open("r+b") as handle:
        handle.write(text)


def head(path: Path) -> bytes:
    with path.open("rb") as handle:
        return handle.read(4)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GiB is 1 KiB, so that copies are quick."""
    monkeypatch.setattr(module, "_GIB", 1024)


def test_an_opened_store_is_a_file_system_of_its_own(store: VolumeStore, machine: Machine, tmp_path: Path) -> None:
    assert machine.made == [str(tmp_path / "volumes.xfs")]
    assert machine.mounted == {str(tmp_path / "volumes")}
    assert (tmp_path / "volumes.xfs").stat().st_size == 200 * GIB


@pytest.mark.usefixtures("small")
def test_a_snapshot_holds_what_the_volume_held(store: VolumeStore, tmp_path: Path) -> None:
    store.create(HERE, "vol", 1)
    assert (file(tmp_path, "vol").stat().st_size, head(file(tmp_path, "vol"))) == (1024, b"\0" * 4)
    write(file(tmp_path, "vol"), b"then")
    store.snapshot(HERE, "vol", "snap")
    write(file(tmp_path, "vol"), b"now!")
    store.copy(HERE, "snap", THERE, "copy")
    store.create(THERE, "new", 3, "copy")
    assert head(file(tmp_path, "snap")) == head(file(tmp_path, "new", THERE)) == b"then"
    assert file(tmp_path, "new", THERE).stat().st_size == 3 * 1024
    store.create(HERE, "same", 1, "snap")
    store.create(HERE, "never-smaller", 0, "snap")
    assert file(tmp_path, "never-smaller").stat().st_size == 1024


@pytest.mark.usefixtures("small")
def test_what_is_deleted_is_gone_and_nothing_else(store: VolumeStore, tmp_path: Path) -> None:
    store.create(HERE, "vol", 1)
    store.create(THERE, "vol", 1)
    store.snapshot(HERE, "vol", "snap")
    store.delete_volume(HERE, "vol")
    assert (file(tmp_path, "vol").exists(), file(tmp_path, "snap").exists()) == (False, True)
    store.delete_snapshot(HERE, "snap")
    store.delete_snapshot(HERE, "snap")
    assert (file(tmp_path, "snap").exists(), file(tmp_path, "vol", THERE).exists()) == (False, True)


def test_what_is_not_there_is_not_copied(store: VolumeStore) -> None:
    with pytest.raises(RegionError, match="cp --reflink=always"):
        store.snapshot(HERE, "none", "snap")
    with pytest.raises(RegionError):
        store.copy(HERE, "none", THERE, "copy")


@pytest.mark.usefixtures("small")
def test_a_volume_has_one_device_until_nobody_holds_it(
    store: VolumeStore, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create(HERE, "vol", 1)
    assert store.device(HERE, "vol") is None
    assert store.disconnect(HERE, "vol")
    device = store.connect(HERE, "vol")
    assert (store.connect(HERE, "vol"), store.device(HERE, "vol"), len(machine.loops)) == (device, device, 1)
    busy = [True]
    monkeypatch.setattr(module, "is_busy", lambda asked: asked == device and busy[0])
    assert (store.disconnect(HERE, "vol"), len(machine.loops)) == (False, 1)
    busy[0] = False
    assert (store.disconnect(HERE, "vol"), machine.loops) == (True, {})


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("connected", [True, False])
def test_a_device_over_a_larger_volume_is_told(
    store: VolumeStore, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, connected: bool
) -> None:
    told: list[int] = []
    monkeypatch.setattr(module.fcntl, "ioctl", lambda handle, request: told.append(request))
    store.create(HERE, "vol", 1)
    if connected:
        machine.loops[str(tmp_path / "device")] = str(file(tmp_path, "vol"))
        (tmp_path / "device").touch()
    store.resize(HERE, "vol", 2)
    assert file(tmp_path, "vol").stat().st_size == 2048
    assert told == ([0x4C07] if connected else [])


@pytest.mark.usefixtures("small")
def test_what_a_volume_really_holds_is_counted(store: VolumeStore, tmp_path: Path) -> None:
    store.create(HERE, "vol", 1024)
    assert store.written_bytes(HERE, "vol") == 0
    write(file(tmp_path, "vol"), b"x" * 4096)
    assert store.written_bytes(HERE, "vol") >= 4096


@pytest.mark.usefixtures("small")
def test_closing_takes_away_its_own_and_nobody_elses(
    store: VolumeStore, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = {"/dev/loop1": "/var/lib/images/a.img", "/dev/loop2": f"{tmp_path}/volumes.xfs", "/dev/loop3": ""}
    machine.loops |= others
    store.create(HERE, "vol", 1)
    store.connect(HERE, "vol")
    monkeypatch.setattr(module.os.path, "ismount", lambda path: str(path) in machine.mounted)
    for _ in range(2):
        store.close()
        assert (machine.loops, machine.mounted) == (others, set())
        assert not (tmp_path / "volumes").exists()
        assert not (tmp_path / "volumes.xfs").exists()


def test_a_device_that_cannot_be_had_alone_is_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "free").touch()
    assert not module.is_busy(tmp_path / "free")
    assert module.is_busy(tmp_path / "none")
    asked: list[int] = []
    monkeypatch.setattr(module.os, "open", lambda path, flags: asked.append(flags) or os.dup(0))
    module.is_busy(tmp_path / "free")
    assert asked == [os.O_RDONLY | os.O_EXCL]
