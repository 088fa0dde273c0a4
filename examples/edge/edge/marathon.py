"""What Marathon says: its apps with their tasks, and when something changed."""

import json
import threading
import urllib.request
from collections.abc import Sequence
from typing import Any

TIMEOUT = 5.0
EVENT_TIMEOUT = 60.0


class Marathon:
    """Asks the masters in turn, so that a new leader is found."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = list(urls)

    def apps(self) -> list[dict[str, Any]]:
        """All apps with their tasks; OSError if no master answers."""
        with self._open("/v2/apps?embed=apps.tasks", "application/json", TIMEOUT) as answer:
            apps: list[dict[str, Any]] = json.load(answer)["apps"]
            return apps

    def watch(self, changed: threading.Event) -> None:
        """Sets `changed` at every event, for ever; a lost stream is a change too."""
        while True:
            try:
                with self._open("/v2/events", "text/event-stream", EVENT_TIMEOUT) as stream:
                    for line in stream:
                        if line.startswith(b"event:"):
                            changed.set()
            except OSError:
                changed.set()
            threading.Event().wait(1.0)

    def _open(self, path: str, accept: str, timeout: float) -> Any:
        error: OSError = OSError("no address of Marathon is known")
        for url in list(self._urls):
            try:
                request = urllib.request.Request(url + path, headers={"Accept": accept})  # noqa: S310
                return urllib.request.urlopen(request, timeout=timeout)  # noqa: S310 - addresses are our own settings
            except OSError as failure:
                error = failure
                self._urls.append(self._urls.pop(0))
        raise error
