"""Subject `health:<app id>`: the service runs what is declared, all of it, and is healthy.

State: the digest of the declared state that is up, so that a gate that was not passed is waited
for again by the next run, though nothing else is left to change.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

from rekindle.dcos import AppStatus, Marathon
from rekindle.dcos.marathon import App
from rekindle.plan import State, Step, digest

StateOf: TypeAlias = Callable[[str, App | None], State | None]
"""The declared kind of state of an app, as its own driver reads it."""

WAITING = 16  # gates of one target waited for at one time


@dataclass(frozen=True)
class Gate:
    """What must be up: a subject, the digest of its declared state, and how long that may take."""

    subject: str  # app:/orders, package:/kafka-1
    digest: str
    seconds: float


class HealthDriver:
    """Looks whether services are up, and waits until they are."""

    def __init__(self, marathon: Marathon, states: Mapping[str, StateOf], gates: Mapping[str, Gate]) -> None:
        self._marathon = marathon
        self._states = states
        self._gates = gates

    def read(self, target: str, subjects: Sequence[str]) -> Mapping[str, State | None]:
        return {subject: self._state(self._gates[subject], _id(subject)) for subject in subjects}

    def write(self, target: str, steps: Sequence[Step]) -> None:
        """GateFailed says what keeps a service from being up."""
        with ThreadPoolExecutor(max_workers=WAITING) as pool:
            for done in [pool.submit(self._await, step) for step in steps if step.after is not None]:
                done.result()

    def _await(self, step: Step) -> None:
        self._marathon.await_settled(_id(step.subject), self._gates[step.subject].seconds)

    def _state(self, gate: Gate, app_id: str) -> State | None:
        app = self._marathon.app(app_id)
        if app is None or not AppStatus.of(app).is_settled:
            return None
        found = self._states[gate.subject.partition(":")[0]](app_id, app)
        return {"up": gate.digest} if found is not None and digest(found) == gate.digest else None


def _id(subject: str) -> str:
    return subject.partition(":")[2]
