"""Where volumes are mounted: by EC2's attachments, and by what lies on their devices on the hosts that have them."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rekindle.aws.compute import VolumeFacts
from rekindle.backup.hosts import Hosts, all_of, marked, shell
from rekindle.errors import CommandFailed
from rekindle.inventory import Host

MARK = "rekindle-volume"
FIND = shell("find.sh")
NUMBER = re.compile(r"\d+:\d+")
ESCAPED = re.compile(rb"\\([0-7]{3})")  # proc(5), /proc/pid/mountinfo: space, tab, newline and backslash in octal


@dataclass(frozen=True, kw_only=True)
class Mount:
    """One file system of a volume, on the host that has it."""

    volume: str
    host: str
    path: str
    device: str  # "7:0"; two volumes of one logical volume have it in common


@dataclass
class Seen:
    """What lies on one volume's device."""

    leaves: set[str] = field(default_factory=set)  # device numbers; nothing is built on these
    mounts: dict[str, str] = field(default_factory=dict)  # device number to path


def mounts(hosts: Hosts, all_hosts: Sequence[Host], volumes: Mapping[str, VolumeFacts]) -> tuple[Mount, ...]:
    """Mounts of these volumes (by name); one that EC2 says is attached to nothing is at rest, and has none.

    CommandFailed names each that is attached, and that no freeze would hold still: to an instance that is
    no host of ours, or with no mount in the namespace of the host's first process.
    """
    names = {host.instance_id: host.name for host in all_hosts if host.instance_id}
    seen = _seen(hosts, names, volumes)
    problems = [problem for name, facts in sorted(volumes.items()) if (problem := _problem(name, facts, names, seen))]
    if problems:
        raise CommandFailed(
            "; ".join(problems),
            where=f"mounts of {', '.join(sorted(volumes))}",
            next_step="Mount or detach it, or declare `consistency: crash` for its package, and run `backup` again.",
        )
    return _mounts(volumes, names, seen)


def found(hosts: Hosts, all_hosts: Sequence[Host], volumes: Mapping[str, VolumeFacts]) -> tuple[Mount, ...]:
    """Mounts of these volumes, as far as there are any."""
    names = {host.instance_id: host.name for host in all_hosts if host.instance_id}
    return _mounts(volumes, names, _seen(hosts, names, volumes))


def seen_in(host: str, printed: str) -> dict[str, Seen]:
    """What find.sh printed, by volume id; CommandFailed names the host and the kind of a line that is none of its."""
    volumes: dict[str, Seen] = {}
    for words in marked(MARK, printed):
        match words:
            case [volume, "leaf", number] if NUMBER.fullmatch(number):
                volumes.setdefault(volume, Seen()).leaves.add(number)
            case [volume, "mount", number, root, path] if NUMBER.fullmatch(number):
                _note(volumes.setdefault(volume, Seen()).mounts, number, root, _decoded(path))
            case _:
                raise CommandFailed(
                    f"what it says of its volumes can't be read: {' '.join(words)[:80]!r}",
                    where=host,
                    next_step="Report this with the output of `cat /proc/1/mountinfo` there.",
                )
    return volumes


def _note(mounted: dict[str, str], number: str, root: str, path: str) -> None:
    """A mount of the whole file system comes before one of a folder or file of it."""
    if root == "/" or number not in mounted:
        mounted[number] = path


def _decoded(path: str) -> str:
    return ESCAPED.sub(lambda found: bytes([int(found[1], 8) & 0xFF]), path.encode()).decode(errors="replace")


def _seen(hosts: Hosts, names: Mapping[str, str], volumes: Mapping[str, VolumeFacts]) -> dict[str, Seen]:
    """What the hosts say lies on these volumes, by volume id."""
    looks: dict[str, list[str]] = {}
    for facts in volumes.values():
        if host := names.get(facts.attached_to or ""):
            looks.setdefault(host, []).append(_look(facts))
    asked = {host: f"{FIND}\n" + "\n".join(lines) for host, lines in looks.items()}
    printed = all_of(hosts.each(asked, lambda host: hosts.facts(host, asked[host])))
    return {volume: seen for host, text in printed.items() for volume, seen in seen_in(host, text).items()}


def _look(facts: VolumeFacts) -> str:
    return shlex.join(["look", facts.volume_id, _serial(facts), facts.device or ""])


def _serial(facts: VolumeFacts) -> str:
    """As Nitro's disks bear it (EC2 User Guide, "Identify EBS volumes")."""
    return facts.volume_id.replace("-", "")


def _problem(name: str, facts: VolumeFacts, names: Mapping[str, str], seen: Mapping[str, Seen]) -> str:
    """Why nothing would hold this volume still; empty when it is at rest or mounted."""
    if facts.attached_to is None:
        return "" if facts.state == "available" else f"{name} ({facts.volume_id}) is {facts.state}"
    attached = f"{name} ({facts.volume_id}) is attached to {facts.attached_to}"
    if facts.attached_to not in names:
        return f"{attached}, which is no host of the inventory"
    attached += f" ({names[facts.attached_to]})"
    there = seen.get(facts.volume_id, Seen())
    if not there.leaves:
        return f"{attached}, which has no device {facts.device} and no /dev/disk/by-id/*{_serial(facts)}"
    left = ", ".join(sorted(there.leaves - there.mounts.keys()))
    return f"{attached}, whose first process sees no mount of its block device {left}" if left else ""


def _mounts(
    volumes: Mapping[str, VolumeFacts], names: Mapping[str, str], seen: Mapping[str, Seen]
) -> tuple[Mount, ...]:
    return tuple(
        Mount(volume=name, host=host, path=path, device=device)
        for name, facts in sorted(volumes.items())
        if (host := names.get(facts.attached_to or ""))
        for device, path in sorted(seen.get(facts.volume_id, Seen()).mounts.items())
    )
