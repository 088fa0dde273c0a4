"""Whatever the order of events, nothing stays frozen without something on its host that will thaw it."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from backup_machine import Machine, eventually, is_alive

from rekindle.backup import freezing
from rekindle.backup.mounts import Mount
from rekindle.errors import CommandFailed

POINT = "rp-1"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    monkeypatch.setattr(freezing, "RUN", str(tmp_path / "run"))
    monkeypatch.setattr(freezing, "THAW_SECONDS", 5)
    made = Machine(tmp_path / "machine")
    yield made
    made.end()


@pytest.fixture
def mount(tmp_path: Path) -> Mount:
    path = tmp_path / "a mount\twith 100%${of}\\its 'own'"
    path.mkdir()
    return mount_of(path)


def mount_of(path: Path, volume: str = "kafka-1") -> Mount:
    device = path.stat().st_dev
    return Mount(volume=volume, host="agent", path=str(path), device=f"{os.major(device)}:{os.minor(device)}")


def freeze(machine: Machine, *mounts: Mount) -> None:
    freezing.freeze(machine, mounts, POINT)


def thaw(machine: Machine, *mounts: Mount) -> None:
    freezing.thaw(machine, mounts, POINT)


def settled(machine: Machine) -> None:
    """Nothing is frozen, whoever saw to it; and a timer that is fired now finds that so, and is gone."""
    eventually(lambda: not machine.has("frozen"))
    for fired in machine.fire():
        assert fired.wait(20) == 0
    assert not machine.timers
    assert not machine.has("frozen")


@pytest.mark.parametrize("shell", ["dash", "bash --posix"])  # Debian's sh, and Red Hat's
def test_it_is_frozen_until_it_is_thawed(machine: Machine, mount: Mount, shell: str) -> None:
    machine.tool("sh", f'#!/bin/sh\nexec {shell} "$@"\n')
    freeze(machine, mount)
    assert (machine.folder / "frozen").read_text().strip() == mount.path
    assert machine.timers == [f"rekindle-thaw-{POINT}-{mount.device.replace(':', '-')}"]
    thaw(machine, mount)
    assert not machine.has("frozen")
    assert not machine.timers


def test_without_a_timer_nothing_is_frozen(machine: Machine, mount: Mount) -> None:
    machine.set("no-timers")
    with pytest.raises(CommandFailed, match=r"could not be frozen: kafka-1 .*transient timer unit"):
        freeze(machine, mount)
    assert not machine.has("history")
    settled(machine)


def test_without_a_unit_nothing_is_frozen(machine: Machine, mount: Mount) -> None:
    machine.set("no-units")
    with pytest.raises(CommandFailed, match=r"could not be frozen: kafka-1 .*transient service unit"):
        freeze(machine, mount)
    assert not machine.has("history")
    settled(machine)


def test_a_freeze_that_fails_is_told(machine: Machine, mount: Mount) -> None:
    machine.set("broken")
    with pytest.raises(CommandFailed, match="Input/output error"):
        freeze(machine, mount)
    settled(machine)


def test_what_is_frozen_by_something_else_is_left_so(machine: Machine, mount: Mount) -> None:
    machine.set("frozen")
    with pytest.raises(CommandFailed, match="Device or resource busy"):
        freeze(machine, mount)
    with pytest.raises(CommandFailed, match="not frozen any more"):
        thaw(machine, mount)
    assert machine.has("frozen")
    assert not machine.timers


def test_a_slow_freeze_is_given_up_and_thawed_when_it_succeeds_later(
    machine: Machine, mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freezing, "THAW_SECONDS", 0.05)
    give_up(machine, mount)
    with pytest.raises(CommandFailed, match="does not come to an end"):
        thaw(machine, mount)
    assert machine.timers, "disarmed while a freeze is pending"
    machine.unset("slow")
    eventually(lambda: "over: thawed by the host itself" in state_of(mount))
    assert (machine.folder / "history").read_text() == "--freeze\n--unfreeze\n"
    settled(machine)


def give_up(machine: Machine, mount: Mount) -> None:
    """The freeze takes longer than we wait."""
    machine.set("slow", str(100 + freezing.FREEZE_SECONDS))
    with pytest.raises(CommandFailed, match="does not come to an end"):
        freeze(machine, mount)


def test_a_timer_that_fires_during_a_slow_freeze_waits_for_its_end(machine: Machine, mount: Mount) -> None:
    give_up(machine, mount)
    (fired,) = machine.fire()
    eventually(lambda: has_released(mount))
    assert fired.poll() is None
    machine.unset("slow")
    assert fired.wait(20) == 0
    settled(machine)


def kept(mount: Mount, name: str) -> Path:
    return Path(freezing.RUN, f"{POINT}-{mount.device.replace(':', '-')}.{name}")


def has_released(mount: Mount) -> bool:
    """Whether it may not be frozen any more."""
    return kept(mount, "release").exists()


def state_of(mount: Mount) -> str:
    return kept(mount, "state").read_text()


def test_a_unit_killed_in_a_slow_freeze_leaves_it_to_the_timer(machine: Machine, mount: Mount) -> None:
    give_up(machine, mount)
    machine.kill_units()
    (fired,) = machine.fire()
    machine.unset("slow")
    assert fired.wait(20) == 0
    assert (machine.folder / "history").read_text() == "--freeze\n--unfreeze\n"
    settled(machine)


def test_a_unit_killed_while_it_is_frozen_leaves_it_to_the_timer(machine: Machine, mount: Mount) -> None:
    freeze(machine, mount)
    machine.kill_units()
    assert machine.has("frozen")
    (fired,) = machine.fire()
    assert fired.wait(20) == 0
    assert not machine.has("frozen")
    assert has_released(mount)
    with pytest.raises(CommandFailed, match="thawed by the host's timer"):
        thaw(machine, mount)
    settled(machine)


def test_a_timer_ends_when_the_mount_is_gone(machine: Machine, mount: Mount) -> None:
    freeze(machine, mount)
    machine.kill_units()
    machine.unset("frozen")
    Path(mount.path).rmdir()
    settled(machine)


def test_a_thaw_sees_that_the_unit_was_killed(machine: Machine, mount: Mount) -> None:
    freeze(machine, mount)
    machine.kill_units()
    with pytest.raises(CommandFailed, match="not frozen any more"):
        thaw(machine, mount)
    assert not machine.has("frozen")
    settled(machine)


def test_a_thaw_that_fails_leaves_the_timer_and_is_tried_on(
    machine: Machine, mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freezing, "THAW_SECONDS", 0.05)
    freeze(machine, mount)
    machine.set("stuck")
    with pytest.raises(CommandFailed, match="frozen still"):
        thaw(machine, mount)
    assert machine.timers, "disarmed though the thaw failed"
    machine.unset("stuck")
    settled(machine)


def test_a_timer_whose_thaw_fails_tries_on(machine: Machine, mount: Mount) -> None:
    freeze(machine, mount)
    machine.kill_units()
    machine.set("stuck")
    (fired,) = machine.fire()
    eventually(lambda: (machine.folder / "history").read_text().count("--unfreeze") > 1)
    machine.unset("stuck")
    assert fired.wait(20) == 0
    settled(machine)


def test_its_host_thaws_it_when_its_time_is_up(machine: Machine, mount: Mount) -> None:
    freeze(machine, mount)
    machine.set("uptime", str(100 + freezing.KEEP_SECONDS - 1))
    assert machine.has("frozen")
    machine.set("uptime", str(100 + freezing.KEEP_SECONDS))
    eventually(lambda: not machine.has("frozen"))
    with pytest.raises(CommandFailed, match="thawed by the host itself"):
        thaw(machine, mount)
    settled(machine)


def test_a_freeze_that_comes_too_late_is_thawed_at_once(machine: Machine, mount: Mount) -> None:
    machine.set("late", str(100 + freezing.KEEP_SECONDS))
    with suppress(CommandFailed):
        freeze(machine, mount)
    with pytest.raises(CommandFailed, match="thawed by the host itself"):
        thaw(machine, mount)
    settled(machine)


def test_one_that_was_given_up_before_its_turn_never_begins(
    machine: Machine, mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freezing, "FREEZE_SECONDS", 0)
    Path(freezing.RUN).mkdir()
    with Path(freezing.RUN, f"lock-{mount.device}").open("w") as another:
        fcntl.flock(another, fcntl.LOCK_EX)
        with pytest.raises(CommandFailed, match="does not come to an end"):
            freeze(machine, mount)
    with pytest.raises(CommandFailed, match="not frozen any more"):
        thaw(machine, mount)
    eventually(lambda: not any(map(is_alive, machine.pids)))
    assert not machine.has("history") or "--freeze" not in (machine.folder / "history").read_text()
    settled(machine)


def test_a_thaw_that_overtakes_the_freeze_forbids_it(machine: Machine, mount: Mount) -> None:
    with pytest.raises(CommandFailed, match="its host knows nothing of it"):
        thaw(machine, mount)
    with pytest.raises(CommandFailed):
        freeze(machine, mount)
    assert not machine.has("history")
    settled(machine)


def test_what_was_killed_in_the_freeze_may_have_frozen_it(machine: Machine, mount: Mount) -> None:
    machine.set("killed")
    with pytest.raises(CommandFailed, match="was killed"):
        freeze(machine, mount)
    settled(machine)


def test_what_something_else_thawed_is_told(machine: Machine, mount: Mount) -> None:
    freeze(machine, mount)
    machine.unset("frozen")
    with pytest.raises(CommandFailed, match="thawed by something else"):
        thaw(machine, mount)
    settled(machine)


def test_a_folder_that_is_no_mount_of_the_device_any_more_is_not_frozen(machine: Machine, mount: Mount) -> None:
    moved = Mount(volume="kafka-1", host="agent", path=mount.path, device="7:99")
    with pytest.raises(CommandFailed, match="is no mount of 7:99"):
        freeze(machine, moved)
    assert not machine.has("history")


def test_a_folder_that_is_gone_is_told(machine: Machine, mount: Mount) -> None:
    Path(mount.path).rmdir()
    with pytest.raises(CommandFailed, match="cannot be opened"):
        freeze(machine, mount)
    settled(machine)


def test_what_two_volumes_have_in_common_is_frozen_once(machine: Machine, mount: Mount) -> None:
    both = (mount, mount_of(Path(mount.path), "kafka-2"))
    freeze(machine, *both)
    thaw(machine, *both)
    assert (machine.folder / "history").read_text() == "--freeze\n--unfreeze\n"


@pytest.mark.parametrize(
    "noise", ["*** authorised use only ***\n", "\x1b(B\x1b[m", "rekindle-hold\n", "rekindle-hold x"]
)
def test_what_a_login_shell_prints_is_no_state(machine: Machine, mount: Mount, noise: str) -> None:
    machine.noise = noise
    freeze(machine, mount)
    thaw(machine, mount)


def test_silence_is_no_state(mount: Mount, machine: Machine) -> None:
    machine.tool("sh", "#!/bin/true\n")
    with pytest.raises(CommandFailed, match="its host knows nothing of it"):
        freeze(machine, mount)


def test_what_is_kept_of_freezes_is_roots_alone_and_goes_after_a_day(machine: Machine, mount: Mount) -> None:
    freeze(machine, mount)
    thaw(machine, mount)
    run = Path(freezing.RUN)
    assert {path.stat().st_mode & 0o077 for path in (run, *run.iterdir())} == {0}
    old = kept(mount, "state")
    os.utime(old, (time.time() - 90_000,) * 2)
    freezing.freeze(machine, [mount], "rp-2")
    freezing.thaw(machine, [mount], "rp-2")
    assert not old.exists()
    assert has_released(mount), "it is young"
