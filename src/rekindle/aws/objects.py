"""S3 objects."""

from collections.abc import Iterator

from rekindle.aws.clients import Client


def list_keys(client: Client, bucket: str, prefix: str, after: str = "") -> Iterator[str]:
    """Keys that begin with `prefix` and sort after `after`, ascending, a page at a time."""
    raise NotImplementedError


def put_once(client: Client, bucket: str, key: str, body: bytes) -> bool:
    """Writes a new object; False if the key is taken."""
    raise NotImplementedError


def put(client: Client, bucket: str, key: str, body: bytes, content_type: str) -> None:
    """Writes an object, or writes over it: the switch, an index."""
    raise NotImplementedError


def read(client: Client, bucket: str, key: str) -> bytes | None:
    """The object's bytes, None if there is none."""
    raise NotImplementedError


def size(client: Client, bucket: str, key: str) -> int | None:
    """The object's size in bytes, None if there is none."""
    raise NotImplementedError


def delete(client: Client, bucket: str, key: str) -> None:
    """Removes an object that may be changed: the switch."""
    raise NotImplementedError
