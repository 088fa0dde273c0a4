"""Exhibitor's status of the ZooKeeper ensemble, from ZooKeeper's own four-letter words."""

from __future__ import annotations

import asyncio
import re

from aiohttp import web

from rehearsal.cluster.answers import answer, not_built_handler
from rehearsal.cluster.settings import Json, NodeSettings

PORT = 8181
TIMEOUT = 2.0
STATES = {"latent": 0, "down": 1, "not serving": 2, "serving": 3}
NOT_BUILT = ("cluster/log/{host}", "cluster/restart/{host}", "cluster/start/{host}", "cluster/stop/{host}",
             "config/get-state", "config/set", "config/set-rolling")  # fmt: skip


async def status(host: str) -> Json:
    """One server: `serving` once it has a role in the quorum."""
    try:
        text = await asyncio.wait_for(_srvr(host), TIMEOUT)
    except (OSError, TimeoutError):
        return {"code": 1, "description": "down", "hostname": host, "isLeader": False}
    mode = re.search(r"^Mode: (\w+)", text, re.MULTILINE)
    word = "serving" if mode else "not serving"
    is_leader = mode is not None and mode.group(1) in {"leader", "standalone"}
    return {"code": STATES[word], "description": word, "hostname": host, "isLeader": is_leader}


async def _srvr(host: str) -> str:
    reader, writer = await asyncio.open_connection(host, 2181)
    try:
        writer.write(b"srvr\n")
        await writer.drain()
        return (await reader.read(65536)).decode(errors="replace")
    finally:
        writer.close()


def application(settings: NodeSettings) -> web.Application:
    """Exhibitor's routes."""

    async def cluster_status(_: web.Request) -> web.Response:
        return answer(list(await asyncio.gather(*(status(master) for master in settings.masters))))

    async def cluster_list(_: web.Request) -> web.Response:
        return answer({"servers": list(settings.masters), "port": PORT})

    async def cluster_state(_: web.Request) -> web.Response:
        mine = await status(settings.ip)
        return answer({"response": {"switches": {"restarts": True, "cleanup": True, "backups": True},
                                    "state": mine["code"], "description": mine["description"],
                                    "isLeader": mine["isLeader"]}, "success": True})  # fmt: skip

    found = web.Application()
    base = "/exhibitor/v1"
    found.router.add_get(f"{base}/cluster/status", cluster_status)
    found.router.add_get(f"{base}/cluster/list", cluster_list)
    found.router.add_get(f"{base}/cluster/state", cluster_state)
    for path in NOT_BUILT:
        found.router.add_route("*", f"{base}/{path}", not_built_handler(f"Exhibitor {path}"))
    return found
