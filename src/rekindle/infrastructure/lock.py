"""Pulumi's own lock on a stack, as the engine names it when it refuses."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rekindle.infrastructure.process import Process, is_running

# pulumi 3.250, pkg/backend/diy/lock.go, checkForLock
HELD = "the stack is currently locked by"
_HOLDER = re.compile(r"created by (?P<user>\S+)@(?P<host>\S+) \(pid (?P<pid>[0-9]{1,9})\) at (?P<at>\S+)")


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who made a lock file."""

    user: str
    host: str
    pid: int
    at: str  # RFC 3339


def holders(output: str) -> tuple[Holder, ...]:
    """Who holds the stack's locks, of a refusal's text; none for any other text."""
    if HELD not in output:
        return ()
    return tuple(
        Holder(user=m["user"], host=m["host"], pid=int(m["pid"]), at=m["at"]) for m in _HOLDER.finditer(output)
    )


def unaccounted(held: Sequence[Holder], ours: Iterable[Process]) -> tuple[Holder, ...]:
    """Holders that are not provably engines that we started here and that are dead."""
    dead = {(p.host, p.pid) for p in ours if p.is_of_this_host and not p.is_alive and not is_running(p.pid)}
    return tuple(h for h in held if (h.host, h.pid) not in dead)
