"""Subject `app:<id>`: a Marathon app. State: its definition, without what the server fills in."""

from collections.abc import Mapping, Sequence

from rekindle.dcos import Marathon
from rekindle.dcos.app_definition import normal
from rekindle.plan import State, Step

REMOVE_SECONDS = 120.0


class AppDriver:
    """Puts whole definitions; Marathon rolls them out, and a `health` subject waits for that."""

    def __init__(self, marathon: Marathon) -> None:
        self._marathon = marathon

    def read(self, target: str, subjects: Sequence[str]) -> Mapping[str, State | None]:
        apps = self._marathon.apps()
        ids = {subject: subject.partition(":")[2] for subject in subjects}
        return {subject: normal(apps[app_id]) if app_id in apps else None for subject, app_id in ids.items()}

    def write(self, target: str, steps: Sequence[Step]) -> None:
        for step in steps:
            if step.after is not None:
                self._marathon.put(step.after)
            else:
                self._marathon.delete(step.subject.partition(":")[2])
        for step in steps:
            if step.after is None:
                self._marathon.await_gone(step.subject.partition(":")[2], REMOVE_SECONDS)
