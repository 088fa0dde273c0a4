"""Metronome on 9000: it says who it is and that it has no jobs; all else is refused by name."""

from __future__ import annotations

from aiohttp import web

from rehearsal.cluster.answers import answer, not_built_handler
from rehearsal.cluster.settings import METRONOME_VERSION

PORT = 9000
NOT_BUILT = (
    ("POST", "/v1/jobs"), ("PUT", "/v1/jobs/{id}"), ("DELETE", "/v1/jobs/{id}"), ("GET", "/v1/queue"),
    ("*", "/v1/jobs/{id}/schedules"), ("*", "/v1/jobs/{id}/schedules/{schedule}"), ("*", "/v1/jobs/{id}/runs"),
    ("*", "/v1/jobs/{id}/runs/{run}"), ("POST", "/v1/jobs/{id}/runs/{run}/actions/stop"),
    ("POST", "/v0/scheduled-jobs"), ("PUT", "/v0/scheduled-jobs/{id}"), ("GET", "/metrics"), ("GET", "/leader"),
)  # fmt: skip


async def _ping(_: web.Request) -> web.Response:
    return web.Response(text="pong")


async def _info(_: web.Request) -> web.Response:
    return answer({"version": METRONOME_VERSION, "libVersion": METRONOME_VERSION})


async def _jobs(_: web.Request) -> web.Response:
    return answer([])


async def _job(request: web.Request) -> web.Response:
    return answer({"id": request.match_info["id"], "message": "Job not found"}, 404)


def application() -> web.Application:
    """Metronome's routes."""
    found = web.Application()
    routes = found.router
    routes.add_get("/ping", _ping)
    routes.add_get("/info", _info)
    routes.add_get("/v1/info", _info)
    routes.add_get("/v1/jobs", _jobs)
    routes.add_get("/v1/jobs/{id}", _job)
    for method, path in NOT_BUILT:
        routes.add_route(method, path, not_built_handler(f"Metronome {method} {path}"))
    return found
