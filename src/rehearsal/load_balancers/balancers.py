"""Runs one HAProxy for each load balancer, in a namespace of its own, and reads health from it."""

from __future__ import annotations

import csv
import hashlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rehearsal.hosts import cgroups
from rehearsal.load_balancers.configuration import LoadBalancer, configuration
from rehearsal.network.namespaces import entering
from rehearsal.region.stage import Stage

_PATIENCE_SECONDS = 3.0


@dataclass
class _Running:
    process: subprocess.Popen[bytes]
    text: str
    told: float  # when it was last told to take the text, monotonic seconds
    is_in_use: bool = False


class Balancers:
    """The HAProxies that run, and the difference to what the API says."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._running: dict[str, _Running] = {}
        self._directory = stage.run_directory / "load-balancers"

    def stop_others(self, wanted: Iterable[str]) -> None:
        """Stops every balancer that is not among these."""
        for balancer_id in self._running.keys() - set(wanted):
            del self._running[balancer_id]
            cgroups.kill(self._cgroup(balancer_id))
            cgroups.remove(self._cgroup(balancer_id))

    def apply(self, balancers: Iterable[LoadBalancer]) -> None:
        """Starts or reloads those whose configuration changed."""
        self._directory.mkdir(exist_ok=True)
        for balancer in balancers:
            text = _named(configuration(balancer, str(self._socket(balancer.id))))
            running = self._running.get(balancer.id)
            if running is None or running.process.poll() is not None:
                self._start(balancer.id, text)
            elif running.text != text:
                self._reload(balancer.id, running, text)
            elif not running.is_in_use:
                self._make_sure(balancer.id, running)

    def _start(self, balancer_id: str, text: str) -> None:
        path = self._directory / f"{balancer_id}.cfg"
        path.write_text(text)
        joining = "".join(f"echo $$ > {members} && " for members in cgroups.create(self._cgroup(balancer_id)))
        enter = entering(self._stage.namespace_of(balancer_id))
        with (self._directory / f"{balancer_id}.log").open("ab") as log:
            process = subprocess.Popen(
                ["sh", "-c", f'{joining}exec "$@"', "balancer", *enter, "haproxy", "-W", "-db", "-f", str(path)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._running[balancer_id] = _Running(process, text, time.monotonic())

    def _reload(self, balancer_id: str, running: _Running, text: str) -> None:
        """New connections see the new configuration; those that are open end as they would have."""
        (self._directory / f"{balancer_id}.cfg").write_text(text)
        os.kill(running.process.pid, signal.SIGUSR2)
        running.text, running.told, running.is_in_use = text, time.monotonic(), False

    def _make_sure(self, balancer_id: str, running: _Running) -> None:
        """HAProxy loses a signal that comes while it starts or reloads: told again until it uses the text."""
        running.is_in_use = f"description: {_name(running.text)}" in self._ask(balancer_id, "show info")
        if not running.is_in_use and time.monotonic() - running.told > _PATIENCE_SECONDS:
            self._reload(balancer_id, running, running.text)

    def health(self, balancer_id: str) -> dict[tuple[str, str], str]:
        """State by (backend, server): "initial", "healthy" or "unhealthy"; empty while none runs."""
        rows = csv.DictReader(self._ask(balancer_id, "show stat -1 4 -1").lstrip("# ").splitlines())
        return {(row["pxname"], row["svname"]): _state(row["status"], row["check_status"]) for row in rows}

    def _ask(self, balancer_id: str, command: str) -> str:
        answer = b""
        try:
            with socket.socket(socket.AF_UNIX) as link:
                link.settimeout(1)
                link.connect(str(self._socket(balancer_id)))
                link.sendall(command.encode() + b"\n")
                while chunk := link.recv(65536):
                    answer += chunk
        except OSError:
            return ""
        return answer.decode()

    def _socket(self, balancer_id: str) -> Path:
        return self._directory / f"{balancer_id}.sock"

    def _cgroup(self, balancer_id: str) -> str:
        return f"{self._stage.cgroup}/{balancer_id}"


def _named(text: str) -> str:
    """The configuration with its own digest as description, by which a running HAProxy says what it uses."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    return text.replace("global\n", f"global\n    description {digest}\n", 1)


def _name(text: str) -> str:
    return text.partition("description ")[2].partition("\n")[0]


def _state(status: str, check_status: str) -> str:
    if check_status.removeprefix("* ") in {"", "INI"}:
        return "initial"
    return "healthy" if status.startswith(("UP", "no check")) else "unhealthy"
