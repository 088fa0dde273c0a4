"""S3 writes an object at once: of all who create one key, one wins."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

from moto.s3.responses import S3Response

from rehearsal.region.behaviour.replacing import replaces

_CONFLICT = (
    409,
    {"content-type": "application/xml"},
    "<Error><Code>ConditionalRequestConflict</Code><Message>The conditional request cannot succeed due to a "
    "conflicting operation against this resource.</Message></Error>",
)
"""While another write of the key is under way (S3 User Guide, Conditional write behavior)."""


class Contests:
    """Writes to one key happen one after the other; of those that wait, a chance may send some away."""

    def __init__(self, chance: random.Random | None = None) -> None:
        self._locks: dict[tuple[str, str], tuple[threading.Lock, int]] = {}
        self._guard = threading.Lock()
        self._chance = chance

    def sends_away(self, bucket: str, key: str) -> bool:
        with self._guard:
            return (bucket, key) in self._locks and self._chance is not None and self._chance.random() < 0.5

    @contextlib.contextmanager
    def over(self, bucket: str, key: str) -> Iterator[None]:
        with self._guard:
            lock, writing = self._locks.get((bucket, key), (threading.Lock(), 0))
            self._locks[bucket, key] = (lock, writing + 1)
        try:
            with lock:
                yield
        finally:
            self._leave(bucket, key)

    def _leave(self, bucket: str, key: str) -> None:
        with self._guard:
            lock, writing = self._locks.pop((bucket, key))
            if writing > 1:
                self._locks[bucket, key] = (lock, writing - 1)


def install(seed: int | None = None) -> Callable[[], None]:
    """Returns what takes it back. With a seed, half of those that contend for a key get S3's 409, as S3 may answer."""
    contests = Contests(random.Random(seed) if seed is not None else None)  # noqa: S311
    before = {name: getattr(S3Response, name) for name in ("put_object", "_key_response_post")}

    @replaces(S3Response, "put_object")
    def put(original: Callable[..., Any], self: Any) -> Any:
        return _written(contests, self, self.bucket_name, self.parse_key_name(), lambda: original(self))

    @replaces(S3Response, "_key_response_post")
    def complete(original: Callable[..., Any], self: Any, asked: Any, body: Any, bucket: str, *rest: Any) -> Any:
        query, key = rest
        if "uploadId" not in query:
            return original(self, asked, body, bucket, query, key)  # an upload that begins writes nothing
        return _written(contests, self, bucket, key, lambda: original(self, asked, body, bucket, query, key))

    def take_back() -> None:
        for name, method in before.items():
            setattr(S3Response, name, method)

    return take_back


def _written(contests: Contests, asked: Any, bucket: str, key: str, write: Callable[[], Any]) -> Any:
    is_conditional = any(asked.headers.get(name) for name in ("If-None-Match", "If-Match"))
    if is_conditional and contests.sends_away(bucket, key):
        return _CONFLICT
    with contests.over(bucket, key):
        return write()
