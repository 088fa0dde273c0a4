"""The DNS server on every node: the cluster's own zones from the snapshot, the rest from the resolvers."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import cast

from dnslib import QTYPE, RCODE, RR, SRV, A, DNSHeader, DNSRecord
from dnslib.dns import DNSError

from rehearsal.cluster.settings import Json

log = logging.getLogger(__name__)

TTL = 5
ZONES = (".mesos", ".thisdcos.directory", ".zk", ".spartan", ".dcos.directory")
FORWARD_SECONDS = 2.0
MAX_UDP = 1232


class Zone:
    """What the snapshot says, by name."""

    def __init__(self) -> None:
        self.records: dict[str, list[str]] = {}
        self.services: dict[str, list[Json]] = {}
        self.update({"records": {}, "services": {}, "vips": []})

    def update(self, snapshot: Json) -> None:
        """Take a new snapshot."""
        named = {vip["name"]: [vip["address"]] for vip in snapshot["vips"] if vip["name"]}
        self.records = {**snapshot["records"], **named, "ready.spartan": ["127.0.0.1"]}
        self.services = snapshot["services"]

    def answer(self, query: DNSRecord) -> DNSRecord:
        """The reply for a name in the cluster's zones."""
        name = str(query.q.qname).rstrip(".").lower()
        reply = DNSRecord(DNSHeader(id=query.header.id, qr=1, aa=1, ra=1, rd=query.header.rd), q=query.q)
        kind = QTYPE[query.q.qtype]
        addresses, services = self.records.get(name), self.services.get(name)
        if addresses is None and services is None:
            reply.header.rcode = RCODE.NXDOMAIN
        if kind in {"A", "ANY"} and addresses:
            for address in random.sample(addresses, len(addresses)):
                reply.add_answer(RR(query.q.qname, QTYPE.A, ttl=TTL, rdata=A(address)))
        if kind in {"SRV", "ANY"} and services:
            for service in services:
                reply.add_answer(
                    RR(query.q.qname, QTYPE.SRV, ttl=TTL, rdata=SRV(0, 1, service["port"], service["host"]))
                )
                reply.add_ar(RR(service["host"], QTYPE.A, ttl=TTL, rdata=A(service["ip"])))
        return reply


def is_own(name: str) -> bool:
    """True for the names that only the cluster knows."""
    return f".{name.rstrip('.').lower()}".endswith(ZONES)


class DnsServer:
    """UDP and TCP on one address."""

    def __init__(self, zone: Zone, resolvers: tuple[str, ...]) -> None:
        self._zone = zone
        self._resolvers = [_address(resolver) for resolver in resolvers]
        self._closers: list[Callable[[], None]] = []
        self._work: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int = 53) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: _Listener(self), (host, port))
        server = await asyncio.start_server(self._serve_stream, host, port)
        self._closers += [transport.close, server.close]

    def stop(self) -> None:
        """Stop listening."""
        for close in self._closers:
            close()

    def received(self, data: bytes, reply: Callable[[bytes], None]) -> None:
        """A datagram came."""
        task = asyncio.get_running_loop().create_task(self._reply(data, reply))
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _reply(self, data: bytes, reply: Callable[[bytes], None]) -> None:
        answer = await self.resolve(data)
        if answer is not None:
            reply(answer if len(answer) <= MAX_UDP else _truncated(answer))

    async def resolve(self, data: bytes) -> bytes | None:
        """The answer to a query; SERVFAIL when no resolver answers."""
        try:
            query = DNSRecord.parse(data)
        except DNSError:
            return None
        if is_own(str(query.q.qname)):
            return bytes(self._zone.answer(query).pack())
        for resolver in self._resolvers:
            answer = await _ask(resolver, data)
            if answer is not None:
                return answer
        failed = DNSRecord(DNSHeader(id=query.header.id, qr=1, ra=1, rd=query.header.rd), q=query.q)
        failed.header.rcode = RCODE.SERVFAIL
        return bytes(failed.pack())

    async def _serve_stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(2), "big")
                answer = await self.resolve(await reader.readexactly(size))
                if answer is None:
                    break
                writer.write(len(answer).to_bytes(2, "big") + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class _Listener(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        transport = self._transport
        if transport is not None:
            self._server.received(data, lambda answer: transport.sendto(answer, address))


class _Question(asyncio.DatagramProtocol):
    def __init__(self, answered: asyncio.Future[bytes]) -> None:
        self._answered = answered

    def datagram_received(self, data: bytes, _: tuple[str, int]) -> None:
        if not self._answered.done():
            self._answered.set_result(data)

    def error_received(self, error: Exception) -> None:
        if not self._answered.done():
            self._answered.set_exception(error)


async def _ask(resolver: tuple[str, int], data: bytes) -> bytes | None:
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[bytes] = loop.create_future()
    try:
        transport, _ = await loop.create_datagram_endpoint(lambda: _Question(answered), remote_addr=resolver)
    except OSError:
        return None
    try:
        transport.sendto(data)
        return await asyncio.wait_for(answered, FORWARD_SECONDS)
    except (OSError, TimeoutError):
        return None
    finally:
        transport.close()


def _address(resolver: str) -> tuple[str, int]:
    host, _, port = resolver.partition(":")
    return host, int(port or 53)


def _truncated(answer: bytes) -> bytes:
    record = DNSRecord.parse(answer)
    short = DNSRecord(record.header, q=record.q)
    short.header.tc = 1
    return bytes(short.pack())
