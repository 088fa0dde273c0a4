"""HTTP answers that all components give in the same form, and the servers that give them."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
log = logging.getLogger(__name__)


def answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    return web.Response(
        body=json.dumps(value, separators=(",", ":")).encode(),
        status=status,
        headers=headers,
        content_type="application/json",
    )


def not_built(call: str) -> web.Response:
    """The loud refusal for a documented call that the rehearsal cluster does not have."""
    return answer({"message": f"{call} is not built in the rehearsal cluster"}, 501)


def not_built_handler(call: str) -> Handler:
    """A handler that refuses by the call's name."""

    async def refuse(_: web.Request) -> web.StreamResponse:
        return not_built(call)

    return refuse


async def body_of(request: web.Request) -> Any:
    """The request's JSON body; ValueError when it is not JSON."""
    return json.loads(await request.text())


async def serve(
    application: web.Application, host: str, port: int, *, ssl: Any = None, reuse: bool = False
) -> web.AppRunner:
    """Start a server; the caller cleans the runner up."""
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0, keepalive_timeout=75.0)
    await runner.setup()
    await web.TCPSite(runner, host, port, ssl_context=ssl, reuse_address=True, reuse_port=reuse or None).start()
    return runner
