"""A real sshd on loopback, as an ordinary process with keys of its own; every 127.0.0.x is a host."""

import os
import pwd
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from rekindle.inventory import Host, Inventory, Role, Ssh

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


@dataclass
class Sshd:
    """One sshd that listens on all of loopback."""

    directory: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def client_key(self) -> Path:
        return self.directory / "client"

    @property
    def host_key(self) -> str:
        return " ".join((self.directory / "host.pub").read_text().split()[:2])

    def connections_to(self, address: str) -> int:
        """How often one of its addresses was connected to so far."""
        return (self.directory / "log").read_text().count(f" on {address} port {self.port}")


def make_key(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)


def start(directory: Path, *, port: int = 0) -> Sshd:
    """Starts an sshd in `directory`, which gets its keys and its configuration.

    SHLVL keeps bash from reading this machine's own .bashrc for each command.
    """
    for name in ("host", "client"):
        if not (directory / name).exists():
            make_key(directory / name)
    port = port or _free_port()
    lines = [
        f"ListenAddress 0.0.0.0:{port}",
        f"HostKey {directory}/host",
        f"AuthorizedKeysFile {directory}/client.pub",
        "PidFile none",
        "StrictModes no",
        "UsePAM no",
        "PasswordAuthentication no",
        "MaxStartups 100",
        "SetEnv SHLVL=2",
        "LogLevel VERBOSE",
    ]
    (directory / "config").write_text("\n".join(lines) + "\n")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    process = subprocess.Popen([SSHD, "-D", "-e", "-f", directory / "config"], stderr=(directory / "log").open("ab"))
    _wait_for(port, process, directory)
    return Sshd(directory, port, process)


def stop(sshd: Sshd) -> None:
    sshd.process.terminate()
    sshd.process.wait()


def user() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def host(name: str, address: int | str, **more: object) -> Host:
    """A host at 127.0.0.`address`, or at the address itself."""
    ip = f"127.0.0.{address}" if isinstance(address, int) else address
    fields = {"role": Role.MASTER, "pool": "p", "zone": "admin", "az": "z1", **more}
    return Host(name=name, private_ip=IPv4Address(ip), **fields)  # type: ignore[arg-type]


def inventory(sshd: Sshd, *hosts: Host, bastion: str | None = None) -> Inventory:
    return Inventory(
        environment="t",
        region=None,
        cluster_name="t",
        hosts=hosts,
        ssh=Ssh(user=user(), port=sshd.port, bastion=bastion),
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes], directory: Path) -> None:
    for _ in range(100):
        if process.poll() is not None:
            pytest.fail((directory / "log").read_text())
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail("sshd does not listen")
