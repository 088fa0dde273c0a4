"""The built archives, for real: one broker, and orders that outlive its death."""

import os
import shutil
import signal
import socket
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from rehearsal import artifacts

TOKEN = {"Authorization": "Bearer t0ken"}
PATIENCE = 60.0
FIRST_SECONDS = 3.0  # after which a customer asks again
AGENT_PYTHON = "python3.11"
CLUSTER = "cmVraW5kbGUta2Fma2EtMQ"

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which(AGENT_PYTHON) is None, reason=f"the archives are for {AGENT_PYTHON}"),
]


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@dataclass
class Sandbox:
    """A task's sandbox with everything unpacked, and the processes that run in it."""

    folder: Path
    broker_port: int = field(default_factory=free_port)
    controller_port: int = field(default_factory=free_port)
    orders_port: int = field(default_factory=free_port)
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start_broker(self, *, may_initialise: bool) -> subprocess.Popen[bytes]:
        until = int(time.time()) + 60 if may_initialise else 0
        settings = {
            "NODE_ID": "1", "CLUSTER_ID": CLUSTER, "VOTERS": f"1@127.0.0.1:{self.controller_port}",
            "BROKER_NAME": "127.0.0.1", "BIND_ADDRESS": "127.0.0.1", "BROKER_PORT": str(self.broker_port),
            "CONTROLLER_PORT": str(self.controller_port), "REPLICATION": "1", "MIN_INSYNC": "1", "PARTITIONS": "3",
            "RETENTION_HOURS": "-1", "SESSION_TIMEOUT_MS": "2000", "HEAP_MB": "192",
            "INITIALISE_UNTIL": str(until), "MESOS_SANDBOX": str(self.folder),
        }  # fmt: skip
        return self._start(["kafka/bin/broker"], self.folder, settings)

    def start_orders(self) -> subprocess.Popen[bytes]:
        token = self.folder / "token"
        token.write_text("t0ken\n")
        settings = {
            "KAFKA_BROKERS": f"127.0.0.1:{self.broker_port}", "ORDERS_REPLICATION": "1", "BIND_ADDRESS": "127.0.0.1",
            "PORT0": str(self.orders_port), "ORDERS_TOKEN_FILE": str(token),
        }  # fmt: skip
        return self._start([AGENT_PYTHON, "-m", "orders"], self.folder / "orders", settings)

    def _start(self, argv: list[str], folder: Path, settings: dict[str, str]) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("a") as log:
            process = subprocess.Popen(
                argv, cwd=folder, env={**os.environ, **settings}, stdout=log, stderr=subprocess.STDOUT
            )
        self.running.append(process)
        return process


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    for archive in artifacts.build(tmp_path / "archives").values():
        with tarfile.open(archive) as found:
            found.extractall(tmp_path, filter="data")
    (tmp_path / "data").mkdir()
    made = Sandbox(tmp_path)
    yield made
    for process in made.running:
        process.kill()
        process.wait()


def until_true(question: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            if question():
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < end
        time.sleep(0.1)


def test_every_acknowledged_order_outlives_the_brokers_death(sandbox: Sandbox) -> None:
    broker = sandbox.start_broker(may_initialise=True)
    orders = sandbox.start_orders()
    with httpx.Client(
        base_url=f"http://127.0.0.1:{sandbox.orders_port}", headers=TOKEN, timeout=15, trust_env=False
    ) as client:
        until_true(lambda: client.get("/healthz").is_success)
        wanted = [f"order-{n}" for n in range(2000)]
        started = time.monotonic()
        for first in range(0, len(wanted), 100):
            batch = [{"id": name} for name in wanted[first : first + 100]]
            assert client.post("/orders", json=batch).status_code == 201
            assert first or time.monotonic() - started < FIRST_SECONDS
        assert len(wanted) / (time.monotonic() - started) > 200  # 1,000 a second on a quiet machine
        offsets = client.get("/barrier").json()["offsets"]
        assert sum(offsets.values()) == len(wanted)

        broker.send_signal(signal.SIGKILL)
        broker.wait()
        sandbox.start_broker(may_initialise=False)
        until_true(lambda: client.post("/orders", json={"id": "after"}).status_code == 201)
        kept = {line.split('"')[3] for line in client.get("/orders/all").text.splitlines()}
        assert set(wanted) | {"after"} <= kept

        orders.terminate()
        assert orders.wait(timeout=20) == 0
