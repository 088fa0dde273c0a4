"""Route 53 health checks, carried out: a thread for each, from the region's side of the Internet.

The rules are those of the Route 53 developer guide, "How Amazon Route 53 determines whether a health check is healthy".
"""

from __future__ import annotations

import http.client
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rehearsal.dns.alarms import Alarm, State

_log = logging.getLogger(__name__)
_CONNECT_SECONDS = 4
_BODY_BYTES = 5120
"""HTTP_STR_MATCH looks at the first 5,120 bytes (Route 53 developer guide)."""
_STREAM_SECONDS = 10
"""How often an alarm's data is looked at. CloudWatch evaluates an alarm each minute: the stage is faster there."""
_NOT_CHECKED = "Unknown: not checked yet"


@dataclass(frozen=True, kw_only=True)
class HealthCheck:
    id: str
    type: str
    name: str | None = None
    address: str | None = None
    port: int = 80
    path: str = "/"
    search: str | None = None
    interval: float = 30
    threshold: int = 3
    inverted: bool = False
    disabled: bool = False
    children: tuple[str, ...] = ()
    healthy_children: int = 0
    alarm: Alarm | None = None
    without_data: str = "LastKnownStatus"  # or Healthy, Unhealthy

    @property
    def pause(self) -> float:
        return _STREAM_SECONDS if self.alarm is not None else self.interval


@dataclass(frozen=True)
class Observation:
    """What a check last saw. A new check counts as healthy until it knows better."""

    healthy: bool = True
    text: str = _NOT_CHECKED
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


class HealthChecks:
    """The checks that run, and what they saw."""

    def __init__(
        self,
        resolve: Callable[[str], list[str]],
        stream: Callable[[Alarm], State],
        begin: Callable[[Watch], None] | None = None,
    ) -> None:
        """`stream` says what an alarm's data says now; `begin` has a watch look from time to time."""
        self._resolve, self._stream, self._begin = resolve, stream, begin or _in_a_thread
        self._watches: dict[str, Watch] = {}

    def apply(self, checks: Iterable[HealthCheck]) -> None:
        """Exactly these checks run."""
        wanted = {check.id: check for check in checks}
        for check_id, watch in list(self._watches.items()):
            if wanted.get(check_id) != watch.check:
                watch.stop()
                del self._watches[check_id]
        for check_id, check in wanted.items():
            if check_id not in self._watches:
                watch = self._watches[check_id] = Watch(check, self._resolve, self._stream)
                if check.type != "CALCULATED" and not check.disabled:
                    self._begin(watch)

    def is_healthy(self, check_id: str) -> bool:
        """A check that is not there counts as healthy, as Route 53 does with deleted ones."""
        watch = self._watches.get(check_id)
        if watch is None:
            return True
        check = watch.check
        if check.type == "CALCULATED":
            healthy = sum(self.is_healthy(child) for child in check.children) >= check.healthy_children
        else:
            healthy = check.disabled or watch.observation.healthy
        return healthy is not check.inverted

    def observation(self, check_id: str) -> Observation:
        watch = self._watches.get(check_id)
        return watch.observation if watch is not None else Observation()


class Watch:
    """One check, and what it last saw."""

    def __init__(
        self, check: HealthCheck, resolve: Callable[[str], list[str]], stream: Callable[[Alarm], State]
    ) -> None:
        self.check = check
        self.observation = Observation()
        self._resolve, self._stream = resolve, stream
        self._in_a_row, self._last = 0, True
        self._stopped = threading.Event()

    def stop(self) -> None:
        self._stopped.set()

    def run(self) -> None:
        """Looks until stopped."""
        while not self._stopped.is_set():
            began = time.monotonic()
            self.look()
            self._stopped.wait(max(0.1, self.check.pause - (time.monotonic() - began)))

    def look(self) -> None:
        """Looks once."""
        self.observation = self._at_stream(self.check.alarm) if self.check.alarm is not None else self._at_endpoint()

    def _at_stream(self, alarm: Alarm) -> Observation:
        state = self._stream(alarm)
        if state is State.INSUFFICIENT_DATA:
            return Observation(self._healthy_without_data(), f"Insufficient data: {self.check.without_data}")
        return Observation(state is State.OK, f"{alarm.name} in {alarm.region}: {state}")

    def _healthy_without_data(self) -> bool:
        return {"Healthy": True, "Unhealthy": False}.get(self.check.without_data, self.observation.healthy)

    def _at_endpoint(self) -> Observation:
        """Its status turns after as many looks in a row as its threshold says."""
        succeeded, text = self._probe()
        self._in_a_row = self._in_a_row + 1 if succeeded is self._last else 1
        self._last = succeeded
        turned = succeeded is not self.observation.healthy and self._in_a_row >= self.check.threshold
        return Observation(succeeded if turned else self.observation.healthy, text)

    def _probe(self) -> tuple[bool, str]:
        try:
            address = self.check.address or self._resolve(self.check.name or "")[0]
            return probe(self.check, address)
        except IndexError:
            return False, "Failure: DNS resolution failed"
        except (OSError, http.client.HTTPException) as error:
            return False, f"Failure: {error}"


def _in_a_thread(watch: Watch) -> None:
    threading.Thread(target=watch.run, name=f"health-check-{watch.check.id}", daemon=True).start()


def probe(check: HealthCheck, address: str) -> tuple[bool, str]:
    """One look: whether it succeeded, and Route 53's words for it."""
    with socket.create_connection((address, check.port), timeout=_CONNECT_SECONDS) as link:
        if check.type == "TCP":
            return True, f"Success: TCP connection to {address}"
        if check.type.startswith("HTTPS"):
            link = _unverified().wrap_socket(link, server_hostname=check.name)
        connection = http.client.HTTPConnection(check.name or address, check.port, timeout=_CONNECT_SECONDS)
        connection.sock = link
        connection.request("GET", check.path, headers={"User-Agent": "Amazon-Route53-Health-Check-Service"})
        response = connection.getresponse()
        body = response.read(_BODY_BYTES)
    succeeded = 200 <= response.status < 400 and (check.search is None or check.search.encode() in body)
    word = "Success" if succeeded else "Failure"
    return succeeded, f"{word}: HTTP Status Code: {response.status}. Resolved IP: {address}"


def _unverified() -> ssl.SSLContext:
    """Route 53 does not validate certificates in health checks."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
