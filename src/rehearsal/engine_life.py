"""A plugin lives as long as the Pulumi engine that started it, even one that is killed."""

import os
import signal
import threading
from typing import Any

_LOOK_SECONDS = 0.5


def leave_with_engine(server: Any) -> None:
    """Returns, with the gRPC server stopped, when the parent process is another or SIGTERM comes."""
    engine = os.getppid()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    while not ended.wait(_LOOK_SECONDS) and os.getppid() == engine:
        pass
    server.stop(grace=None)
    os._exit(0)  # a thread still waiting for AWS must not keep the plugin alive
