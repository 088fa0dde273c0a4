"""Which master leads, agreed through ZooKeeper as Mesos does: the lowest `/mesos/json.info_<sequence>`."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable

from rehearsal.cluster.settings import MESOS_VERSION, Json
from rehearsal.cluster.store import Store

PATH = "/mesos"
PREFIX = "json.info_"


def master_info(ip: str) -> Json:
    """What a master says of itself, in the form of Mesos' MasterInfo."""
    number = int.from_bytes(bytes(int(part) for part in ip.split(".")), "little")
    return {
        "id": str(uuid.uuid4()),
        "ip": number,
        "port": 5050,
        "pid": f"master@{ip}:5050",
        "hostname": ip,
        "version": MESOS_VERSION,
        "address": {"hostname": ip, "ip": ip, "port": 5050},
        "capabilities": [{"type": "AGENT_UPDATE"}, {"type": "AGENT_DRAINING"}],
    }


class LeaderWatch:
    """Knows the leading master, and tells when it changes."""

    def __init__(self, store: Store) -> None:
        self.leader: Json | None = None
        self.known = asyncio.Event()
        self._store = store
        self._observers: list[Callable[[Json | None], None]] = []
        self._reading: set[asyncio.Task[None]] = set()

    @property
    def ip(self) -> str | None:
        """The leader's address, or None while there is none."""
        return self.leader["address"]["ip"] if self.leader else None

    def observe(self, changed: Callable[[Json | None], None]) -> None:
        """Call back at each change of leader."""
        self._observers.append(changed)

    async def start(self) -> None:
        """Begin to watch."""
        await self._store.watch_children(PATH, self._children_changed)

    def _children_changed(self, names: list[str]) -> None:
        candidates = sorted(name for name in names if name.startswith(PREFIX))
        task = asyncio.get_running_loop().create_task(self._read(candidates))
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    async def _read(self, candidates: list[str]) -> None:
        leader = await self._store.read(f"{PATH}/{candidates[0]}") if candidates else None
        if leader == self.leader:
            return
        self.leader = leader
        (self.known.set if leader else self.known.clear)()
        for changed in self._observers:
            changed(leader)


async def stand(store: Store, info: Json) -> None:
    """Become a candidate for as long as the session lives; what this master left before it died does not count."""
    for name in await store.children(PATH):
        left = await store.read(f"{PATH}/{name}") if name.startswith(PREFIX) else None
        if left is not None and left["address"]["ip"] == info["address"]["ip"]:
            await store.delete(f"{PATH}/{name}")
    await store.create(f"{PATH}/{PREFIX}", info, ephemeral=True, sequence=True)
