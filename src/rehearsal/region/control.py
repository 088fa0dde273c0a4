"""What a real region has no API for: failing it. One line of JSON asks, one answers."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import socketserver
import threading
from typing import Any

from rehearsal.region import cloud
from rehearsal.region.errors import NotUp, RegionError
from rehearsal.region.outages import Outages
from rehearsal.region.realiser import Realiser
from rehearsal.region.stage import REGIONS, Stage

_log = logging.getLogger(__name__)


class Control(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    realiser: Realiser
    outages: Outages

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class _Request(socketserver.StreamRequestHandler):
    server: Control

    def handle(self) -> None:
        asked = json.loads(self.rfile.readline())
        try:
            answer = {"result": _VERBS[asked.pop("verb")](self.server, **asked)}
        except Exception as error:
            _log.exception("control")
            answer = {"error": f"{type(error).__name__}: {error}"}
        with contextlib.suppress(OSError):
            self.wfile.write(json.dumps(answer).encode() + b"\n")


def _status(server: Control) -> dict[str, Any]:
    with cloud.lock:
        return {region: _region(server, region) for region in REGIONS}


def _region(server: Control, region: str) -> dict[str, Any]:
    return {
        "up": not server.outages.is_down(region),
        "instances": {i.id: _instance(i) for i in cloud.instances(region) if i.state != "terminated"},
        "load_balancers": [b.dns_name for b in cloud.load_balancers(region)],
        "volumes": len(cloud.ec2(region).volumes),
        "snapshots": len(cloud.ec2(region).snapshots),
    }


def _instance(instance: Any) -> dict[str, Any]:
    return {
        "state": instance.state,
        "private": instance.private_ip,
        "public": instance.public_ip,
        "name": _name(instance),
    }


def _name(instance: Any) -> str:
    return next((t["value"] for t in instance.get_tags() if t["key"] == "Name"), "")


def _fail_region(server: Control, region: str) -> int:
    return server.realiser.fail_region(region)


def _restore_region(server: Control, region: str) -> None:
    server.realiser.restore_region(region)


def _fail_host(server: Control, instance: str) -> None:
    server.realiser.fail_host(instance)


_VERBS: dict[str, Any] = {
    "status": _status,
    "fail-region": _fail_region,
    "restore-region": _restore_region,
    "fail-host": _fail_host,
}


def listen(stage: Stage, realiser: Realiser, outages: Outages) -> Control:
    """Serves requests beside the API."""
    stage.control_socket.unlink(missing_ok=True)
    server = Control(str(stage.control_socket), _Request)
    server.realiser, server.outages = realiser, outages
    threading.Thread(target=server.serve_forever, name="control", daemon=True).start()
    return server


def ask(stage: Stage, verb: str, **arguments: str) -> Any:
    """Asks the stage's region.

    Raises:
        NotUp: nobody listens.
        RegionError: it could not be done.
    """
    try:
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(60)
            link.connect(str(stage.control_socket))
            link.sendall(json.dumps({"verb": verb, **arguments}).encode() + b"\n")
            answer = json.loads(link.makefile().readline())
    except (FileNotFoundError, ConnectionRefusedError):
        raise NotUp("no rehearsal region is up; start one with `rehearsal up`") from None
    if "error" in answer:
        raise RegionError(answer["error"])
    return answer["result"]
