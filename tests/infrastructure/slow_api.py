"""An EC2 API that can be slow to answer."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from moto.server import DomainDispatcherApplication, create_backend_app

REGION = "us-west-2"


@dataclass
class SlowApi:
    """moto, which after doing what it was asked holds its answer back while told to."""

    app: Any = field(default_factory=lambda: DomainDispatcherApplication(create_backend_app))
    held: str = ""  # the action whose answer is held back
    done: threading.Event = field(default_factory=threading.Event)  # it was done
    seconds: float = 60.0

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
        environ["wsgi.input"] = BytesIO(body)
        answer = list(self.app(environ, start))
        if self.held and f"Action={self.held}".encode() in body:
            self.done.set()
            time.sleep(self.seconds)
        return answer
