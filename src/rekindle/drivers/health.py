"""Subject `health:<app id>`: the service runs what is declared, all of it, and is healthy.

State: the digest of the declared state that is up, so that a gate that was not passed is waited
for again by the next run, though nothing else is left to change.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from rekindle.dcos import AppStatus, Marathon
from rekindle.plan import Driver, State, Step, digest

WAITING = 16  # gates of one target waited for at one time


@dataclass(frozen=True)
class Gate:
    """What must be up: a subject, the digest of its declared state, and how long that may take."""

    subject: str  # app:/orders, package:/kafka-1
    digest: str
    seconds: float
    target: str = "marathon"


class HealthDriver:
    """Looks whether services are up, and waits until they are."""

    def __init__(self, marathon: Marathon, drivers: Mapping[str, Driver], gates: Mapping[str, Gate]) -> None:
        self._marathon = marathon
        self._drivers = drivers
        self._gates = gates

    def read(self, target: str, subjects: Sequence[str]) -> Mapping[str, State | None]:
        apps = self._marathon.apps()
        found: dict[str, State | None] = {}
        for subject in subjects:
            app = apps.get(_id(subject))
            is_up = app is not None and AppStatus.of(app).is_settled and self._is_as_declared(subject)
            found[subject] = {"up": self._gates[subject].digest} if is_up else None
        return found

    def write(self, target: str, steps: Sequence[Step]) -> None:
        """GateFailed says what keeps a service from being up."""
        with ThreadPoolExecutor(max_workers=WAITING) as pool:
            for done in [pool.submit(self._await, step) for step in steps if step.after is not None]:
                done.result()

    def _await(self, step: Step) -> None:
        gate = self._gates.get(step.subject)
        self._marathon.await_settled(_id(step.subject), gate.seconds if gate else 0.0)

    def _is_as_declared(self, subject: str) -> bool:
        gate = self._gates[subject]
        driver = self._drivers[gate.subject.partition(":")[0]]
        state = driver.read(gate.target, [gate.subject])[gate.subject]
        return state is not None and digest(state) == gate.digest


def _id(subject: str) -> str:
    return subject.partition(":")[2]
