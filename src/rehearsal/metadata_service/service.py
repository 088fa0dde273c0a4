"""169.254.169.254 in every VPC: it knows an instance by the address that asks."""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from rehearsal.metadata_service.documents import Document, document
from rehearsal.network import namespaces
from rehearsal.region import cloud
from rehearsal.region.stage import METADATA_ADDRESS

_TOKEN_HEADER = "X-aws-ec2-metadata-token"  # noqa: S105
_TTL_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"
_LONGEST_TTL = 21600


class Tokens:
    """IMDSv2 session tokens; each is good for the instance that asked for it."""

    def __init__(self) -> None:
        self._tokens: dict[str, tuple[str, float]] = {}

    def issue(self, instance_id: str, seconds: int) -> str:
        token = secrets.token_urlsafe(42)
        self._tokens[token] = (instance_id, time.monotonic() + seconds)
        return token

    def holds(self, instance_id: str, token: str) -> bool:
        owner, expires = self._tokens.get(token, ("", 0.0))
        return owner == instance_id and expires > time.monotonic()


class MetadataService:
    """One listener in each VPC's router."""

    def __init__(self) -> None:
        self._servers: dict[str, _Server] = {}
        self._tokens = Tokens()

    def open(self, vpc: str, namespace: str) -> None:
        listener = namespaces.listen(namespace, socket.SOCK_STREAM, METADATA_ADDRESS, 80)
        server = _Server(listener, vpc, self._tokens)
        threading.Thread(target=server.serve_forever, name=f"metadata-{vpc}", daemon=True).start()
        self._servers[vpc] = server

    def close(self, vpc: str) -> None:
        server = self._servers.pop(vpc, None)
        if server is not None:
            server.shutdown()
            server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, listener: socket.socket, vpc: str, tokens: Tokens) -> None:
        super().__init__((METADATA_ADDRESS, 80), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.vpc, self.tokens = vpc, tokens


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "EC2ws", ""

    def do_PUT(self) -> None:
        """A session token; its answer travels no further than the hop limit says."""
        instance = self._instance()
        seconds = self.headers.get(_TTL_HEADER, "")
        if instance is None or self.path != "/latest/api/token":
            return self._answer(404 if instance is not None else 403)
        if not seconds.isdigit() or not 1 <= int(seconds) <= _LONGEST_TTL or self.headers.get("X-Forwarded-For"):
            return self._answer(400)
        hops = int(instance.metadata_options.http_put_response_hop_limit)
        self.connection.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)
        return self._answer(200, self.server.tokens.issue(instance.id, int(seconds)), {_TTL_HEADER: seconds})

    def do_GET(self) -> None:
        instance = self._instance()
        if instance is None:
            return self._answer(403)
        token = self.headers.get(_TOKEN_HEADER)
        required = instance.metadata_options.http_tokens == "required"
        if (token is None and required) or (token is not None and not self.server.tokens.holds(instance.id, token)):
            return self._answer(401)
        with cloud.lock:
            found = document(instance, self.path)
        return self._send(found) if found is not None else self._answer(404)

    def _instance(self) -> Any | None:
        """The instance that asks, unless its metadata endpoint is off."""
        with cloud.lock:
            instance = cloud.instance_at(self.server.vpc, self.client_address[0])
        if instance is None or instance.metadata_options.http_endpoint == "disabled":
            return None
        return instance

    def _send(self, found: Document) -> None:
        self._answer(200, found.content, {"Content-Type": found.media_type})

    def _answer(self, status: int, body: str | bytes = b"", headers: dict[str, str] | None = None) -> None:
        content = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        for name, value in {"Content-Type": "text/plain", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: requests carry credentials in their answers, and are many."""
