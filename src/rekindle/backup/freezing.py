"""File systems held still for a moment, and never longer.

On its host each is frozen, and thawed, by a unit of its own, which ends the freeze after `KEEP_SECONDS`
whatever becomes of us; should that unit be killed, a timer of systemd's thaws it. Neither is given up before
it saw that nothing is frozen and that no attempt to freeze is pending.
"""

import re
import shlex
from collections.abc import Sequence

from rekindle.backup.hosts import Hosts, all_of, marked, shell
from rekindle.backup.mounts import Mount
from rekindle.errors import CommandFailed
from rekindle.transport import Result

MARK = "rekindle-hold"
RUN = "/run/rekindle-freeze"  # memory: on a host that was started anew nothing is frozen
KEEP_SECONDS = 30  # of a freeze, its own time included
FREEZE_SECONDS = 20  # a freeze that takes longer is given up: too little would be left for the snapshots
WATCH_SECONDS = 45  # until the timer, if the unit that freezes was killed
THAW_SECONDS = 15  # for a thaw to be seen
COMMAND_SECONDS = 30.0

FROZEN, THAWED = "frozen", "thawed"
STATES = {
    "begun": "it is being frozen and does not come to an end",
    "frozen": "it is frozen still",
    "thawed": "it is thawed",
    "unknown": "its host knows nothing of it",
}
UNSAFE = re.compile(rb"[^\w/.-]")


def freeze(hosts: Hosts, mounts: Sequence[Mount], point: str) -> None:
    """No file system of these changes any more.

    CommandFailed names those that could not be frozen. Thaw after any error: some may be frozen by then.
    """
    _become(FROZEN, "freeze", hosts, mounts, point, "could not be frozen")


def thaw(hosts: Hosts, mounts: Sequence[Mount], point: str) -> None:
    """All of these change again, and were frozen until now.

    CommandFailed names those of which that is not certain: what was taken of them is not of one moment.
    """
    _become(THAWED, "release", hosts, mounts, point, "not frozen any more")


def _become(wanted: str, by: str, hosts: Hosts, mounts: Sequence[Mount], point: str, not_so: str) -> None:
    """Each host is asked for all of its mounts, and then waits for each."""
    by_host = _by_host(mounts)

    def on(host: str) -> None:
        chosen = by_host[host]
        lines = [shlex.join([verb, *_words(point, m)]) for verb in (by, wanted) for m in chosen]
        seconds = COMMAND_SECONDS + THAW_SECONDS * len(chosen)
        done = hosts.run(host, "\n".join([_hold(), *lines]), timeout=seconds, check=False)
        states = {words[0]: " ".join(words[1:]) for words in marked(MARK, done.stdout)}
        left = {m: states.get(_id(point, m), "unknown") for m in chosen}
        _require(host, {m: state for m, state in left.items() if state != wanted}, not_so, done)

    all_of(hosts.each(by_host, on))


def _require(host: str, left: dict[Mount, str], not_so: str, done: Result) -> None:
    if left:
        named = "; ".join(f"{m.volume} ({m.path}): {STATES.get(state, state)}" for m, state in left.items())
        said = done.stderr.strip().rpartition("\n")[2]
        raise CommandFailed(
            f"{not_so}: {named}" + (f" ({said})" if said else ""),
            where=host,
            next_step="Its host thaws by itself what is frozen there; run `backup` again.",
        )


def _by_host(mounts: Sequence[Mount]) -> dict[str, list[Mount]]:
    """Each file system once: what two volumes have in common is frozen once."""
    unique = {(m.host, m.device): m for m in reversed(mounts)}
    found: dict[str, list[Mount]] = {}
    for mount in reversed(unique.values()):
        found.setdefault(mount.host, []).append(mount)
    return found


def _hold() -> str:
    """hold.sh with its settings, and the texts that it places."""
    settings = {
        "run": RUN,
        "keep_seconds": KEEP_SECONDS,
        "freeze_seconds": FREEZE_SECONDS,
        "watch_seconds": WATCH_SECONDS,
        "thaw_seconds": THAW_SECONDS,
        "keep": shell("keep.sh"),
        "watch": shell("watch.sh"),
    }
    return "\n".join([*(f"{name}={shlex.quote(str(value))}" for name, value in settings.items()), shell("hold.sh")])


def _words(point: str, mount: Mount) -> tuple[str, str, str]:
    return _id(point, mount), mount.device, _escaped(mount.path)


def _id(point: str, mount: Mount) -> str:
    """Of its unit and its files."""
    return f"{point}-{mount.device.replace(':', '-')}"


def _escaped(path: str) -> str:
    """For `printf %b`: nothing in it means anything to a shell, or to systemd."""
    return UNSAFE.sub(lambda found: b"\\0%03o" % found[0][0], path.encode()).decode()
