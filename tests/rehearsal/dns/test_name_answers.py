"""An answer on the wire is what was looked up, and what nobody serves is no such name."""

from __future__ import annotations

import pytest
from dnslib import QTYPE, RCODE, DNSRecord

from rehearsal.dns.records import Answer, NoSuchName, NotServed
from rehearsal.dns.server import reply


def asked(name: str, kind: str, found: object) -> DNSRecord:
    def look_up(of: str, what: str) -> list[Answer]:
        assert (of, what) == (f"{name}.", kind)
        if isinstance(found, Exception):
            raise found
        return found  # type: ignore[return-value]

    return DNSRecord.parse(reply(DNSRecord.question(name, kind).pack(), look_up))


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        ("A", "192.0.2.1", "192.0.2.1"),
        ("AAAA", "2001:db8::1", "2001:db8::1"),
        ("CNAME", "b.test.", "b.test."),
        ("NS", "ns.test.", "ns.test."),
        ("TXT", '"a b" "c"', '"a bc"'),
        ("MX", "10 mail.test.", "10 mail.test."),
        ("SRV", "1 2 80 web.test.", "1 2 80 web.test."),
    ],
)
def test_an_answer_keeps_its_type_time_and_value(kind: str, value: str, shown: str) -> None:
    answer = asked("a.test", kind, [Answer(name="a.test.", type=kind, ttl=7, value=value)])
    (found,) = answer.rr
    assert (str(found.rname), QTYPE[found.rtype], found.ttl, str(found.rdata)) == ("a.test.", kind, 7, shown)
    assert (answer.header.rcode, answer.header.ra, answer.header.aa) == (RCODE.NOERROR, 1, 0)


@pytest.mark.parametrize(
    ("found", "code"),
    [
        ([], RCODE.NOERROR),
        (NoSuchName("a"), RCODE.NXDOMAIN),
        (NotServed("a"), RCODE.NXDOMAIN),
        (RuntimeError("a"), RCODE.SERVFAIL),
    ],
)
def test_what_has_no_answer_says_why(found: object, code: int) -> None:
    answer = asked("a.test", "A", found)
    assert (answer.header.rcode, answer.rr) == (code, [])


def test_what_is_no_question_has_no_answer() -> None:
    assert reply(b"nonsense", lambda name, kind: []) == b""
