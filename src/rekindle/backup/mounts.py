"""Where volumes are mounted, and their file systems held still for a moment and never longer."""

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Protocol, TypeVar

from rekindle.aws.compute import VolumeFacts
from rekindle.errors import RekindleError
from rekindle.inventory import Host
from rekindle.transport import Result

T = TypeVar("T")

THAW_SECONDS = 30  # the host's own timer ends a freeze after this, whatever became of us
FREEZE_SECONDS = 20.0  # a freeze that takes longer is given up: its timer must not fire before the snapshots

# EBS names: the NVMe link carries the volume id (Nitro), else the device is what the attachment says.
FIND = """
for device in /dev/disk/by-id/*{serial} {device}; do
  [ -b "$device" ] || continue
  number=$(printf '%d:%d' "0x$(stat -Lc %t "$device")" "0x$(stat -Lc %T "$device")")
  awk -v number="$number" -v name={name} '$3 == number {{ print name "\\t" $5; exit }}' /proc/self/mountinfo
  break
done
"""
# The timer comes first. systemd's default accuracy is a minute (systemd.timer(5)), too late for a thaw.
# It tries again, because a freeze that hangs on a slow device may succeed only after we gave it up.
FREEZE = """
systemd-run --quiet --collect --unit={unit} --on-active={seconds}s --timer-property=AccuracySec=100ms \
  sh -c 'for try in 1 2 3 4 5 6 7 8 9 10; do fsfreeze --unfreeze "$1" && exit; sleep {seconds}; done' sh {path}
fsfreeze --freeze {path}
"""
THAW = """
fsfreeze --unfreeze {path} || failed="$failed "{path}
systemctl stop {unit}.timer {unit}.service 2>/dev/null || true
"""


class Hosts(Protocol):
    """Hosts reached; `rekindle.transport.Transport` is one."""

    def run(self, host: str, command: str, *, timeout: float = ..., check: bool = ...) -> Result: ...

    def facts(self, host: str, script: str) -> str: ...

    def each(self, hosts: Iterable[str], call: Callable[[str], T]) -> dict[str, T | RekindleError]: ...


@dataclass(frozen=True, kw_only=True)
class Mount:
    """One volume's file system on the agent that has it."""

    volume: str
    host: str
    path: str


def mounts(hosts: Hosts, agents: Sequence[Host], volumes: Mapping[str, VolumeFacts]) -> tuple[Mount, ...]:
    """Mounts of these volumes (by name), by EC2's attachments and each agent's own mount table.

    A volume that is mounted nowhere is at rest, and has none.
    """
    names = {agent.instance_id: agent.name for agent in agents if agent.instance_id}
    by_host: dict[str, list[str]] = {}
    for name, facts in sorted(volumes.items()):
        if facts.attached_to in names:
            by_host.setdefault(names[facts.attached_to], []).append(_find(name, facts))
    read = hosts.each(by_host, lambda host: hosts.facts(host, "".join(by_host[host])))
    return tuple(
        Mount(volume=volume, host=host, path=path)
        for host, printed in _all(read).items()
        for volume, path in (line.split("\t") for line in printed.splitlines())
    )


def freeze(hosts: Hosts, frozen: Sequence[Mount], point: str) -> None:
    """No file system of these changes any more; each has a timer on its host that thaws it in any case.

    Raises the first host's error; what was frozen by then is frozen, so thaw after it too.
    """
    scripts = _by_host(frozen, lambda m: FREEZE.format(unit=_unit(point, m), path=_path(m), seconds=THAW_SECONDS))
    _all(hosts.each(scripts, lambda host: hosts.run(host, f"set -e\n{scripts[host]}", timeout=FREEZE_SECONDS)))


def thaw(hosts: Hosts, frozen: Sequence[Mount], point: str) -> None:
    """All of these change again, and their timers are gone.

    CommandFailed names those that were not frozen any more: a timer came first, and what was taken
    in the meantime is not of one moment.
    """
    scripts = _by_host(frozen, lambda m: THAW.format(unit=_unit(point, m), path=_path(m)))
    verdict = '[ -z "$failed" ] || { echo "not frozen any more:$failed" >&2; exit 1; }'
    _all(hosts.each(scripts, lambda host: hosts.run(host, f"failed=\n{scripts[host]}{verdict}")))


def _find(name: str, facts: VolumeFacts) -> str:
    serial = facts.volume_id.replace("-", "")
    return FIND.format(serial=serial, device=shlex.quote(facts.device or "/dev/none"), name=shlex.quote(name))


def _by_host(chosen: Sequence[Mount], script: Callable[[Mount], str]) -> dict[str, str]:
    ordered = sorted(chosen, key=attrgetter("host"))
    return {host: "".join(map(script, of_host)) for host, of_host in groupby(ordered, key=attrgetter("host"))}


def _all(results: Mapping[str, T | RekindleError]) -> dict[str, T]:
    """Every host's result; else the first host's error."""
    done: dict[str, T] = {}
    for host, result in results.items():
        if isinstance(result, RekindleError):
            raise result
        done[host] = result
    return done


def _unit(point: str, mount: Mount) -> str:
    return shlex.quote(f"rekindle-thaw-{point}-{mount.volume}")


def _path(mount: Mount) -> str:
    return shlex.quote(mount.path)
