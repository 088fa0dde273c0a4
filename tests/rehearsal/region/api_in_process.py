"""What tests of the region's API in process stand on: clients, and moto as it was when a test is over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config


@contextmanager
def as_before(*owners: Any) -> Iterator[None]:
    """Whatever is replaced in these classes and modules while the block runs is put back."""
    before = [(owner, dict(vars(owner))) for owner in owners]
    yield
    for owner, attributes in before:
        for name in [name for name, value in vars(owner).items() if attributes.get(name, owner) is not value]:
            if name in attributes:
                setattr(owner, name, attributes[name])
            else:
                delattr(owner, name)


class Clients:
    """boto3's, one for each service and region: they are slow to make."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str], Any] = {}

    def __call__(self, service: str, region: str = "us-west-2") -> Any:
        if (service, region) not in self._made:
            self._made[service, region] = boto3.client(
                service,
                region,
                aws_access_key_id="testing",
                aws_secret_access_key="testing",
                config=Config(retries={"total_max_attempts": 1}),
            )
        return self._made[service, region]
