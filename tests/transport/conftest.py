"""One real sshd for all tests of this folder."""

from collections.abc import Iterator

import pytest
from real_sshd import Sshd, start, stop

from rekindle.transport import MemoryPins


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    running = start(tmp_path_factory.mktemp("sshd"))
    yield running
    stop(running)


@pytest.fixture
def pins() -> MemoryPins:
    return MemoryPins()
