"""The AWS API: moto behind one middleware that is as strict as AWS."""

from __future__ import annotations

import collections
import contextlib
import socket
from collections.abc import Callable, Iterable
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server
from werkzeug.wsgi import get_input_stream

from rehearsal.region import cloud, refusals, request
from rehearsal.region.outages import Outages
from rehearsal.region.refusals import Refusal
from rehearsal.region.request import Call
from rehearsal.region.stage import API_ADDRESS

Rule = Callable[[Call], Refusal | None]


class Api:
    """The WSGI application. Each rule may refuse a call; the first refusal is the answer."""

    def __init__(self, outages: Outages, rules: Iterable[Rule], on_change: Callable[[], None]) -> None:
        self._outages, self._rules, self._on_change = outages, tuple(rules), on_change
        self._moto = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        call = request.read(environ)
        if self._outages.swallow(call, _bucket_region(call.bucket)):
            return _hang_up(environ, start_response)
        call.enter()
        for rule in self._rules:
            refusal = rule(call)
            if refusal is not None:
                _drain(environ)
                return refusals.send(refusal, call, start_response)
        with _exclusive(call):
            answer = self._moto(environ, start_response)
        if call.service != "s3" and call.is_write:
            self._on_change()
        return answer  # type: ignore[no-any-return]


def _exclusive(call: Call) -> contextlib.AbstractContextManager[Any]:
    """Control planes change under one lock; S3 data flows beside it."""
    return cloud.lock if call.service != "s3" else contextlib.nullcontext()


def _bucket_region(bucket: str | None) -> str | None:
    known = cloud.s3().buckets.get(bucket) if bucket else None
    return known.region_name if known is not None else None


def _hang_up(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Nobody is there: the connection ends without an answer."""
    link: socket.socket | None = environ.get("werkzeug.socket")
    start_response("503 Service Unavailable", [("Connection", "close")])
    if link is not None:
        with contextlib.suppress(OSError):
            link.shutdown(socket.SHUT_RDWR)
    return []


def _drain(environ: dict[str, Any]) -> None:
    """Reads what the client still sends, so that it can read the refusal."""
    with contextlib.suppress(OSError, ValueError):
        body = get_input_stream(environ)
        collections.deque(iter(lambda: body.read(1 << 20), b""), maxlen=0)


def region_mismatch(call: Call) -> Refusal | None:
    """S3 answers for a bucket only to signatures for the bucket's own region."""
    region = _bucket_region(call.bucket)
    names_no_region = call.access_key is None or "AWSAccessKeyId" in call.query
    if call.service != "s3" or names_no_region or region in {None, call.region}:
        return None
    return Refusal(
        code="AuthorizationHeaderMalformed",
        message=f"The authorization header is malformed; the region '{call.region}' is wrong; expecting '{region}'",
        headers=(("x-amz-bucket-region", str(region)),),
        details=(("Region", str(region)),),
    )


class _Handler(MotoRequestHandler):
    """Keeps connections, as AWS does."""

    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Silent."""


def serve(api: Api) -> BaseWSGIServer:
    """The server on the API's address; `serve_forever` runs it."""
    return make_server(API_ADDRESS, 80, api, threaded=True, request_handler=_Handler)
