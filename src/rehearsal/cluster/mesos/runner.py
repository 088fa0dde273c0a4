"""Runs tasks as transient systemd units, which outlive the agent that started them."""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

IN_MOVED_TO = 0x80
SLICE = "mesos_executors.slice"


@dataclass(frozen=True, kw_only=True)
class Launch:
    """A command, where and as whom it runs, and how long it may take to end. Memory in MiB."""

    task_id: str
    command: tuple[str, ...]
    sandbox: Path
    user: str = "root"
    environment: dict[str, str] = field(default_factory=dict)
    cpus: float = 1.0
    mem: float = 0.0
    grace_seconds: float = 3.0


@dataclass(frozen=True, kw_only=True)
class Exit:
    """How a task ended: systemd's result word (success, exit-code, signal, oom-kill, timeout) and the code."""

    result: str
    status: str

    @property
    def is_success(self) -> bool:
        """True if it ended by itself with 0."""
        return self.result == "success" and self.status in {"0", ""}

    @property
    def message(self) -> str:
        """What Mesos' command executor would say."""
        if self.result == "oom-kill":
            return "Memory limit exceeded"
        if self.result == "exit-code" or self.status.isdigit():
            return f"Command exited with status {self.status or 0}"
        return f"Command terminated with signal {self.status}"


OnExit = Callable[[str, Exit], None]


class Runner(Protocol):
    """Starts, stops and watches tasks."""

    async def open(self, on_exit: OnExit) -> None:
        """Begin to report exits, those of before too."""

    async def start(self, launch: Launch) -> None:
        """Start a task; RuntimeError says why it could not."""

    async def stop(self, task_id: str) -> None:
        """Ask a task to end; its exit is reported."""

    async def running(self) -> set[str]:
        """Ids of the tasks that run."""

    async def close(self) -> None:
        """Stop reporting; tasks go on."""


class DirectoryWatch:
    """Calls back when a file is moved into a directory (inotify)."""

    def __init__(self, directory: Path, moved: Callable[[str], None]) -> None:
        self._moved = moved
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor < 0 or libc.inotify_add_watch(self._descriptor, bytes(directory), IN_MOVED_TO) < 0:
            raise OSError(ctypes.get_errno(), "inotify refused; raise fs.inotify.max_user_instances", str(directory))
        asyncio.get_running_loop().add_reader(self._descriptor, self._readable)

    def _readable(self) -> None:
        data = os.read(self._descriptor, 65536)
        while data:
            length = int.from_bytes(data[12:16], "little")
            self._moved(data[16 : 16 + length].rstrip(b"\0").decode())
            data = data[16 + length :]

    def close(self) -> None:
        """Stop watching."""
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)


async def run(*command: str) -> tuple[int, str]:
    """A command's exit code and its output, both streams together."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode(errors="replace").strip()


def unit_of(task_id: str) -> str:
    """The unit's name for a task id."""
    return "mesos-task-" + re.sub(r"[^A-Za-z0-9:_.-]", "_", task_id) + ".service"


