"""Hosts behind fabric's edge: their keys, logins, sessions and drops are state; their shell is a real one, here."""

import os
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import paramiko
from paramiko.hostkeys import HostKeys

from rekindle.inventory import Host, Inventory, Role, Ssh
from rekindle.transport import MemoryPins, Transport, connections


@dataclass
class FakeHost:
    """One host as its sshd shows it."""

    key: paramiko.PKey
    start_files: str = ""  # what the login shell runs before any command
    max_sessions: int = 10  # OpenSSH's default
    answers: bool = True
    lets_in: bool = True
    drops: str = ""  # "begin", "run": the connection drops as a command begins, or while it runs
    opened: int = 0  # connections so far
    asked: list[tuple[str, int]] = field(default_factory=list)  # ports that a channel was wanted to
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def sessions(self) -> int:
        """sshd counts a session until its command has ended, whether its channel is closed or not."""
        self.running = [process for process in self.running if process.poll() is None]
        return len(self.running)


class FakeChannel:
    """A session whose command runs here."""

    def __init__(self, link: "FakeLink") -> None:
        self._link, self._host = link, link.host
        self.status_event = threading.Event()
        self.closed = False
        self._out, self._err = bytearray(), bytearray()
        self._readers: list[threading.Thread] = []
        self._ready = os.pipe()

    def exec_command(self, line: str) -> None:
        if self._host.drops == "begin":
            self._link.is_live = False
            raise EOFError
        self._process = subprocess.Popen(
            ["bash", "-c", f"{self._host.start_files}\n{line}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._host.running.append(self._process)
        for stream, kept in ((self._process.stdout, self._out), (self._process.stderr, self._err)):
            self._readers.append(threading.Thread(target=self._read, args=(stream, kept), daemon=True))
            self._readers[-1].start()
        threading.Thread(target=self._wait, daemon=True).start()

    def _read(self, stream: Any, kept: bytearray) -> None:
        while chunk := os.read(stream.fileno(), 65536):
            kept += chunk

    def _wait(self) -> None:
        self._process.wait()
        if self._host.drops == "run":
            self._link.is_live = False
            self.closed = True
        self.status_event.set()
        os.write(self._ready[1], b"x")

    def settimeout(self, seconds: float) -> None: ...

    def fileno(self) -> int:
        return self._ready[0]

    def sendall(self, data: bytes) -> None:
        assert self._process.stdin
        self._process.stdin.write(data)

    def shutdown_write(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()

    @property
    def eof_received(self) -> bool:
        return not any(reader.is_alive() for reader in self._readers)

    def exit_status_ready(self) -> bool:
        return self.status_event.is_set()

    def recv_ready(self) -> bool:
        return bool(self._out)

    def recv_stderr_ready(self) -> bool:
        return bool(self._err)

    def recv(self, size: int) -> bytes:
        return _taken(self._out, size)

    def recv_stderr(self, size: int) -> bytes:
        return _taken(self._err, size)

    def recv_exit_status(self) -> int:
        code = self._process.returncode
        return -1 if self._host.drops == "run" or code is None or code < 0 else code

    def get_transport(self) -> "FakeLink":
        return self._link

    def close(self) -> None:
        self.closed = True


def _taken(kept: bytearray, size: int) -> bytes:
    chunk = bytes(kept[:size])
    del kept[: len(chunk)]
    return chunk


class FakeLink:
    """A connection that stands; paramiko's Transport."""

    def __init__(self, host: FakeHost) -> None:
        self.host, self.is_live, self.sock = host, True, None
        self.keepalive = 0

    def is_active(self) -> bool:
        return self.is_live

    def set_keepalive(self, seconds: int) -> None:
        self.keepalive = seconds

    def open_session(self, timeout: float) -> FakeChannel:
        if not self.is_live:
            raise paramiko.SSHException("SSH session not active")
        if self.host.sessions() >= self.host.max_sessions:
            raise paramiko.ChannelException(2, "Connect failed")
        return FakeChannel(self)

    def open_channel(self, kind: str, to: tuple[str, int], source: tuple[str, int], timeout: float) -> Any:
        assert kind == "direct-tcpip"
        self.host.asked.append(to)
        raise paramiko.ChannelException(1, "Administratively prohibited")


class FakeClient:
    """As much of paramiko's client as says which keys are known."""

    def __init__(self) -> None:
        self.known, self.policy = HostKeys(), None

    def get_host_keys(self) -> HostKeys:
        return self.known

    def set_missing_host_key_policy(self, policy: Any) -> None:
        self.policy = policy


@dataclass
class FakeSsh:
    """All hosts by address, in place of fabric.Connection."""

    hosts: dict[str, FakeHost]
    logins: list[dict[str, Any]] = field(default_factory=list)  # how each connection was asked for

    def connection(self, **asked: Any) -> "FakeConnection":
        self.logins.append(asked)
        return FakeConnection(self.hosts[asked["host"]], asked)


class FakeConnection:
    """fabric.Connection, as far as it is used; opening checks keys as paramiko's client does."""

    def __init__(self, host: FakeHost, asked: dict[str, Any]) -> None:
        self.host, self.asked = host, asked
        self.client = FakeClient()
        self.transport: Any = None

    @property
    def is_connected(self) -> bool:
        return bool(self.transport and self.transport.is_live)

    def open(self) -> None:
        self.host.opened += 1
        if not self.host.answers:
            raise TimeoutError
        port = self.asked["port"]
        entry = self.asked["host"] if port == 22 else f"[{self.asked['host']}]:{port}"
        known = (self.client.known.lookup(entry) or {}).get(self.host.key.get_name())
        if known is None:
            assert self.client.policy
            self.client.policy.missing_host_key(self.client, entry, self.host.key)
        elif known != self.host.key:
            raise paramiko.BadHostKeyException(entry, self.host.key, known)
        if not self.host.lets_in:
            raise paramiko.AuthenticationException("Authentication failed.")
        self.transport = FakeLink(self.host)

    def close(self) -> None:
        if self.transport:
            self.transport.is_live = False


def key_text(key: paramiko.PKey) -> str:
    return f"{key.get_name()} {key.get_base64()}"


def inventory(*hosts: Host, user: str = "root", port: int = 22, bastion: str | None = None) -> Inventory:
    ssh = Ssh(user=user, port=port, bastion=bastion)
    return Inventory(environment="t", region=None, cluster_name="t", hosts=hosts, ssh=ssh)


def host(name: str, number: int, **more: Any) -> Host:
    fields = {"role": Role.MASTER, "pool": "p", "zone": "admin", "az": "z1", "instance_id": "i-1", **more}
    return Host(name=name, private_ip=f"10.0.0.{number}", **fields)


def reached(monkeypatch: Any, ssh: FakeSsh, found: Inventory, pins: MemoryPins, **more: Any) -> Transport:
    """A transport of these hosts that waits for nothing."""
    monkeypatch.setattr(connections.fabric, "Connection", ssh.connection)
    return Transport(found, pins, **{"boot_timeout": 0.0, **more})


FirstKeys = Callable[[Host], str | None]
