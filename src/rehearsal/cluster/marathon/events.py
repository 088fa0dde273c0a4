"""Marathon's event stream: each event to every subscriber that wants its type."""

from __future__ import annotations

import asyncio
import json
import time

from rehearsal.cluster.settings import Json
from rehearsal.cluster.times import timestamp

QUEUE = 1000


class EventBus:
    """Subscribers that fall far behind lose events, as they do with Marathon."""

    def __init__(self) -> None:
        self._subscribers: dict[asyncio.Queue[bytes], frozenset[str]] = {}

    def subscribe(self, kinds: frozenset[str]) -> asyncio.Queue[bytes]:
        """A queue of server-sent events; all types if none is named."""
        queue: asyncio.Queue[bytes] = asyncio.Queue(QUEUE)
        self._subscribers[queue] = kinds
        return queue

    def unsubscribe(self, queue: asyncio.Queue[bytes]) -> None:
        """Forget a subscriber."""
        self._subscribers.pop(queue, None)

    def publish(self, kind: str, **content: object) -> None:
        """Tell an event."""
        if not self._subscribers:
            return
        event: Json = {**content, "eventType": kind, "timestamp": timestamp(time.time())}
        text = f"event: {kind}\r\ndata: {json.dumps(event, separators=(',', ':'))}\r\n\r\n".encode()
        for queue, kinds in list(self._subscribers.items()):
            if (not kinds or kind in kinds) and not queue.full():
                queue.put_nowait(text)
