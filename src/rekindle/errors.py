"""The one exception tree: every error says what, where, and what to do next.

RekindleError
├── InputError          a file, a setting or an argument is wrong; nothing was changed
├── Refused             a rule forbids it as things stand; nothing was changed
│   ├── StalePlan       what is there differs from what the plan saw
│   ├── LockHeld        another holder has the environment's lock
│   └── Superseded      the environment was replaced by a recovery environment
├── Unreachable         a host, an API or a store does not answer
│   └── HostKeyChanged  a host shows another key than the one pinned
├── CommandFailed       a command on a host, or a call of an API, was answered with failure
│   └── SnapshotLost    a snapshot ended in error, or is gone
├── GateFailed          a condition did not become true in its time
├── JournalDamaged      the journal is torn, altered, reordered, cut or incomplete
└── Incomplete          some of the work is done and recorded, some is not
"""

from collections.abc import Iterable


class RekindleError(Exception):
    """What went wrong, where, and what to do next, as three sentences for a person."""

    def __init__(self, what: str, *, where: str = "", next_step: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.located()}\n{self.next_step}" if self.next_step else self.located()

    def located(self, default: str = "") -> str:
        """Where and what, on one line; `default` is the place of an error that names none."""
        where = self.where or default
        return f"{where}: {self.what}" if where else self.what


class InputError(RekindleError):
    """A file, a setting or an argument is wrong; nothing was changed."""


class Refused(RekindleError):
    """A rule forbids it as things stand; nothing was changed."""


class StalePlan(Refused):
    """What is there differs from what the plan saw."""


class LockHeld(Refused):
    """Another holder has the environment's lock."""


class Superseded(Refused):
    """The environment was replaced by a recovery environment."""


class Unreachable(RekindleError):
    """A host, an API or a store does not answer."""


class HostKeyChanged(Unreachable):
    """A host shows another key than the one pinned."""


class CommandFailed(RekindleError):
    """A command on a host, or a call of an API, was answered with failure."""


class SnapshotLost(CommandFailed):
    """A snapshot ended in error, or is gone: waiting for it is in vain."""


class GateFailed(RekindleError):
    """A condition did not become true in its time."""


class JournalDamaged(RekindleError):
    """The journal is torn, altered, reordered, cut or incomplete."""


class Incomplete(RekindleError):
    """Some of the work is done and recorded, some is not."""


def next_steps(errors: Iterable[RekindleError]) -> list[str]:
    """What to do next about all of these, each thing once."""
    return list(dict.fromkeys(error.next_step for error in errors if error.next_step))
