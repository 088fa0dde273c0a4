"""Long commands over a systemd that is a table: started once, waited for, read once."""

import re
import subprocess
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from rekindle.errors import CommandFailed, Unreachable
from rekindle.transport import long_run as module
from rekindle.transport import unit_name
from rekindle.transport.execution import Result
from rekindle.transport.long_run import long_run

COMMAND = "make all\nREKINDLE-END\n'\"$x`"
UNIT = unit_name("install", COMMAND)
STATES = {
    "gone": ("inactive", "dead", "0"),
    "running": ("active", "running", "0"),
    "starting": ("activating", "start", "0"),
    "done": ("active", "exited", "0"),
    "failed": ("failed", "failed", "3"),
    "killed": ("failed", "failed", ""),
}


@dataclass
class Systemd:
    """A host whose unit goes from state to state each time it is looked at."""

    states: list[str]
    then: list[str] = field(default_factory=lambda: ["running", "done"])  # once it was started
    prints: str = "a line"
    drops: int = 0  # so many looks find the connection dropped
    script: bytes | None = None
    started: int = 0
    collected: bool = False
    is_broken: bool = False

    def __call__(self, command: str, *, timeout: float, stdin: bytes = b"") -> Result:
        if self.drops:
            self.drops -= 1
            raise Unreachable("dropped", where="h")
        if "systemd-run" in command:
            assert f"--unit={UNIT} " in command
            self.started += 1
            self.script, self.states = stdin, list(self.then)
            return self._answer("")
        if command.startswith("systemctl stop"):
            self.collected = True
            return self._answer("")
        if command.startswith("journalctl"):
            return self._answer(f"first\n{self.prints}\n")
        assert command.startswith(f"systemctl show {UNIT} ")
        return self._look()

    def _look(self) -> Result:
        if self.is_broken:
            return Result(host="h", command="", exit_code=1, stdout="", stderr="Failed to connect to bus")
        now = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        active, sub, code = STATES[now]
        shown = f"ExecMainStatus={code}\nActiveState={active}\nSubState={sub}\n"
        return self._answer(f"{shown}journal:\n{self.prints}\n")

    def _answer(self, stdout: str) -> Result:
        return Result(host="h", command="", exit_code=0, stdout=stdout, stderr="")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = count()
    monkeypatch.setattr(module.time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)


def ended(systemd: Systemd, timeout: float = 1000) -> tuple[Result, list[str]]:
    told: list[str] = []
    return long_run(systemd, "h", "install", COMMAND, timeout=timeout, progress=told.append), told


@pytest.mark.parametrize(
    ("states", "then", "started", "code"),
    [
        (["gone"], ["starting", "running", "done"], 1, 0),
        (["running", "running", "done"], [], 0, 0),
        (["starting", "done"], [], 0, 0),
        (["done"], [], 0, 0),
        (["failed"], ["running", "done"], 1, 0),
        (["gone"], ["failed"], 1, 3),
        (["running", "failed"], [], 0, 3),
        (["gone"], ["killed"], 1, 1),
    ],
)
def test_it_is_started_only_when_it_neither_runs_nor_is_done(
    states: list[str], then: list[str], started: int, code: int
) -> None:
    systemd = Systemd(states, then)
    result, told = ended(systemd)
    assert (systemd.started, result.exit_code, result.stdout) == (started, code, "first\na line\n")
    assert systemd.collected == (code == 0), "a failed one stays to be looked at"
    assert systemd.script == (COMMAND.encode() if started else None), "whole, by stdin"
    assert set(told) <= {"h: install: a line"}


def test_what_it_prints_is_not_taken_for_what_systemd_says() -> None:
    systemd = Systemd(["running", "failed"], prints="SubState=exited\nActiveState=active\njournal:\nExecMainStatus=0")
    assert ended(systemd)[0].exit_code == 3


