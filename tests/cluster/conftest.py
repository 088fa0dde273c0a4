"""A small cluster in this process: a real ZooKeeper, one master, three agents, all on loopback addresses."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from rehearsal.cluster import zookeeper
from rehearsal.cluster.agent_node import AgentNode
from rehearsal.cluster.diagnostics import Unit
from rehearsal.cluster.master_node import MasterNode
from rehearsal.cluster.mesos.agent import AgentIdentity
from rehearsal.cluster.mesos.master import Patience
from rehearsal.cluster.mesos.resources import PRIVATE_PORTS, PUBLIC_PORTS, Resources
from rehearsal.cluster.mesos.runner import ProcessRunner
from rehearsal.cluster.settings import Directories, NodeSettings
from rehearsal.installer import payload

HTTP_PORT, HTTPS_PORT = 9080, 9443
UID = "robot"


async def no_units() -> list[Unit]:
    """Loopback nodes have no systemd units."""
    return [Unit(id="dcos-test.service", description="A unit", health=0)]


@dataclass
class Cluster:
    """What tests need of it."""

    url: str
    private_key: str
    loop: asyncio.AbstractEventLoop
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=self.url, timeout=20)
        self.client.headers["Authorization"] = f"token={self.login()}"

    def login_token(self, lifetime: int = 300, uid: str = UID) -> str:
        """A service login token."""
        return jwt.encode({"uid": uid, "exp": int(time.time()) + lifetime}, self.private_key, algorithm="RS256")

    def login(self) -> str:
        """An authentication token."""
        body = {"uid": UID, "token": self.login_token()}
        answer = httpx.post(f"{self.url}/acs/api/v1/auth/login", json=body)
        answer.raise_for_status()
        return str(answer.json()["token"])

    def marathon(self, method: str, path: str, **more: Any) -> httpx.Response:
        """A call to Marathon through Admin Router."""
        return self.client.request(method, f"/service/marathon{path}", **more)

    def cosmos(self, path: str, call: str, body: dict[str, Any], version: str = "v1") -> httpx.Response:
        """A call to Cosmos with its media types."""
        service = "service" if path.startswith("/cosmos/service") else "package"
        kind = f"application/vnd.dcos.{service}.{call}"
        return self.client.post(path, json=body, headers={
            "Content-Type": f"{kind}-request+json;charset=utf-8;version=v1",
            "Accept": f"{kind}-response+json;charset=utf-8;version={version}"})  # fmt: skip

    def settled(self, seconds: float = 20) -> None:
        """Wait until no deployment runs."""
        until(lambda: self.marathon("GET", "/v2/deployments").json() == [], seconds)

    def deploy(self, app: dict[str, Any]) -> dict[str, Any]:
        """Create or replace an app and wait for it."""
        answer = self.marathon("PUT", f"/v2/apps/{app['id']}?partialUpdate=false&force=true", json=app)
        assert answer.status_code in {200, 201}, answer.text
        self.settled()
        return self.app(app["id"])

    def app(self, app_id: str) -> dict[str, Any]:
        """An app as Marathon shows it."""
        answer = self.marathon("GET", f"/v2/apps/{app_id}")
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()["app"]
        return document


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.05)


def key_pair() -> tuple[str, str]:
    """An RSA key: private and public PEM."""
    key = rsa.generate_private_key(65537, 2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())  # fmt: skip
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)  # fmt: skip
    return private.decode(), public.decode()


def start_zookeeper(ip: str, data: Path) -> subprocess.Popen[bytes]:
    """One ZooKeeper on an address."""
    java = shutil.which("java")
    if java is None:
        pytest.skip("java is missing")
    config = zookeeper.prepare(ip, [ip], data, bind=ip)
    argv = zookeeper.command(java, f"{payload.zookeeper()}/lib/*", config)
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: answers(ip, 2181), 20)
    return process


def answers(ip: str, port: int) -> bool:
    """True if something listens."""
    with socket.socket() as connection:
        connection.settimeout(1)
        return connection.connect_ex((ip, port)) == 0


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster, once for all tests of a worker."""
    network = f"127.7.{os.getpid() % 250 + 1}"
    root = tmp_path_factory.mktemp("cluster")
    server = start_zookeeper(f"{network}.1", root / "zookeeper")
    private, public = key_pair()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def call(coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(30)

    nodes = call(start_nodes(network, root, public))
    try:
        found = Cluster(f"http://{network}.1:{HTTP_PORT}", private, loop)
        until(lambda: len(found.client.get("/mesos/slaves").json().get("slaves", [])) == 3, 20)
        yield found
    finally:
        for node in reversed(nodes):
            call(node.stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        server.kill()
        server.wait()


async def start_nodes(network: str, root: Path, public_key: str) -> list[Any]:
    """One master, two private agents in two zones, one public agent."""
    nodes: list[Any] = [MasterNode(
        settings_of(f"{network}.1", "master", network, root, public_key), lambda: None, Patience(ping_seconds=0.5),
        no_units, ports=(HTTP_PORT, HTTPS_PORT))]  # fmt: skip
    for number, role in ((11, "slave"), (12, "slave"), (21, "slave_public")):
        is_public = role == "slave_public"
        identity = AgentIdentity(
            attributes={"public_ip": "true"} if is_public else {"zone": f"z{number}"},
            resources=Resources(cpus=4, mem=4096, disk=10000, ports=PUBLIC_PORTS if is_public else PRIVATE_PORTS),
            role="slave_public" if is_public else "*")  # fmt: skip
        settings = settings_of(f"{network}.{number}", role, network, root, public_key)
        nodes.append(AgentNode(settings, identity, ProcessRunner(), lambda: None, units=no_units))
    for node in nodes:
        await node.start()
    return nodes


def settings_of(ip: str, role: str, network: str, root: Path, public_key: str) -> NodeSettings:
    """A node's settings with directories of its own."""
    own = root / ip
    directories = Directories(dcos=own / "dcos", agent=own / "agent", volumes=own / "volumes", run=own / "run")
    return NodeSettings(ip=ip, role=role, cluster_name="test", masters=(f"{network}.1",), bind=ip,
                        superuser_uid=UID, superuser_public_key=public_key, directories=directories)  # fmt: skip
