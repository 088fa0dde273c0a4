"""What an order is, where an acknowledged one is kept, and what is read back."""

from dataclasses import dataclass
from typing import Any

Order = dict[str, Any]


class NotReady(Exception):
    """Kafka cannot be reached, or cannot acknowledge at present."""


@dataclass(frozen=True)
class Receipt:
    """Where an acknowledged order is kept; the offset is -1 when only a repeated sending was answered."""

    id: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Record:
    """One order as it is kept: its id and its JSON."""

    key: bytes
    value: bytes
    partition: int
    offset: int
