"""What a kind of host subject is: shell that prints its facts, and how it is changed."""

import re
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
    """What makes steps of one kind true: files of the stream and those that go, shell text, and what takes long."""

    files: tuple[PutFile, ...] = ()
    gone: tuple[str, ...] = ()
    script: str = ""
    afterwards: tuple[LongCommand, ...] = ()


class Kind(Protocol):
    """One kind of subject."""

    def facts(self, wanted: Wanted) -> str:
        """POSIX shell that prints one line for each name: `kind`, name and fields, between tabs."""

    def state(self, name: str, wanted: State | None, fields: Line) -> State | None:
        """The state that a line tells; ValueError if the line is none that `facts` prints."""

    def change(self, steps: Sequence[Step]) -> Change:
        """What makes the steps' `after` true; shell text runs under `set -eu` as root, with transport's PLACES."""


Report: TypeAlias = Callable[[str], None]
"""Takes one line of progress."""


def named(step: Step) -> str:
    """The name in a step's subject."""
    return step.subject.partition(":")[2]


def octal(mode: str) -> str:
    """A mode as states have it, from what stat prints; ValueError if it is none."""
    if not re.fullmatch("[0-7]{1,4}", mode):
        raise ValueError("it is no mode")
    return mode.rjust(4, "0")


def stamp(folder: str, name: str, inputs: str) -> str:
    """Shell that notes with which inputs something was last done."""
    noted = f"{STAMPS}/{folder}/{name}"
    return f"mkdir -p {STAMPS}/{folder}\n{words('printf', '%s', inputs).rstrip()} >{shlex.quote(noted)}\n"


def words(*parts: str) -> str:
    """One quoted line of shell."""
    return shlex.join(parts) + "\n"
