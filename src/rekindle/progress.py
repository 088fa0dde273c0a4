"""Tells a person, or a log, how far long work is."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeAlias

from rich.status import Status
from rich.text import Text

from rekindle.errors import RekindleError
from rekindle.plan import Step
from rekindle.terminal import Terminal

Tell: TypeAlias = Callable[[str], None]
"""Takes one line about what is being waited for; the newest line replaces the one before."""


PLAIN_SECONDS = 5.0  # between two lines about the same waiting, where no line replaces another
SHOWN_TARGETS = 4


@dataclass(frozen=True)
class Phase:
    """A named stretch of work and how long it took."""

    name: str
    seconds: float


@dataclass
class Progress:
    """A spinner with the newest line on a terminal, plain lines elsewhere; a Watcher of plans."""

    console: Terminal
    clock: Callable[[], float] = time.monotonic
    phases: list[Phase] = field(default_factory=list)
    _status: Status | None = None
    _told: float = -PLAIN_SECONDS
    _running: dict[str, str] = field(default_factory=dict)
    _guard: Lock = field(default_factory=Lock)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Times a stretch of work; says that it began, and that it ended or failed."""
        began = self.clock()
        self._say("▸", name, style="bold")
        with self._spinner(name):
            try:
                yield
            except BaseException:
                self._say("✗", f"{name} ({self.clock() - began:.1f} s)", style="red")
                raise
        self.phases.append(Phase(name, self.clock() - began))
        self._say("✓", f"{name} ({self.clock() - began:.1f} s)", style="green")

    def tell(self, line: str) -> None:
        """What is being waited for now: at once on a terminal, elsewhere a line now and then."""
        with self._guard:
            if self._status:
                self._status.update(_one_line(line))
            elif self.clock() - self._told >= PLAIN_SECONDS:
                self._told = self.clock()
                self.console.print(Text(f"  {line}"), soft_wrap=True)

    def started(self, steps: Sequence[Step]) -> None:
        """A batch of one target began."""
        with self._guard:
            self._running[steps[0].target] = _describe(steps)
            if self._status:
                shown = sorted(self._running.items())[:SHOWN_TARGETS]
                self._status.update(_one_line("; ".join(f"{target}: {what}" for target, what in shown)))

    def finished(self, steps: Sequence[Step], error: RekindleError | None) -> None:
        """A batch of one target ended."""
        with self._guard:
            self._running.pop(steps[0].target, None)
        mark, style = ("✗", "red") if error else ("✓", "green")
        self._say(f"  {mark}", f"{steps[0].target}: {_describe(steps)}", style=style)

    def _say(self, mark: str, text: str, *, style: str) -> None:
        with self._guard:
            self.console.print(Text(mark, style=style), Text(text), soft_wrap=True)

    @contextmanager
    def _spinner(self, name: str) -> Iterator[None]:
        if not self.console.is_terminal or self._status:
            yield
            return
        with self.console.status(Text(name)) as self._status:
            try:
                yield
            finally:
                self._status = None


def _one_line(text: str) -> Text:
    return Text(text, no_wrap=True, overflow="ellipsis")


def _describe(steps: Sequence[Step]) -> str:
    first = f"{steps[0].action} {steps[0].subject}"
    return first if len(steps) == 1 else f"{first} and {len(steps) - 1} more"
