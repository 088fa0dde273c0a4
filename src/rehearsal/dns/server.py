"""DNS on the wire: the public resolver, and one in each VPC that also sees its private zones."""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import threading
from collections.abc import Callable

from dnslib import AAAA, CNAME, MX, NS, QTYPE, RCODE, RR, SRV, TXT, A, DNSRecord

from rehearsal.dns.records import Answer, NoSuchName, NotServed, Resolver
from rehearsal.network import namespaces
from rehearsal.region.stage import DNS_ADDRESS, VPC_RESOLVER_ADDRESS

_log = logging.getLogger(__name__)
Lookup = Callable[[str, str], list[Answer]]
MakeResolver = Callable[[str | None], Resolver]


class NameService:
    """The listeners of all resolvers."""

    def __init__(self, lookup: Callable[[str | None], Lookup]) -> None:
        """`lookup(vpc)` answers as that VPC sees the world; `lookup(None)` as the public does."""
        self._lookup = lookup
        self._listeners: dict[str, list[socket.socket]] = {}

    def open_public(self, namespace: str) -> None:
        self._open("public", namespace, DNS_ADDRESS, self._lookup(None))

    def open(self, vpc: str, namespace: str) -> None:
        self._open(vpc, namespace, VPC_RESOLVER_ADDRESS, self._lookup(vpc))

    def close(self, vpc: str) -> None:
        for listener in self._listeners.pop(vpc, []):
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def _open(self, key: str, namespace: str, address: str, lookup: Lookup) -> None:
        datagrams = namespaces.listen(namespace, socket.SOCK_DGRAM, address, 53)
        streams = namespaces.listen(namespace, socket.SOCK_STREAM, address, 53)
        self._listeners[key] = [datagrams, streams]
        for serve, listener in ((_serve_datagrams, datagrams), (_serve_streams, streams)):
            threading.Thread(target=serve, args=(listener, lookup), name=f"dns-{key}", daemon=True).start()


def _serve_datagrams(listener: socket.socket, lookup: Lookup) -> None:
    while True:
        try:
            question, peer = listener.recvfrom(4096)
        except OSError:
            return
        if peer is None:  # the listener was shut down
            return
        with contextlib.suppress(OSError):
            listener.sendto(reply(question, lookup), peer)


def _serve_streams(listener: socket.socket, lookup: Lookup) -> None:
    while True:
        try:
            link, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_serve_stream, args=(link, lookup), daemon=True).start()


def _serve_stream(link: socket.socket, lookup: Lookup) -> None:
    with link, contextlib.suppress(OSError, struct.error):
        link.settimeout(10)
        stream = link.makefile("rb")
        while head := stream.read(2):
            answer = reply(stream.read(struct.unpack("!H", head)[0]), lookup)
            link.sendall(struct.pack("!H", len(answer)) + answer)


def reply(packet: bytes, lookup: Lookup) -> bytes:
    """The answer to one question, in wire format."""
    try:
        request = DNSRecord.parse(packet)
    except Exception:
        return b""
    response = request.reply(aa=0, ra=1)
    name, kind = str(request.q.qname), QTYPE.get(request.q.qtype)
    try:
        for answer in lookup(name, kind):
            response.add_answer(_record(answer))
    except NoSuchName:
        response.header.rcode = RCODE.NXDOMAIN
    except NotServed:
        response.header.rcode = RCODE.NXDOMAIN
    except Exception:
        _log.exception("DNS question %s %s", name, kind)
        response.header.rcode = RCODE.SERVFAIL
    return bytes(response.pack())


def _record(answer: Answer) -> RR:
    data = _DATA[answer.type](answer.value)
    return RR(answer.name, getattr(QTYPE, answer.type), rdata=data, ttl=answer.ttl)


def _text(value: str) -> TXT:
    return TXT(value.strip('"').replace('" "', ""))


def _mail(value: str) -> MX:
    preference, name = value.split()
    return MX(name, int(preference))


def _service(value: str) -> SRV:
    priority, weight, port, name = value.split()
    return SRV(int(priority), int(weight), int(port), name)


_DATA = {"A": A, "AAAA": AAAA, "CNAME": CNAME, "NS": NS, "TXT": _text, "MX": _mail, "SRV": _service}
