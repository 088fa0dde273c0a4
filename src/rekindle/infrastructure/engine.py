"""Runs the Pulumi CLI so that neither a killed caller kills it, nor a killed engine goes unnoticed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Protocol

from rekindle.errors import CommandFailed, InputError
from rekindle.infrastructure import process
from rekindle.infrastructure.events import Events
from rekindle.infrastructure.process import Process
from rekindle.parsing import NotPlain, from_json
from rekindle.progress import Tell

POLL_SECONDS = 0.1
LAST_LINES = 15
VARIABLES = {
    "PULUMI_SKIP_UPDATE_CHECK": "true",  # a recovery must not wait for a download page
    "PULUMI_DEBUG_COMMANDS": "true",  # --event-log is known only with it; Pulumi's automation API sets it too
    "PULUMI_PYTHON_CMD": sys.executable,  # a release in an empty directory has no environment of its own
}
GATE = 'read -r go && exec "$@"'  # the engine starts when its start is on record, under the number recorded


class Operations(Protocol):
    """Remembers the engines that were started for one stack."""

    def unfinished(self) -> Sequence[Process]:
        """Engines that began and whose end is not on record."""

    def began(self, engine: Process, command: str) -> None:
        """On record, durably, when this returns."""

    def ended(self, engine: Process, outcome: str) -> None:
        """Outcome: "succeeded", "failed" or "interrupted"."""


@dataclass(frozen=True, kw_only=True)
class Project:
    """A Pulumi project in a directory, and the environment variables its engine gets."""

    directory: Path
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    def command(self, *arguments: str) -> list[str]:
        """A pulumi command line; InputError if there is no pulumi."""
        binary = shutil.which("pulumi", path=self.environ.get("PATH"))
        if binary is None:
            raise InputError(
                "pulumi is not on PATH", next_step="Install it, or run scripts/install-pulumi, and try again."
            )
        return [binary, "--non-interactive", "--color=never", *arguments]

    @property
    def variables(self) -> dict[str, str]:
        return {**self.environ, **VARIABLES}


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How an engine ended."""

    code: int
    output: str
    errors: tuple[str, ...]
    changed: int


def ask(project: Project, *arguments: str, stdin: str | None = None) -> str:
    """What a short pulumi command prints; CommandFailed when it fails."""
    done = subprocess.run(
        project.command(*arguments),
        cwd=project.directory,
        env=project.variables,
        input=stdin,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise failure(arguments, Ended(code=done.returncode, output=done.stderr or done.stdout, errors=(), changed=0))
    return done.stdout


def ask_json(project: Project, *arguments: str) -> Any:
    """What a short pulumi command prints, decoded; CommandFailed when it prints anything but JSON."""
    printed = ask(project, *arguments)
    try:
        return from_json(printed)
    except NotPlain as error:
        raise odd(arguments, str(error)) from error


def odd(arguments: Sequence[str], problem: str) -> CommandFailed:
    """The error for a command that printed what its own documentation does not say."""
    return CommandFailed(
        f"pulumi {' '.join(arguments[:2])} printed what cannot be read: {problem}",
        next_step="Run it by hand to see what it prints, and see that pulumi is of a version that Rekindle knows.",
    )


def run(project: Project, arguments: Sequence[str], operations: Operations, tell: Tell) -> Ended:
    """Runs one engine to its end, its start on record before it begins, its events told as they come.

    The engine has a session of its own: it outlives a caller that is killed, and the next caller finds
    it by the record. An interrupt from the terminal is handed on, so that the engine can end in order.
    """
    with (
        TemporaryFile("w+", errors="replace") as output,
        TemporaryFile() as log,
    ):  # nameless: no kill can leave them behind
        engine = _spawn(project, arguments, output.fileno(), log.fileno())
        identity = process.of(engine.pid)
        operations.began(identity, f"pulumi {arguments[0]}")
        _open_gate(engine)
        events = Events(Path(f"/proc/self/fd/{log.fileno()}"), tell)
        code = _follow(engine, events)
        process.end_session(identity)
        operations.ended(identity, _outcome(code))
        output.seek(0)
        return Ended(code=code, output=output.read(), errors=tuple(events.errors), changed=events.changed)


def failure(arguments: Sequence[str], ended: Ended) -> CommandFailed:
    """The error for an engine that failed: the engine's own errors, or the last lines of its output."""
    lines = ended.errors or tuple(ended.output.strip().splitlines()[-LAST_LINES:])
    return CommandFailed(
        f"pulumi {arguments[0]} ended with {ended.code}:\n  " + "\n  ".join(lines),
        next_step="Mend the cause and run the same command again: Pulumi goes on from its state.",
    )


def _spawn(project: Project, arguments: Sequence[str], output: int, log: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        ["sh", "-c", GATE, "sh", *project.command(*arguments, "--event-log", f"/proc/self/fd/{log}")],
        pass_fds=(log,),
        cwd=project.directory,
        env=project.variables,
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _open_gate(engine: "subprocess.Popen[bytes]") -> None:
    if engine.stdin is None:
        raise ValueError("the engine was spawned without a gate")
    with suppress(BrokenPipeError):  # killed at the gate: its exit code tells
        engine.stdin.write(b"go\n")
        engine.stdin.flush()
    with suppress(BrokenPipeError):
        engine.stdin.close()


def _follow(engine: "subprocess.Popen[bytes]", events: Events) -> int:
    while engine.poll() is None:
        try:
            events.read()
            time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            with suppress(ProcessLookupError):
                os.killpg(engine.pid, signal.SIGINT)
    events.read()
    return engine.returncode


def _outcome(code: int) -> str:
    if code < 0:
        return "interrupted"
    return "failed" if code else "succeeded"
