"""A host whose systemd and file systems are played by shell scripts, so that the shell texts that reach hosts run here.

Its state is files: a test sets and reads them. Units run for real, in the background; timers wait to be fired.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from rekindle.errors import CommandFailed, RekindleError
from rekindle.transport import Result

T = TypeVar("T")

SYSTEMD_RUN = r"""#!/bin/sh
for word; do case $word in --unit=*) unit=${word#--unit=} ;; --on-active=*) is_timer=yes ;; esac; done
while [ "${1#--}" != "$1" ]; do shift; done
if [ -n "$is_timer" ]; then
  [ ! -e "$STATE/no-timers" ] || { echo "Failed to start transient timer unit" >&2; exit 1; }
  for word; do printf '%s\n' "$word"; done >"$STATE/$unit.timer"
else
  [ ! -e "$STATE/no-units" ] || { echo "Failed to start transient service unit" >&2; exit 1; }
  setsid "$@" </dev/null >/dev/null 2>"$STATE/$unit.errors" &
  echo $! >"$STATE/$unit.pid"
fi
"""
SYSTEMCTL = r"""#!/bin/sh
for word; do rm -f "$STATE/$word"; done
"""
FSFREEZE = r"""#!/bin/sh
echo "$1" >>"$STATE/history"
case $1 in
--freeze)
  [ ! -s "$STATE/slow" ] || cp "$STATE/slow" "$STATE/uptime"
  while [ -e "$STATE/slow" ]; do /bin/sleep 0.01; done
  [ ! -e "$STATE/broken" ] || { echo "fsfreeze: $2: freeze failed: Input/output error" >&2; exit 1; }
  [ ! -e "$STATE/frozen" ] || { echo "fsfreeze: $2: freeze failed: Device or resource busy" >&2; exit 1; }
  readlink -f "$2" >"$STATE/frozen"
  [ ! -e "$STATE/late" ] || mv "$STATE/late" "$STATE/uptime"
  [ ! -e "$STATE/killed" ] || kill -9 $$
  ;;
--unfreeze)
  [ -e "$2" ] || { echo "fsfreeze: cannot open $2: No such file or directory" >&2; exit 1; }
  [ ! -e "$STATE/stuck" ] || { echo "fsfreeze: $2: unfreeze failed: Input/output error" >&2; exit 1; }
  rm "$STATE/frozen" 2>/dev/null || { echo "fsfreeze: $2: unfreeze failed: Invalid argument" >&2; exit 1; }
  ;;
esac
"""
SLEEP = "#!/bin/sh\nexec /bin/sleep 0.01\n"
CUT = '#!/bin/sh\ncat "$STATE/uptime"\n'  # of /proc/uptime
REAL = {"systemd-run": SYSTEMD_RUN, "systemctl": SYSTEMCTL}
ALL = {**REAL, "fsfreeze": FSFREEZE, "sleep": SLEEP, "cut": CUT}


@dataclass
class Machine:
    """Every host of a transport at once."""

    folder: Path
    tools: Mapping[str, str] = field(default_factory=lambda: ALL)
    noise: str = ""  # what its login shell prints before anything

    def __post_init__(self) -> None:
        self.folder.mkdir()
        for name, text in self.tools.items():
            self.tool(name, text)
        self.set("uptime", "100")

    def tool(self, name: str, text: str) -> None:
        """It is found before the real one."""
        (self.folder / name).write_text(text)
        (self.folder / name).chmod(0o755)

    def run(self, host: str, command: str, *, timeout: float = 60, check: bool = True) -> Result:
        done = subprocess.run(
            ["sh", "-c", command], env=self.variables(), capture_output=True, text=True, check=False, timeout=60
        )
        result = Result(
            host=host, command=command, exit_code=done.returncode, stdout=self.noise + done.stdout, stderr=done.stderr
        )
        return result.check() if check else result

    def facts(self, host: str, script: str) -> str:
        return self.run(host, script).stdout

    def each(self, hosts: Iterable[str], call: Callable[[str], T]) -> dict[str, T | RekindleError]:
        done: dict[str, T | RekindleError] = {}
        for host in hosts:
            try:
                done[host] = call(host)
            except CommandFailed as error:
                done[host] = error
        return done

    def variables(self) -> dict[str, str]:
        return {**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}", "STATE": str(self.folder)}

    def set(self, name: str, text: str = "") -> None:
        replacing = self.folder / f".{name}"
        replacing.write_text(text)
        replacing.rename(self.folder / name)

    def unset(self, name: str) -> None:
        (self.folder / name).unlink()

    def has(self, name: str) -> bool:
        return (self.folder / name).exists()

    @property
    def timers(self) -> list[str]:
        return [path.stem for path in self.folder.glob("*.timer")]

    def fire(self) -> list[subprocess.Popen[bytes]]:
        """As systemd does when their time has come."""
        return [
            subprocess.Popen(path.read_text().splitlines(), env=self.variables(), stderr=subprocess.DEVNULL)
            for path in self.folder.glob("*.timer")
        ]

    @property
    def pids(self) -> list[int]:
        """Of its units' first processes, ended ones too."""
        return [int(path.read_text()) for path in self.folder.glob("*.pid")]

    def kill_units(self) -> None:
        """Their first processes alone, as the kernel does when memory runs out."""
        for pid in filter(is_alive, self.pids):
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: not any(map(is_alive, self.pids)))

    def end(self) -> None:
        """No process of it is left."""
        for pid in self.pids:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def eventually(is_so: Callable[[], bool]) -> None:
    """It becomes so within seconds; what waits on is a busy machine's turn, never a clock of the test."""
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline, "it never became so"
        time.sleep(0.005)
