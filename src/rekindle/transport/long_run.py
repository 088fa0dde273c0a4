"""Commands that outlive the connection: transient systemd units that the next run finds and reads."""

import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from rekindle.errors import CommandFailed, Unreachable
from rekindle.transport.execution import Result, last_lines

POLL_SECONDS = (0.2, 1.0)  # at first, and after some time
SOON = 5.0  # seconds that are "at first"
RECONNECT_SECONDS = 120.0  # a connection may be away this long while a unit is waited for
KEPT_LINES = 60
NAME_LIMIT = 100  # of 255 that systemd allows a unit's name
SHOWN = ("ActiveState", "SubState", "ExecMainStatus")
JOURNAL = "journal:"  # the line between what systemd says and what the command printed


class Runner(Protocol):
    """Runs a shell text on a host as root."""

    def __call__(self, command: str, *, timeout: float, stdin: bytes = ...) -> Result: ...


@dataclass(frozen=True)
class UnitState:
    """What systemd says of a transient unit."""

    active: str  # "active", "activating", "failed", "inactive"
    sub: str  # "running", "exited", "failed", "dead"
    exit_code: int
    last_line: str

    @property
    def is_known(self) -> bool:
        return not (self.active == "inactive" and self.sub == "dead")

    @property
    def is_running(self) -> bool:
        return self.sub in ("running", "start", "start-pre") or self.active == "activating"

    @property
    def has_succeeded(self) -> bool:
        return self.active == "active" and self.sub == "exited"


def unit_name(name: str, command: str) -> str:
    """The unit of this very command: another command text is another unit."""
    safe = re.sub(r"[^a-zA-Z0-9_.-]", "-", name)[:NAME_LIMIT]
    return f"rekindle-{safe}-{hashlib.sha256(command.encode()).hexdigest()[:12]}.service"


def long_run(
    run: Runner, host: str, name: str, command: str, *, timeout: float, progress: Callable[[str], None]
) -> Result:
    """Starts the command unless it already runs, waits for it, and reads its result from its unit.

    A unit found running is waited for; one found succeeded gives its result, once; one found
    failed is of an earlier run and is started anew.
    """
    unit = unit_name(name, command)
    began = time.monotonic()
    deadline = began + timeout
    state = _state(run, unit)
    if not state.is_running and not state.has_succeeded:
        _start(run, unit, command)
    while (state := _patient_state(run, unit, deadline)).is_running:
        progress(f"{host}: {name}: {state.last_line}" if state.last_line else f"{host}: {name}")
        if time.monotonic() > deadline:
            raise CommandFailed(
                f"{name} still runs after {timeout:g} s, as {unit}",
                where=host,
                next_step=f"Run the same again to go on waiting; `journalctl -u {unit}` there shows what it does.",
            )
        time.sleep(POLL_SECONDS[time.monotonic() - began > SOON])
    return _finish(run, host, unit, name, state)


def _start(run: Runner, unit: str, command: str) -> None:
    """The script comes by stdin into a file of the unit's own: no text of it ends it, and systemd quotes nothing."""
    script = f"/run/{unit}.sh"
    run(
        f"systemctl reset-failed {unit} 2>/dev/null; umask 077; rm -f {script}; cat >{script} || exit 1\n"
        f"exec systemd-run --unit={unit} --remain-after-exit --property=KillMode=process sh {script}",
        stdin=command.encode(),
        timeout=60,
    ).check()


def _state(run: Runner, unit: str) -> UnitState:
    shown = run(
        f"systemctl show {unit} {' '.join(f'-p {name}' for name in SHOWN)} && echo {JOURNAL} || exit 1\n"
        f"journalctl -q --no-pager -o cat -n 1 _SYSTEMD_UNIT={unit} 2>/dev/null || true",
        timeout=60,
    ).check()
    said, _, printed = shown.stdout.partition(f"{JOURNAL}\n")
    fields = dict(line.partition("=")[::2] for line in said.splitlines())
    try:
        active, sub, code = (fields[name] for name in SHOWN)
        return UnitState(active=active, sub=sub, exit_code=int(code or 0), last_line=last_lines(printed, 1))
    except (KeyError, ValueError) as error:
        raise CommandFailed(
            f"what systemd says of {unit} cannot be read",
            where=shown.host,
            next_step=f"`systemctl status {unit}` there says how it stands; then run the same again.",
        ) from error


def _patient_state(run: Runner, unit: str, deadline: float) -> UnitState:
    """The state, also across a dropped connection."""
    give_up = min(deadline, time.monotonic() + RECONNECT_SECONDS)
    while True:
        try:
            return _state(run, unit)
        except Unreachable:
            if time.monotonic() > give_up:
                raise
            time.sleep(POLL_SECONDS[1])


def _finish(run: Runner, host: str, unit: str, name: str, state: UnitState) -> Result:
    """The result; the unit of a success is collected, that of a failure stays to be looked at."""
    if not state.is_known:
        raise CommandFailed(
            f"{name} was lost: its unit {unit} is gone",
            where=host,
            next_step="Has the host restarted? Run the same again.",
        )
    output = run(f"journalctl -q --no-pager -o cat -n {KEPT_LINES} _SYSTEMD_UNIT={unit} || true", timeout=60).stdout
    if state.has_succeeded:
        run(f"systemctl stop {unit}; rm -f /run/{unit}.sh", timeout=60)
    exit_code = 0 if state.has_succeeded else state.exit_code or 1
    return Result(host=host, command=name, exit_code=exit_code, stdout=output, stderr="")
