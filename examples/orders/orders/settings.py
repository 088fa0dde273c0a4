"""What the service is told by its environment, parsed once."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Where Kafka is, what the topic is, and what a writer must show."""

    brokers: tuple[str, ...]
    topic: str
    partitions: int
    replication: int
    address: str
    port: int
    token: str

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Settings from environment variables; KeyError names one that is missing."""
        return cls(
            brokers=tuple(environment["KAFKA_BROKERS"].split(",")),
            topic=environment.get("ORDERS_TOPIC", "orders"),
            partitions=int(environment.get("ORDERS_PARTITIONS", "3")),
            replication=int(environment.get("ORDERS_REPLICATION", "3")),
            address=environment.get("BIND_ADDRESS", "0.0.0.0"),  # noqa: S104 - the agent's own network
            port=int(environment["PORT0"]),
            token=Path(environment["ORDERS_TOKEN_FILE"]).read_text().strip(),
        )