class SystemdRunner:
    """Each task is a transient unit; the unit's last act is to leave a file that says how it ended."""

    def __init__(self, exits: Path) -> None:
        self._exits = exits
        self._watch: DirectoryWatch | None = None
        self._on_exit: OnExit | None = None

    async def open(self, on_exit: OnExit) -> None:
        """Report the exits that happened while nobody watched, then each as it happens."""
        self._exits.mkdir(parents=True, exist_ok=True)
        self._on_exit = on_exit
        self._watch = DirectoryWatch(self._exits, self._report)
        for name in sorted(entry.name for entry in self._exits.iterdir()):
            self._report(name)

    async def start(self, launch: Launch) -> None:
        """Start the unit; returns when its process has been executed."""
        (self._exits / launch.task_id).unlink(missing_ok=True)
        code, output = await run(*self._systemd_run(launch))
        if code != 0:
            raise RuntimeError(output or f"systemd-run exited with {code}")

    async def stop(self, task_id: str) -> None:
        """SIGTERM to all its processes, SIGKILL after the grace period."""
        await run("systemctl", "stop", "--no-block", unit_of(task_id))

    async def running(self) -> set[str]:
        """Tasks whose units are active, by the description that carries the id."""
        _, output = await run(
            "systemctl", "list-units", "--no-legend", "--plain", "--full",
            "--state=active,activating,deactivating", "mesos-task-*.service",
        )  # fmt: skip
        return {line.split(None, 4)[4].strip() for line in output.splitlines() if line.count(" ") >= 4}

    async def close(self) -> None:
        """Stop watching; units go on."""
        if self._watch is not None:
            self._watch.close()

    def _report(self, name: str) -> None:
        path = self._exits / name
        if name.endswith(".tmp") or not path.is_file() or self._on_exit is None:
            return
        words = path.read_text().split()
        path.unlink(missing_ok=True)
        self._on_exit(name, Exit(result=words[0] if words else "", status=words[2] if len(words) > 2 else ""))

    def _systemd_run(self, launch: Launch) -> list[str]:
        exit_file = self._exits / launch.task_id
        leave = f'printf "%s %s %s" "$SERVICE_RESULT" "$EXIT_CODE" "$EXIT_STATUS" > "{exit_file}.tmp"'
        properties = {
            "Type": "exec",
            "User": launch.user,
            "WorkingDirectory": str(launch.sandbox),
            "StandardOutput": f"append:{launch.sandbox}/stdout",
            "StandardError": f"append:{launch.sandbox}/stderr",
            "KillMode": "control-group",
            "TimeoutStopSec": str(max(launch.grace_seconds, 0.1)),
            "LimitNOFILE": "1048576",
            "TasksMax": "infinity",
            "CPUWeight": str(max(1, min(10000, int(launch.cpus * 100)))),
            "ExecStopPost": f'+/bin/sh -c \'{leave} && mv "{exit_file}.tmp" "{exit_file}"\'',
        }
        if launch.mem:
            properties["MemoryMax"] = f"{int(launch.mem)}M"
        command = ["systemd-run", "--quiet", "--collect", f"--unit={unit_of(launch.task_id)}", f"--slice={SLICE}"]
        command.append(f"--description={launch.task_id}")
        command += [word for name, value in properties.items() for word in ("-p", f"{name}={value}")]
        command += [f"--setenv={name}={value}" for name, value in launch.environment.items()]
        return [*command, "--", *launch.command]


class ProcessRunner:
    """Tasks as plain child processes: for tests on machines without systemd. They end with the agent."""

    def __init__(self) -> None:
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._graces: dict[str, float] = {}
        self._waits: set[asyncio.Task[None]] = set()
        self._on_exit: OnExit | None = None

    async def open(self, on_exit: OnExit) -> None:
        """Report exits from now on."""
        self._on_exit = on_exit

    async def start(self, launch: Launch) -> None:
        """Start the process in a group of its own."""
        with (launch.sandbox / "stdout").open("ab") as out, (launch.sandbox / "stderr").open("ab") as err:
            process = await asyncio.create_subprocess_exec(
                *launch.command, cwd=launch.sandbox, env=launch.environment, stdout=out, stderr=err,
                start_new_session=True,
            )  # fmt: skip
        self._processes[launch.task_id] = process
        self._graces[launch.task_id] = launch.grace_seconds
        self._spawn(self._wait(launch.task_id, process))

    async def stop(self, task_id: str) -> None:
        """SIGTERM to the group, SIGKILL after the grace period."""
        process = self._processes.get(task_id)
        if process is not None:
            self._signal(process, 15)
            self._spawn(self._escalate(process, self._graces[task_id]))

    async def running(self) -> set[str]:
        """Ids of live children."""
        return set(self._processes)

    async def close(self) -> None:
        """End all children: nobody would look after them."""
        self._on_exit = None
        for process in self._processes.values():
            self._signal(process, 9)
        await asyncio.gather(*self._waits, return_exceptions=True)

    async def _wait(self, task_id: str, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        self._processes.pop(task_id, None)
        self._signal(process, 9)
        if self._on_exit is not None:
            result = "success" if code == 0 else "exit-code" if code > 0 else "signal"
            self._on_exit(task_id, Exit(result=result, status=str(code) if code >= 0 else f"SIG{-code}"))

    async def _escalate(self, process: asyncio.subprocess.Process, grace: float) -> None:
        await asyncio.sleep(grace)
        if process.returncode is None:
            self._signal(process, 9)

    def _spawn(self, coroutine: object) -> None:
        task = asyncio.ensure_future(coroutine)  # type: ignore[call-overload]
        self._waits.add(task)
        task.add_done_callback(self._waits.discard)

    @staticmethod
    def _signal(process: asyncio.subprocess.Process, number: int) -> None:
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
