"""Network namespaces and what is set inside them, by iproute2 and nftables."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from rehearsal.region.errors import RegionError
from rehearsal.region.stage import namespace_path

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def processes(name: str) -> list[int]:
    """Those whose network this is, this one left out."""
    if name not in existing():
        return []
    listed = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False)
    return [int(pid) for pid in listed.stdout.split() if int(pid) != os.getpid()]


def existing() -> set[str]:
    """Names of the namespaces that this machine has."""
    directory = Path("/run/netns")
    return {path.name for path in directory.iterdir()} if directory.is_dir() else set()


def add(namespace: str, settings: Iterable[str] = ()) -> None:
    """A namespace with its loopback up and these `net.` settings ("ipv4/ip_forward=1")."""
    _run(["ip", "netns", "add", namespace])
    ip(namespace, ["link set lo up"])
    set_all(namespace, settings)


def remove(namespace: str) -> None:
    """The namespace's name is gone; it lives on only while a process is inside."""
    subprocess.run(["ip", "netns", "del", namespace], capture_output=True, check=False)


def ip(namespace: str, commands: Iterable[str]) -> None:
    """Runs `ip` commands inside a namespace, in one process; the first that fails ends it."""
    _run(["ip", "-n", namespace, "-batch", "-"], "\n".join(commands) + "\n")


def nft(namespace: str, rules: str) -> None:
    """Replaces rules in one transaction."""
    _run([*entering(namespace), "nft", "-f", "-"], rules)


def set_all(namespace: str, settings: Iterable[str]) -> None:
    script = "".join(f"echo {v} > /proc/sys/net/{k}\n" for k, v in (s.split("=") for s in settings))
    if script:
        _run([*entering(namespace), "sh", "-e"], script)


def entering(namespace: str) -> list[str]:
    """The command prefix that enters only the network namespace.

    Not `ip netns exec`: that remounts /sys and hides the cgroups, which systemd-nspawn needs.
    """
    return ["nsenter", f"--net={namespace_path(namespace)}", "--"]


def listen(namespace: str, kind: socket.SocketKind, address: str, port: int) -> socket.socket:
    """A socket bound inside another namespace, usable from here."""

    def bind() -> socket.socket:
        bound = socket.socket(socket.AF_INET, kind)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((address, port))
        if kind is socket.SOCK_STREAM:
            bound.listen(64)
        return bound

    return _inside(namespace, bind)


@contextlib.contextmanager
def entered(namespace: str) -> Iterator[None]:
    """This thread, and those it starts, are inside the namespace's network until the block ends."""
    with open("/proc/thread-self/ns/net") as home, namespace_path(namespace).open() as there:
        _set_namespace(there.fileno())
        try:
            yield
        finally:
            _set_namespace(home.fileno())


def _set_namespace(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "setns")


def _inside(namespace: str, action: Callable[[], socket.socket]) -> socket.socket:
    """Runs `action` in a thread of its own that has entered the namespace: threads enter alone."""
    outcome: list[socket.socket | BaseException] = []

    def work() -> None:
        try:
            with namespace_path(namespace).open() as handle:
                _set_namespace(handle.fileno())
            outcome.append(action())
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    result = outcome[0]
    if isinstance(result, BaseException):
        raise result
    return result


def _run(command: list[str], text: str | None = None) -> None:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise RegionError(f"{' '.join(command)}: {said}\n{(text or '')[-2000:]}")
