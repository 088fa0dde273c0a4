"""What a kind of host subject is: shell that prints its facts, and how it is changed."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from rekindle.plan import State, Step
from rekindle.transport import PutFile

Wanted: TypeAlias = Mapping[str, State | None]
"""What is declared of each name of a kind; None where nothing is known of the name but that it exists."""

Line: TypeAlias = tuple[str, ...]
"""The fields of one fact after its kind and name."""

STAMPS = "/var/lib/rekindle"  # what a host cannot tell of itself: with which inputs something was last done


@dataclass(frozen=True, kw_only=True)
class LongCommand:
    """Shell text that runs as a unit of its own after the stream."""

    name: str
    run: str
    timeout: float


@dataclass(frozen=True, kw_only=True)
class Change:
    """What makes steps of one kind true: files of the stream, shell text, and what takes long."""

    files: tuple[PutFile, ...] = ()
    script: str = ""
    afterwards: tuple[LongCommand, ...] = ()


class Kind(Protocol):
    """One kind of subject."""

    def facts(self, wanted: Wanted) -> str:
        """POSIX shell that prints one line for each name: `kind`, name and fields, between tabs."""

    def state(self, name: str, wanted: State | None, fields: Line) -> State | None:
        """The state that a line tells."""

    def change(self, steps: Sequence[Step]) -> Change:
        """What makes the steps' `after` true; shell text runs under `set -eu` as root."""


Report: TypeAlias = Callable[[str], None]
"""Takes one line of progress."""


def named(step: Step) -> str:
    """The name in a step's subject."""
    return step.subject.partition(":")[2]


def words(*parts: str) -> str:
    """One quoted line of shell."""
    return shlex.join(parts) + "\n"