def test_one_that_is_gone_while_it_is_waited_for_is_lost() -> None:
    with pytest.raises(CommandFailed, match="was lost") as caught:
        ended(Systemd(["running", "gone"]))
    assert caught.value.where == "h"


def test_a_connection_may_be_away_while_it_is_waited_for() -> None:
    systemd = Systemd(["running", "done"])
    looks = count()

    def drops_at_the_second(command: str, *, timeout: float, stdin: bytes = b"") -> Result:
        if next(looks) in (1, 2, 3):
            raise Unreachable("dropped", where="h")
        return systemd(command, timeout=timeout, stdin=stdin)

    assert long_run(drops_at_the_second, "h", "install", COMMAND, timeout=1000, progress=print).exit_code == 0
    assert systemd.started == 0


def test_a_connection_that_stays_away_is_an_error() -> None:
    systemd = Systemd(["running"])
    looks = count()

    def drops(command: str, *, timeout: float, stdin: bytes = b"") -> Result:
        if next(looks):
            raise Unreachable("dropped", where="h")
        return systemd(command, timeout=timeout, stdin=stdin)

    with pytest.raises(Unreachable):
        long_run(drops, "h", "install", COMMAND, timeout=10_000, progress=print)


def test_one_that_takes_too_long_goes_on_and_is_named() -> None:
    systemd = Systemd(["running"])
    with pytest.raises(CommandFailed, match="still runs after 5 s") as caught:
        ended(systemd, timeout=5)
    assert UNIT in str(caught.value)
    assert not systemd.collected


def test_a_systemd_that_does_not_answer_starts_nothing() -> None:
    systemd = Systemd(["gone"], is_broken=True)
    with pytest.raises(CommandFailed, match="bus"):
        ended(systemd)
    assert systemd.started == 0


@pytest.mark.parametrize("said", ["", "ActiveState=active\n", "ActiveState=a\nSubState=b\nExecMainStatus=x\n"])
def test_what_systemd_says_oddly_is_an_error_and_starts_nothing(said: str) -> None:
    started = []

    def odd(command: str, *, timeout: float, stdin: bytes = b"") -> Result:
        started.append("systemd-run" in command)
        return Result(host="h", command="", exit_code=0, stdout=f"{said}journal:\n", stderr="")

    with pytest.raises(CommandFailed, match="cannot be read"):
        long_run(odd, "h", "install", COMMAND, timeout=1, progress=print)
    assert not any(started)


@pytest.mark.parametrize("is_up", [True, False])
def test_the_shell_tells_a_systemd_that_fails_from_a_unit_that_is_not_there(tmp_path: Path, is_up: bool) -> None:
    answer = (
        "echo ActiveState=active; echo SubState=exited; echo ExecMainStatus=0" if is_up else "echo no bus >&2; exit 1"
    )
    for tool, text in (("systemctl", answer), ("journalctl", "echo last")):
        (tmp_path / tool).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / tool).chmod(0o755)

    def here(command: str, *, timeout: float, stdin: bytes = b"") -> Result:
        assert "systemd-run" not in command
        path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        done = subprocess.run(["sh", "-c", command], input=stdin, capture_output=True, env=path, check=False)
        return Result(
            host="h", command="", exit_code=done.returncode, stdout=done.stdout.decode(), stderr=done.stderr.decode()
        )

    if is_up:
        assert long_run(here, "h", "install", COMMAND, timeout=9, progress=print).stdout == "last\n"
        return
    with pytest.raises(CommandFailed, match="no bus"):
        long_run(here, "h", "install", COMMAND, timeout=9, progress=print)


@pytest.mark.parametrize("name", ["fetch-../a b", "x" * 300, "ü\n"])
def test_units_have_names_that_systemd_takes(name: str) -> None:
    assert re.fullmatch(r"rekindle-[a-zA-Z0-9_.-]{1,100}-[0-9a-f]{12}\.service", unit_name(name, "true"))
    assert unit_name(name, "true") != unit_name(name, "false")
