"""A master of the stage in this process, on a loopback address of its own, over a real ZooKeeper."""

import asyncio
import shutil
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from fake_cluster import KEY

from rehearsal.cluster.master_node import MasterNode
from rehearsal.cluster.settings import Directories, NodeSettings
from rehearsal.cluster.zookeeper import command, prepare
from rekindle.packages import REPOSITORY_TYPE

ADDRESS = "127.77.0.1"
UP_SECONDS = 60.0


def unpacked(archive: Path, into: Path) -> Path:
    """The archive's content in a folder."""
    with tarfile.open(archive) as found:
        found.extractall(into, filter="data")
    return into


@contextmanager
def zookeeper(archives: dict[str, Path], folder: Path) -> Iterator[None]:
    """A single server, from the jars that the broker comes with."""
    for name in ("kafka.tgz", "jre.tgz"):
        unpacked(archives[name], folder)
    config = prepare(ADDRESS, [ADDRESS], folder / "zookeeper", ADDRESS)
    argv = command(str(folder / "jre/bin/java"), str(folder / "kafka/libs/*"), config)
    with (folder / "zookeeper.log").open("w") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder / "zookeeper")


@contextmanager
def master(folder: Path) -> Iterator[str]:
    """Its Admin Router's base URL, once it answers."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public_key = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    settings = NodeSettings(
        ip=ADDRESS,
        bind=ADDRESS,
        role="master",
        cluster_name="test",
        masters=(ADDRESS,),
        superuser_uid="rekindle",
        superuser_public_key=public_key,
        directories=Directories(
            dcos=folder / "dcos", agent=folder / "agent", volumes=folder / "volumes", run=folder / "run"
        ),
    )
    loop = asyncio.new_event_loop()
    node = MasterNode(settings, lambda: None)
    thread = threading.Thread(target=_serve, args=(loop, node), daemon=True)
    thread.start()
    try:
        _await_up(f"http://{ADDRESS}")
        yield f"http://{ADDRESS}"
    finally:
        asyncio.run_coroutine_threadsafe(node.stop(), loop).result(timeout=30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


@contextmanager
def repository_server(folder: Path) -> Iterator[str]:
    """The base URL that a folder's files are served from, as Universe repositories."""

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

        def guess_type(self, path: Any) -> str:
            return REPOSITORY_TYPE

        def log_message(self, format: str, *args: Any) -> None: ...

    server = ThreadingHTTPServer((ADDRESS, 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://{ADDRESS}:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def _serve(loop: asyncio.AbstractEventLoop, node: MasterNode) -> None:
    asyncio.set_event_loop(loop)
    loop.run_until_complete(node.start())
    loop.run_forever()


def _await_up(url: str) -> None:
    until = time.monotonic() + UP_SECONDS
    while time.monotonic() < until:
        try:
            if httpx.get(f"{url}/exhibitor/exhibitor/v1/cluster/status", trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise TimeoutError(f"{url} does not answer")
