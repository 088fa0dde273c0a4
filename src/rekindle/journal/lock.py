"""The environment's lock: generations as create-only keys, whose number fences."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType

from rekindle.journal.chain import Head
from rekindle.journal.store import Store
from rekindle.secrets import Keyring

LEASE_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who holds or wants a lock, and as which process."""

    name: str  # user@host
    place: str  # boot id and process namespace: where `pid` means something
    pid: int
    started: int  # of the process, in clock ticks since boot: tells a pid used again
    reason: str  # "apply"
    command_id: str

    @classmethod
    def of_this_process(cls, reason: str) -> "Holder":
        """This process, with a new command id."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Held:
    """Another's lock, as far as it can be seen."""

    holder: Holder
    generation: int
    acquired: datetime
    until: datetime  # when the lease runs out unless it is renewed


class Lock:
    """The right to change one environment, kept by renewing it in the background."""

    generation: int
    holder: Holder
    former: Held | None  # whose unreleased lock was taken over

    @classmethod
    def acquire(
        cls,
        store: Store,
        environment: str,
        keyring: Keyring,
        holder: Holder,
        *,
        lease_seconds: float = LEASE_SECONDS,
        take: bool = False,
        waiting: Callable[[Held, float], None] | None = None,
    ) -> "Lock":
        """The lock, at once if it is free, its holder is dead here, or `take`; else when its lease has run out.

        `waiting` is told each second who holds it and the seconds left. LockHeld as soon as the holder
        shows that it lives.
        """
        raise NotImplementedError

    def record(self, head: Head) -> None:
        """The journal's head, which the next renewal and the release carry."""
        raise NotImplementedError

    def check(self) -> None:
        """LockHeld if another took over, or the lease ran out without a renewal; no I/O."""
        raise NotImplementedError

    def release(self) -> None:
        """Free for others at once."""
        raise NotImplementedError

    def __enter__(self) -> "Lock":
        raise NotImplementedError

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        raise NotImplementedError
