"""The cluster's state in ZooKeeper: JSON documents at paths, read and written from asyncio."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import NodeExistsError, NoNodeError

SESSION_SECONDS = 10.0
COMPRESS_ABOVE = 64 * 1024


def encode(value: Any) -> bytes:
    """JSON, deflated when large: a znode holds at most 1 MiB."""
    plain = json.dumps(value, separators=(",", ":")).encode()
    return b"z" + zlib.compress(plain, 1) if len(plain) > COMPRESS_ABOVE else plain


def decode(data: bytes) -> Any:
    """The value that `encode` wrote."""
    return json.loads(zlib.decompress(data[1:]) if data[:1] == b"z" else data)


class Store:
    """One ZooKeeper session. Calls are made in order, in one thread of their own."""

    def __init__(self, hosts: str, on_lost: Callable[[], None] | None = None) -> None:
        self._client = KazooClient(hosts=hosts, timeout=SESSION_SECONDS)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="zookeeper")
        self._on_lost = on_lost
        self._loop: asyncio.AbstractEventLoop | None = None

    async def connect(self, timeout: float = 15.0) -> None:
        """Connect, or raise when the ensemble does not answer in time."""
        self._loop = asyncio.get_running_loop()
        await self._call(self._client.start, timeout)
        self._client.add_listener(self._state_changed)

    async def close(self) -> None:
        """End the session, and with it its ephemeral nodes."""
        self._on_lost = None
        await self._call(self._stop)
        self._thread.shutdown(wait=False)

    async def read(self, path: str) -> Any:
        """The document at a path, or None."""
        try:
            data, _ = await self._call(self._client.get, path)
        except NoNodeError:
            return None
        return decode(data) if data else None

    async def write(self, path: str, value: Any) -> None:
        """Create or replace the document at a path."""
        await self._call(self._write, path, encode(value))

    async def create(self, path: str, value: Any, *, ephemeral: bool = False, sequence: bool = False) -> str | None:
        """Create the document; None when the path was taken. Returns the path, with its sequence if any."""
        try:
            created: str = await self._call(
                lambda: self._client.create(path, encode(value), ephemeral=ephemeral, sequence=sequence, makepath=True)
            )
        except NodeExistsError:
            return None
        return created

    async def delete(self, path: str) -> None:
        """Remove a path and all below it; nothing when it is not there."""
        try:
            await self._call(lambda: self._client.delete(path, recursive=True))
        except NoNodeError:
            return

    async def children(self, path: str) -> list[str]:
        """Names below a path, sorted; empty when it is not there."""
        try:
            return sorted(await self._call(self._client.get_children, path))
        except NoNodeError:
            return []

    async def documents(self, path: str) -> dict[str, Any]:
        """All documents below a path by name, in one pass."""
        return {name: await self.read(f"{path}/{name}") for name in await self.children(path)}

    async def watch_children(self, path: str, changed: Callable[[list[str]], None]) -> None:
        """Call back in the event loop now and whenever the names below a path change."""
        await self._call(self._client.ensure_path, path)
        await self._call(lambda: self._client.ChildrenWatch(path, lambda names: self._tell(changed, sorted(names))))

    async def watch(self, path: str, changed: Callable[[Any], None]) -> None:
        """Call back in the event loop now and whenever the document at a path changes."""

        def seen(data: bytes | None, *_: object) -> None:
            self._tell(changed, decode(data) if data else None)

        await self._call(lambda: self._client.DataWatch(path, seen))

    def _tell(self, changed: Callable[[Any], None], value: Any) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(changed, value)

    def _write(self, path: str, data: bytes) -> None:
        try:
            self._client.set(path, data)
        except NoNodeError:
            try:
                self._client.create(path, data, makepath=True)
            except NodeExistsError:
                self._client.set(path, data)

    def _stop(self) -> None:
        self._client.stop()
        self._client.close()

    def _state_changed(self, state: str) -> None:
        if state == KazooState.LOST and self._on_lost is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._on_lost)

    async def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)
