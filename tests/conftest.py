"""What holds for all tests."""

import gc
import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

# moto lists hundreds of images otherwise, in each answer that tells of one.
os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")

# The models of AWS's services are hundreds of thousands of objects that stay: looking through them again and again for
# garbage takes a third of the time that the tests of moto and Pulumi take.
gc.set_threshold(50_000, 20, 20)

# How long one example takes says how busy the machine is, not whether the property holds.
settings.register_profile("rekindle", deadline=None)
settings.load_profile("rekindle")

# By folder, the fixture that starts a real sshd, ZooKeeper with the cluster's servers, or brokers with Kafka's client.
REAL = {"transport": "sshd", "cluster": "cluster", "examples": "cluster"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if REAL.get(item.path.parent.name) in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.integration)


def pytest_collection_finish() -> None:
    gc.freeze()  # what was imported stays


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """SIGINT interrupts, though a shell that starts commands in the background has them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def atomic_s3() -> Iterator[None]:
    """moto's S3 creates a key once however many contend for it, as S3 does."""
    from rehearsal.region.behaviour import contests  # brings moto, which most tests do without

    take_back = contests.install()
    yield
    take_back()
