"""A rehearsal region for the integration tests of each worker, started clean and removed after."""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from rehearsal.region import preconditions
from rehearsal.region.handle import RegionHandle
from rehearsal.region.stage import IMAGE_IDS, Stage

_NAME = os.environ.get("REHEARSAL_NAME") or "rktest"


@contextmanager
def _standing(name: str) -> Iterator[RegionHandle]:
    """A region of this name, clean; a second session on this machine waits for its turn."""
    missing = preconditions.missing()
    if missing:
        pytest.fail("\n".join(missing))
    with Path(f"/run/lock/rekindle-rehearsal-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        handle = RegionHandle(Stage(name=name))
        handle.down()
        handle.up()
        try:
            yield handle
        finally:
            handle.down()


@pytest.fixture(scope="session")
def region() -> Iterator[RegionHandle]:
    """A region of the tests' own, shared by all that one worker runs."""
    with _standing(_NAME[:5] + os.environ.get("PYTEST_XDIST_WORKER", "")) as handle:
        yield handle


@pytest.fixture(scope="module")
def own_region() -> Iterator[RegionHandle]:
    """A region for one module alone, which may lose it."""
    with _standing(f"{_NAME[:5]}own") as handle:
        yield handle


@pytest.fixture
def internet(region: RegionHandle) -> Iterator[RegionHandle]:
    """The test itself is on the region's Internet: its sockets reach what an operator's do."""
    with region.inside_internet():
        yield region


@pytest.fixture
def aws(internet: RegionHandle) -> Callable[..., Any]:
    """`aws("ec2", "us-west-2")` is a client with the operator's credentials, that gives up soon."""

    def client(service: str, region_name: str = "us-east-1", **options: Any) -> Any:
        variables = internet.environ(region_name)
        return boto3.client(
            service,
            region_name=region_name,
            endpoint_url=options.pop("endpoint_url", variables["AWS_ENDPOINT_URL"]),
            aws_access_key_id=options.pop("access_key", variables["AWS_ACCESS_KEY_ID"]),
            aws_secret_access_key=options.pop("secret_key", variables["AWS_SECRET_ACCESS_KEY"]),
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=3, read_timeout=30),
            **options,
        )

    return client


@pytest.fixture(scope="session")
def login_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private key; its public half lies beside it."""
    path = tmp_path_factory.mktemp("ssh") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


@pytest.fixture(scope="session")
def image_ids() -> dict[str, str]:
    """The AMI in each region."""
    return IMAGE_IDS
