"""Both stores, for each test that asks for a world."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from journal_world import REGION, World, of_bucket, of_directory, of_memory
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
def aws(clients: Clients, atomic_s3: None) -> Iterator[Clients]:
    with mock_aws():  # a new account
        yield clients


@pytest.fixture(params=["directory", "s3"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    if request.param == "directory":
        return of_directory(tmp_path / "store")
    clients: Clients = request.getfixturevalue("aws")
    return of_bucket(clients.s3(REGION))


@pytest.fixture
def memory() -> World:
    """Where the store does not matter, the quick one."""
    return of_memory()
