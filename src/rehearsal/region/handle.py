"""A rehearsal region from outside: up, down, fail, and run commands on its Internet."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rehearsal.hosts import machine
from rehearsal.hosts.image import ensure_base_image
from rehearsal.network import namespaces, routers
from rehearsal.region import control, kernel_settings, preconditions
from rehearsal.region.errors import AlreadyUp, NotUp, RegionError
from rehearsal.region.stage import (
    API_ENDPOINT,
    DNS_ADDRESS,
    OPERATOR_KEY,
    S3_ENDPOINT,
    Stage,
    cache_directory,
    namespace_path,
)
from rehearsal.volumes.store import VolumeStore

_START_SECONDS = 60
_STOP_SECONDS = 10
Progress = Callable[[str], None]


class RegionHandle:
    """One rehearsal region on this machine, by the stage's name."""

    def __init__(self, stage: Stage | None = None) -> None:
        self.stage = stage or Stage.from_environ()

    # -- life ----------------------------------------------------------------------------------

    def up(self, progress: Progress = lambda _: None) -> None:
        """The region answers.

        Raises:
            PreconditionMissing: names all that this machine lacks.
            AlreadyUp: a region of this name is up.
            RegionError: it did not start; the message carries the end of its log.
        """
        preconditions.require()
        pid = self.pid
        if pid is not None:
            raise AlreadyUp(f"a region is already up (pid {pid}); end it with `rehearsal down`")
        if self._has_leftovers():
            progress("Removing what an earlier region left behind")
            self.down()
        image = ensure_base_image(cache_directory(), progress)
        progress("Starting the rehearsal region")
        try:
            self._prepare()
            self._start(image)
        except BaseException:
            self.down()
            raise

    def _prepare(self) -> None:
        stage = self.stage
        stage.run_directory.mkdir(parents=True, exist_ok=True)
        stage.data_directory.mkdir(parents=True, exist_ok=True)
        kernel_settings.raise_limits(stage)
        routers.build_backbone(stage)
        resolver = self._resolver_directory / "resolv.conf"
        resolver.parent.mkdir(parents=True, exist_ok=True)
        resolver.write_text(f"nameserver {DNS_ADDRESS}\noptions timeout:2 attempts:3\n")
        VolumeStore(stage.data_directory).open()

    def _start(self, image: Path) -> None:
        command = [
            *namespaces.entering(self.stage.region_namespace),
            sys.executable, "-m", "rehearsal.region.daemon", str(image),
        ]  # fmt: skip
        environ = {
            **os.environ,
            "REHEARSAL_NAME": self.stage.name,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        with self.stage.log_file.open("ab") as log:
            daemon = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environ, cwd="/", start_new_session=True
            )
        self.stage.pid_file.write_text(str(daemon.pid))
        deadline = time.monotonic() + _START_SECONDS
        while not self.stage.ready_file.exists():
            if daemon.poll() is not None or time.monotonic() > deadline:
                raise RegionError(f"the region did not start:\n{self.log_tail()}")
            time.sleep(0.05)

    @property
    def pid(self) -> int | None:
        """The region's process, while it lives."""
        try:
            pid = int(self.stage.pid_file.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if b"rehearsal.region.daemon" in command else None

    def down(self) -> None:
        """Nothing of the region is left, however it ended; repeatable."""
        self._end_operators()
        self._stop_daemon()
        machine.clean_up(self.stage)
        VolumeStore(self.stage.data_directory).close()
        for namespace in sorted(namespaces.existing()):
            if namespace.startswith(f"{self.stage.name}-"):
                namespaces.remove(namespace)
        shutil.rmtree(self._resolver_directory, ignore_errors=True)
        with contextlib.suppress(OSError):
            self._resolver_directory.parent.rmdir()
        kernel_settings.restore_limits(self.stage)
        shutil.rmtree(self.stage.data_directory, ignore_errors=True)
        shutil.rmtree(self.stage.run_directory, ignore_errors=True)

    def _end_operators(self) -> None:
        """Commands that still run on the region's Internet would be left without a network, waiting for ever."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in namespaces.processes(self.stage.internet_namespace):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            deadline = time.monotonic() + _STOP_SECONDS
            while namespaces.processes(self.stage.internet_namespace) and time.monotonic() < deadline:
                time.sleep(0.05)

    def _stop_daemon(self) -> None:
        pid = self.pid
        if pid is None:
            return
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        while self.pid is not None and not _is_zombie(pid):
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
                time.sleep(0.2)
                return
            time.sleep(0.05)

    def _has_leftovers(self) -> bool:
        stage = self.stage
        named = any(n.startswith(f"{stage.name}-") for n in namespaces.existing())
        return named or stage.run_directory.exists() or stage.data_directory.exists()

    @property
    def _resolver_directory(self) -> Path:
        return Path("/etc/netns") / self.stage.internet_namespace

    def log_tail(self, lines: int = 20) -> str:
        try:
            return "\n".join(self.stage.log_file.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    # -- use -----------------------------------------------------------------------------------

    def environ(self, region: str = "us-east-1") -> dict[str, str]:
        """The AWS_* variables with which the AWS SDKs and tools reach this region."""
        return {
            "AWS_ENDPOINT_URL": API_ENDPOINT,
            "AWS_ENDPOINT_URL_S3": S3_ENDPOINT,
            "AWS_ACCESS_KEY_ID": OPERATOR_KEY,
            "AWS_SECRET_ACCESS_KEY": OPERATOR_KEY,
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def in_internet(self, argv: Sequence[str]) -> list[str]:
        """The command that runs `argv` on the region's Internet, with its resolver."""
        return ["ip", "netns", "exec", self.stage.internet_namespace, *argv]

    def run_in_internet(self, argv: Sequence[str], **options: Any) -> subprocess.CompletedProcess[Any]:
        """`subprocess.run` on the region's Internet; `environ()` is added to the environment."""
        self.require_up()
        environ = {**(options.pop("env", None) or os.environ), **self.environ()}
        return subprocess.run(self.in_internet(argv), env=environ, **options)

    def inside_internet(self) -> contextlib.AbstractContextManager[None]:
        """This thread's sockets are on the region's Internet until the block ends (names are not: use addresses)."""
        self.require_up()
        return namespaces.entered(self.stage.internet_namespace)

    def require_up(self) -> None:
        if self.pid is None or not namespace_path(self.stage.internet_namespace).exists():
            raise NotUp("no rehearsal region is up; start one with `rehearsal up`")

    def status(self) -> dict[str, Any]:
        """By region: whether it is up, its instances, load balancers, volumes and snapshots."""
        answer: dict[str, Any] = control.ask(self.stage, "status")
        return answer

    def fail_region(self, region: str) -> int:
        """The region is lost; how many machines went with it."""
        return int(control.ask(self.stage, "fail-region", region=region))

    def restore_region(self, region: str) -> None:
        """The region answers again; its instances are stopped."""
        control.ask(self.stage, "restore-region", region=region)

    def fail_host(self, instance: str) -> None:
        """One host loses power."""
        control.ask(self.stage, "fail-host", instance=instance)


def _is_zombie(pid: int) -> bool:
    """Dead, and its parent (perhaps this process) has not looked yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
