"""A disaster in this process, for each test that asks for one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from disaster import Disaster, disaster
from moto import mock_aws

from rekindle.aws.clients import Clients


@pytest.fixture(scope="session")
def clients() -> Iterator[Clients]:
    """One set for all tests here: clients are slow to make."""
    with pytest.MonkeyPatch.context() as patched:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patched.setenv(name, "testing")
        for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
            patched.delenv(name, raising=False)
        yield Clients()


@pytest.fixture
def world(clients: Clients, tmp_path: Path) -> Iterator[Disaster]:
    with mock_aws(), disaster(tmp_path, clients) as made:
        yield made
