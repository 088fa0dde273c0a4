"""What an order is, and where an acknowledged one is kept."""

from dataclasses import dataclass
from typing import Any

Order = dict[str, Any]


class NotReady(Exception):
    """Kafka cannot be reached, or cannot acknowledge at present."""


@dataclass(frozen=True)
class Receipt:
    """Where an acknowledged order is kept."""

    id: str
    partition: int
    offset: int
