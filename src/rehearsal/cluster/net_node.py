"""dcos-net on a node: its DNS server, its VIP rules, its API; all follow the leader's snapshot."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from rehearsal.cluster.answers import serve
from rehearsal.cluster.mesos.runner import run
from rehearsal.cluster.net import vips
from rehearsal.cluster.net.api import NET_PORT, net_application
from rehearsal.cluster.net.dns import DnsServer, Zone
from rehearsal.cluster.net.publisher import PATH
from rehearsal.cluster.settings import Json, NodeSettings
from rehearsal.cluster.store import Store

log = logging.getLogger(__name__)
ADDRESS = "198.51.100.1"
Loader = Callable[[list[Json]], Awaitable[None]]


async def add_address(address: str) -> None:
    """Have the node answer on an address of its own."""
    code, output = await run("ip", "address", "replace", f"{address}/32", "dev", "lo")
    if code != 0:
        raise RuntimeError(f"ip address replace {address}: {output}")


def resolver_file(settings: NodeSettings) -> str:
    """/etc/resolv.conf of a node that asks its own dcos-net first."""
    search = f"search {settings.dns_search}\n" if settings.dns_search else ""
    return f"# Written by dcos-net\noptions timeout:1\noptions attempts:3\n{search}nameserver {ADDRESS}\n"


class NetNode:
    """dcos-net in one process. It serves what it last knew while ZooKeeper is away."""

    def __init__(
        self,
        settings: NodeSettings,
        on_lost: Callable[[], None],
        load: Loader = vips.load,
        dns: tuple[str, int] = (ADDRESS, 53),
    ) -> None:
        self.settings = settings
        self.store = Store(settings.zookeeper, on_lost)
        self.zone = Zone()
        self._load = load
        self._dns_address = dns
        self._dns = DnsServer(self.zone, settings.resolvers)
        self._snapshot: Json = {"records": {}, "services": {}, "vips": []}
        self._loaded: list[Json] | None = None
        self._changed = asyncio.Event()
        self._work: asyncio.Task[None] | None = None
        self._runner: web.AppRunner | None = None

    async def serve(self) -> None:
        """DNS and API, before the cluster is there: a master needs names to start."""
        await self._dns.start(*self._dns_address)
        application = net_application(self.settings, lambda: self._snapshot, time.time)
        self._runner = await serve(application, self.settings.bind, NET_PORT)

    async def follow(self) -> None:
        """Follow the snapshot."""
        await self.store.connect()
        self._work = asyncio.get_running_loop().create_task(self._apply_for_ever())
        await self.store.watch(PATH, self._take)

    async def stop(self) -> None:
        """Stop serving; rules stay."""
        if self._work is not None:
            self._work.cancel()
        self._dns.stop()
        await self.store.close()
        if self._runner is not None:
            await self._runner.cleanup()

    def _take(self, snapshot: Any) -> None:
        if snapshot is not None:
            self._snapshot = snapshot
            self.zone.update(snapshot)
            self._changed.set()

    async def _apply_for_ever(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            wanted = self._snapshot["vips"]
            if wanted != self._loaded:
                await self._load(wanted)
                self._loaded = wanted
