"""Keeps HAProxy's configuration true to Marathon's healthy tasks until SIGTERM."""

import os
import signal
import sys
import threading
from pathlib import Path

from edge.haproxy import HAProxy, configuration
from edge.marathon import Marathon
from edge.routes import routes

POLL_SECONDS = 2.0
SETTLE_SECONDS = 0.1  # events come in bursts: one reload for each


def main() -> int:
    run_dir = Path(os.environ.get("MESOS_SANDBOX", ".")).resolve()
    marathon = Marathon(os.environ["MARATHON_URLS"].split(","))
    proxy = HAProxy(run_dir, os.environ.get("HAPROXY", "haproxy"))
    changed, stopping = threading.Event(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: (stopping.set(), changed.set()))
    threading.Thread(target=marathon.watch, args=(changed,), daemon=True).start()
    while not stopping.is_set():
        follow(marathon, proxy)
        if changed.wait(POLL_SECONDS):
            stopping.wait(SETTLE_SECONDS)
        changed.clear()
    proxy.stop()
    return 0


def follow(marathon: Marathon, proxy: HAProxy) -> None:
    """One look at Marathon; when it does not answer, the last routes stay. Exits if HAProxy died."""
    try:
        apps = marathon.apps()
    except OSError as error:
        print(f"Marathon does not answer, routes stay as they are: {error}", file=sys.stderr, flush=True)
        apps = None
    if apps is not None:
        found = routes(apps, os.environ.get("HAPROXY_GROUP", "external"))
        proxy.use(
            configuration(
                found,
                address=os.environ.get("BIND_ADDRESS", ""),
                port=int(os.environ.get("HTTP_PORT", "80")),
                health_port=int(os.environ.get("HEALTH_PORT", "9090")),
            )
        )
        if not proxy.is_running():
            sys.exit("haproxy ended by itself")


if __name__ == "__main__":
    sys.exit(main())
