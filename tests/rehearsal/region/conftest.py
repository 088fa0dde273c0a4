"""The region's API in process, a new account for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from api_in_process import Clients
from moto import mock_aws


@pytest.fixture(scope="session")
def clients() -> Iterator[Clients]:
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("AWS_ENDPOINT_URL", raising=False)
        yield Clients()


@pytest.fixture
def aws(clients: Clients) -> Iterator[Clients]:
    with mock_aws():  # a new account
        yield clients
