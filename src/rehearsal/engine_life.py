"""A plugin lives as long as the Pulumi engine that started it, even one that is killed."""

import os
import signal
import threading
from typing import Any

_LOOK_SECONDS = 0.5


def leave_with_engine(server: Any) -> None:
    """Ends this process when the engine says so, or is gone.

    The engine gives each plugin a process group of its own, so a SIGINT is the engine's farewell and
    not the terminal's ^C; it waits five seconds for those that do not take it.
    """
    engine = os.getppid()
    ended = threading.Event()
    for farewell in (signal.SIGINT, signal.SIGTERM):
        signal.signal(farewell, lambda *_: ended.set())
    while not ended.wait(_LOOK_SECONDS) and os.getppid() == engine:
        pass
    server.stop(grace=None)
    os._exit(0)  # a thread still waiting for AWS must not keep the plugin alive
