"""HAProxy's configuration of a set of routes, and the process that runs it."""

import os
import signal
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from edge.routes import Route

HEAD = """\
global
    maxconn 4000
    hard-stop-after 30s

defaults
    mode http
    timeout connect 2s
    timeout client 120s
    timeout server 120s
    timeout http-keep-alive 30s
    option redispatch 1
    option forwardfor
    retries 3
    retry-on conn-failure
    default-server inter 500ms fastinter 200ms downinter 500ms fall 2 rise 1

frontend health
    bind {address}:{health_port}
    monitor-uri /_haproxy_health_check
    http-request deny deny_status 404

frontend http
    bind {address}:{port}
"""


def configuration(routes: Sequence[Route], *, address: str, port: int, health_port: int) -> str:
    """haproxy.cfg as text; the same routes give the same text."""
    head = HEAD.format(address=address, port=port, health_port=health_port)
    return head + "\n".join([*_by_name(routes), "", *_by_port(routes, address), *_backends(routes)]) + "\n"


def _by_name(routes: Iterable[Route]) -> Iterator[str]:
    for route in routes:
        for host in route.hosts:
            yield f"    use_backend {route.name} if {{ hdr(host),field(1,:) -i {host} }}"


def _by_port(routes: Iterable[Route], address: str) -> Iterator[str]:
    for route in routes:
        if route.port is not None:
            yield f"frontend port_{route.port}\n    bind {address}:{route.port}\n    default_backend {route.name}\n"


def _backends(routes: Iterable[Route]) -> Iterator[str]:
    for route in routes:
        yield f"backend {route.name}\n    balance leastconn"
        if route.health_path is not None:
            yield f"    option httpchk GET {route.health_path}"
        check = " check" if route.health_path is not None else ""
        yield from (f"    server {s.name} {s.host}:{s.port}{check}" for s in route.servers)
        yield ""


class HAProxy:
    """A master process that takes a new configuration without dropping a connection."""

    def __init__(self, run_dir: Path, executable: str) -> None:
        self._executable = executable
        self._file = run_dir / "haproxy.cfg"
        self._process: subprocess.Popen[bytes] | None = None

    def use(self, text: str) -> None:
        """Runs with this configuration; CalledProcessError, and nothing changed, if HAProxy refuses it."""
        if self._process is not None and self._file.read_text() == text:
            return
        new = self._file.with_suffix(".new")
        new.write_text(text)
        subprocess.run([self._executable, "-c", "-q", "-f", str(new)], check=True)
        os.replace(new, self._file)
        self._reload()

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Stops accepting, lets requests in flight end."""
        if self._process is not None:
            self._process.send_signal(signal.SIGUSR1)
            self._process.wait()

    def _reload(self) -> None:
        if self._process is None:
            self._process = subprocess.Popen([self._executable, "-W", "-db", "-f", str(self._file)])
        else:
            self._process.send_signal(signal.SIGUSR2)
