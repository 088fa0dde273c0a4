"""Subject `app:<id>`: a Marathon app. State: its definition, without what the server fills in."""

from collections.abc import Mapping, Sequence
from functools import partial

from rekindle.dcos import Marathon
from rekindle.dcos.app_definition import normal
from rekindle.dcos.marathon import App
from rekindle.drivers.attempts import attempt_all
from rekindle.plan import State, Step

REMOVE_SECONDS = 120.0


class AppDriver:
    """Puts whole definitions; Marathon rolls them out, and a `health` subject waits for that."""

    def __init__(self, marathon: Marathon) -> None:
        self._marathon = marathon

    def read(self, target: str, subjects: Sequence[str]) -> Mapping[str, State | None]:
        apps = self._marathon.apps()
        return {subject: self.state(_id(subject), apps.get(_id(subject))) for subject in subjects}

    def state(self, app_id: str, app: App | None) -> State | None:
        """What `read` says of an app that Marathon shows so."""
        return None if app is None else normal(app)

    def write(self, target: str, steps: Sequence[Step]) -> None:
        attempt_all(partial(self._write, step) for step in steps)

    def _write(self, step: Step) -> None:
        if step.after is not None:
            self._marathon.put(step.after)
        else:
            self._marathon.delete(_id(step.subject))
            self._marathon.await_gone(_id(step.subject), REMOVE_SECONDS)


def _id(subject: str) -> str:
    return subject.partition(":")[2]
