"""Subject `package:<app id>`: a package that Cosmos installed.

State: package, version, options and instances, read from the labels that Cosmos keeps on its app.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from rekindle.dcos import ApiError, AppStatus, Client
from rekindle.dcos.cosmos import LABEL_NAME, LABEL_VERSION, stored_options
from rekindle.dcos.marathon import App
from rekindle.drivers.attempts import attempt_all
from rekindle.plan import State, Step

REMOVE_SECONDS = 300.0
CONFLICT = 409


@dataclass(frozen=True)
class Initialise:
    """An option given only at installation, as the time until which empty data may be begun with."""

    option: str  # dotted
    seconds: int
    is_allowed: bool  # false: the service had data before


class PackageDriver:
    """Installs side by side; changes installations of one package one by one, each once the others are up."""

    def __init__(
        self,
        client: Client,
        initialise: Mapping[str, Initialise],
        gate_seconds: float,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._initialise = initialise
        self._gate_seconds = gate_seconds
        self._now = now

    def read(self, target: str, subjects: Sequence[str]) -> Mapping[str, State | None]:
        apps = self._client.marathon.apps()
        return {subject: self.state(_id(subject), apps.get(_id(subject))) for subject in subjects}

    def write(self, target: str, steps: Sequence[Step]) -> None:
        attempt_all(partial(self._write, step) for step in sorted(steps, key=lambda s: s.before is not None))

    def state(self, app_id: str, app: App | None) -> State | None:
        """What `read` says of an app that Marathon shows so."""
        labels = app.get("labels", {}) if app else {}
        if app is None or LABEL_NAME not in labels:
            return None
        once = self._initialise.get(app_id)
        options = stored_options(app)
        return {
            "package": labels[LABEL_NAME],
            "version": labels.get(LABEL_VERSION, ""),
            "options": without(options, once.option) if once else options,
            "instances": int(app.get("instances", 1)),
        }

    def _write(self, step: Step) -> None:
        app_id = _id(step.subject)
        if step.after is None:
            self._remove(app_id, step.before)
        elif step.before is None:
            self._install(app_id, step.after)
        else:
            self._change(app_id, step.before, step.after)

    def _install(self, app_id: str, state: State) -> None:
        options = state["options"]
        once = self._initialise.get(app_id)
        if once is not None and once.is_allowed:
            options = with_option(options, once.option, int(self._now()) + once.seconds)
        try:
            self._client.cosmos.install(state["package"], state["version"], options, app_id)
        except ApiError as error:
            if error.kind != "PackageAlreadyInstalled":  # a call whose answer was lost
                raise

    def _change(self, app_id: str, before: State, after: State) -> None:
        """Options through Cosmos; another version is rendered by Cosmos and put to Marathon (FACTS 7)."""
        self._await_siblings(app_id, after["package"])
        is_options_only = (before["package"], before["version"], before["instances"]) == (
            after["package"],
            after["version"],
            after["instances"],
        )
        if not (is_options_only and self._is_updated(app_id, after["options"])):
            app = self._client.cosmos.render(after["package"], after["version"], after["options"], app_id)
            self._client.marathon.put({**app, "instances": after["instances"]})
        self._client.marathon.await_settled(app_id, self._gate_seconds)

    def _is_updated(self, app_id: str, options: Mapping[str, Any]) -> bool:
        """Whether Cosmos took the options: it takes none while a deployment holds the app."""
        try:
            self._client.cosmos.update(app_id, options)
        except ApiError as error:
            if error.status != CONFLICT:
                raise
            return False
        return True

    def _await_siblings(self, app_id: str, package: str) -> None:
        """The other installations are up, so that a quorum outlives this one's restart."""
        for other, app in self._client.marathon.apps().items():
            is_sibling = other != app_id and app.get("labels", {}).get(LABEL_NAME) == package
            if is_sibling and not AppStatus.of(app).is_settled:
                self._client.marathon.await_settled(other, self._gate_seconds)

    def _remove(self, app_id: str, state: State | None) -> None:
        if state is not None:
            self._client.cosmos.uninstall(state["package"], app_id)
            self._client.marathon.await_gone(app_id, REMOVE_SECONDS)


def without(options: Mapping[str, Any], dotted: str) -> dict[str, Any]:
    """Options without one, and without the mapping that it leaves empty."""
    first, _, rest = dotted.partition(".")
    result = dict(options)
    below = result.pop(first, None)
    if rest and isinstance(below, Mapping):
        kept = without(below, rest)
        if kept:
            result[first] = kept
    return result


def with_option(options: Mapping[str, Any], dotted: str, value: Any) -> dict[str, Any]:
    """Options with one set."""
    first, _, rest = dotted.partition(".")
    return {**options, first: with_option(options.get(first, {}), rest, value) if rest else value}


def _id(subject: str) -> str:
    return subject.partition(":")[2]
