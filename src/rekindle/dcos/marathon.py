"""Marathon: apps, their deployments, and what keeps one from running."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from rekindle.dcos import answers
from rekindle.dcos.answers import read, read_list
from rekindle.dcos.errors import ApiError
from rekindle.dcos.session import Session
from rekindle.errors import GateFailed

BASE = "/service/marathon/v2"
POLL_SECONDS = 0.5
LOCKED_SECONDS = 300.0  # how long another deployment of the same app is waited for

App = Mapping[str, Any]


@dataclass(frozen=True)
class AppStatus:
    """How far an app is."""

    id: str
    instances: int
    running: int
    healthy: int
    is_checked: bool
    deployments: tuple[str, ...]
    last_failure: str

    @classmethod
    def of(cls, app: App) -> "AppStatus":
        return cls(
            id=app["id"],
            instances=int(app.get("instances", 1)),
            running=int(app.get("tasksRunning", 0)),
            healthy=int(app.get("tasksHealthy", 0)),
            is_checked=bool(app.get("healthChecks")),
            deployments=tuple(item["id"] for item in app.get("deployments", ())),
            last_failure=_failure_text(app.get("lastTaskFailure")),
        )

    @property
    def is_settled(self) -> bool:
        """All instances run, are healthy if that is checked, and nothing is being deployed."""
        up = self.healthy if self.is_checked else self.running
        return not self.deployments and up == self.running == self.instances


class Marathon:
    """Calls of the leading Marathon."""

    def __init__(
        self,
        session: Session,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._session = session
        self._clock = clock
        self._sleep = sleep

    def apps(self) -> dict[str, App]:
        """Every app by id, with its counts and deployments, in one request."""
        found = answers.as_it_came(answers.Apps, self._session.request("GET", f"{BASE}/apps"))
        return {app["id"]: app for app in found["apps"]}

    def app(self, app_id: str) -> App | None:
        """One app with counts, deployments and its last failure; None if there is none."""
        try:
            answer = self._session.request("GET", _url(app_id))
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        app: App = answers.as_it_came(answers.OneApp, answer)["app"]
        return app

    def put(self, app: App) -> str:
        """Makes the app exactly this, whatever it was; the id of the deployment."""
        return self._change("PUT", app["id"], {"partialUpdate": "false"}, json=dict(app))

    def delete(self, app_id: str) -> None:
        """Stops and forgets the app; one that is not there is no failure."""
        try:
            self._change("DELETE", app_id, {})
        except ApiError as error:
            if error.status != 404:
                raise

    def deployments(self) -> dict[str, frozenset[str]]:
        """What is being deployed now: by deployment, the apps and pods that it locks."""
        found = read_list(answers.Deployment, self._session.request("GET", f"{BASE}/deployments"))
        return {item.id: frozenset([*item.affectedApps, *item.affectedPods]) for item in found}

    def await_settled(self, app_id: str, timeout: float) -> None:
        """Returns when all instances are up and healthy; GateFailed says what blocks."""
        until = self._clock() + timeout
        while True:
            app = self.app(app_id)
            if app is not None and AppStatus.of(app).is_settled:
                return
            if self._clock() >= until:
                raise self._not_settled(app_id, app, timeout)
            self._sleep(POLL_SECONDS)

    def await_gone(self, app_id: str, timeout: float) -> None:
        """Returns when the app is no more; GateFailed if it stays."""
        until = self._clock() + timeout
        while self.app(app_id) is not None:
            if self._clock() >= until:
                raise GateFailed(f"{app_id} was not removed in {timeout:.0f} s", where="marathon")
            self._sleep(POLL_SECONDS)

    def blockers(self, app_id: str) -> tuple[str, ...]:
        """Why instances that wait in the queue are not placed, as Marathon counts refused offers."""
        asked = {"embed": "lastUnusedOffers"}
        queue = read(answers.Queue, self._session.request("GET", f"{BASE}/queue", params=asked)).queue
        mine = [item for item in queue if (known := item.app or item.pod) and known.id == app_id]
        return tuple(reason for item in mine for reason in _reasons(item))

    def _change(self, method: str, app_id: str, params: Mapping[str, str], *, json: Any = None) -> str:
        """Sends a change; a deployment of this app alone gives way to it, one of others too is waited for.

        One that cannot place its tasks would wait for ever, and the change may be what mends it.
        """
        until = self._clock() + LOCKED_SECONDS
        force = False
        while True:
            asked = {**params, "force": str(force).lower()}
            try:
                answer = self._session.request(method, _url(app_id), params=asked, json=json)
                return read(answers.Changed, answer).deploymentId
            except ApiError as error:
                if error.status != 409 or self._clock() >= until:
                    raise
            force = all(apps == {app_id} for apps in self.deployments().values() if app_id in apps)
            if not force:
                self._sleep(POLL_SECONDS)

    def _not_settled(self, app_id: str, app: App | None, timeout: float) -> GateFailed:
        if app is None:
            return GateFailed(f"{app_id} is not there", where="marathon", next_step="Apply again.")
        status = AppStatus.of(app)
        said = [f"{status.running} of {status.instances} run, {status.healthy} healthy", *self.blockers(app_id)]
        if status.last_failure:
            said.append(f"last failure: {status.last_failure}")
        return GateFailed(
            f"{app_id} is not up after {timeout:.0f} s: {'; '.join(said)}",
            where="marathon",
            next_step="Mend what blocks it and apply again: it waits for it once more.",
        )


def _url(app_id: str) -> str:
    return f"{BASE}/apps/{quote(app_id.strip('/'))}"


def _failure_text(failure: Mapping[str, Any] | None) -> str:
    if not failure:
        return ""
    return f"{failure.get('state', '')} on {failure.get('host', '?')}: {failure.get('message', '')}".strip()


def _reasons(item: answers.Queued) -> list[str]:
    """What the offers of one queued app were refused for."""
    summary, delay = item.processedOffersSummary, item.delay
    counted = summary.rejectSummaryLastOffers or summary.rejectSummaryLaunchAttempt
    refused = [f"{c.declined} of {c.processed} offers lack {c.reason}" for c in counted if c.declined]
    waits = [] if delay.overdue else [f"waits {delay.timeLeftSeconds} s after failures"]
    if not counted and not waits:
        return [f"{item.count} wait for an offer"]
    return refused + waits
