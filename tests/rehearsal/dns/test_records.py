"""Route 53's routing, by table."""

from __future__ import annotations

import pytest

from rehearsal.dns.records import Alias, AliasTarget, NoSuchName, NotServed, RecordSet, Resolver, Zone

BALANCER = "edge.elb.us-east-1.amazonaws.com."
PUBLIC = Zone(
    name="example.org.",
    records=(
        RecordSet(name="www.example.org.", type="A", values=("192.0.2.1", "192.0.2.2")),
        RecordSet(name="alias.example.org.", type="A", alias=Alias(name=BALANCER, evaluate_health=False)),
        RecordSet(name="name.example.org.", type="CNAME", values=("www.example.org.",)),
        RecordSet(name="*.wild.example.org.", type="A", values=("192.0.2.3",)),
        RecordSet(name="orders.example.org.", type="A", failover="PRIMARY", health_check="hc", values=("192.0.2.9",)),
        RecordSet(name="orders.example.org.", type="A", failover="SECONDARY", values=("203.0.113.9",)),
        RecordSet(
            name="api.example.org.", type="A", failover="PRIMARY", alias=Alias(name=BALANCER, evaluate_health=True)
        ),
        RecordSet(name="api.example.org.", type="A", failover="SECONDARY", values=("203.0.113.8",)),
        RecordSet(name="text.example.org.", type="TXT", values=('"hello"',)),
    ),
)
PRIVATE = Zone(
    name="example.org.",
    vpcs=frozenset({"vpc-1"}),
    records=(RecordSet(name="www.example.org.", type="A", values=("10.0.0.1",)),),
)


def resolver(*, vpc: str | None = None, healthy: bool = True, balancer_healthy: bool = True) -> Resolver:
    def elsewhere(name: str) -> AliasTarget | None:
        return AliasTarget(addresses=("192.0.2.50",), healthy=balancer_healthy) if name == BALANCER else None

    return Resolver(zones=[PUBLIC, PRIVATE], vpc=vpc, is_healthy=lambda _: healthy, elsewhere=elsewhere)


@pytest.mark.parametrize(
    ("name", "kind", "facts", "expected"),
    [
        ("www.example.org", "A", {}, ["192.0.2.1", "192.0.2.2"]),
        ("WWW.example.org.", "A", {"vpc": "vpc-2"}, ["192.0.2.1", "192.0.2.2"]),
        ("www.example.org", "A", {"vpc": "vpc-1"}, ["10.0.0.1"]),
        ("www.example.org", "AAAA", {}, []),
        ("alias.example.org", "A", {}, ["192.0.2.50"]),
        ("name.example.org", "A", {}, ["www.example.org.", "192.0.2.1", "192.0.2.2"]),
        ("name.example.org", "CNAME", {}, ["www.example.org."]),
        ("a.b.wild.example.org", "A", {}, ["192.0.2.3"]),
        ("orders.example.org", "A", {}, ["192.0.2.9"]),
        ("orders.example.org", "A", {"healthy": False}, ["203.0.113.9"]),
        ("api.example.org", "A", {}, ["192.0.2.50"]),
        ("api.example.org", "A", {"balancer_healthy": False}, ["203.0.113.8"]),
        ("text.example.org", "TXT", {}, ['"hello"']),
        ("wild.example.org", "A", {}, []),
    ],
)
def test_answers(name: str, kind: str, facts: dict[str, object], expected: list[str]) -> None:
    assert [a.value for a in resolver(**facts).resolve(name, kind)] == expected  # type: ignore[arg-type]


def test_when_all_are_unhealthy_the_primary_answers() -> None:
    unhealthy = (
        RecordSet(name="x.example.org.", type="A", failover=f, health_check=f, values=(f,))
        for f in ("SECONDARY", "PRIMARY")
    )
    zone = Zone(name="example.org.", records=tuple(unhealthy))
    found = Resolver(zones=[zone], vpc=None, is_healthy=lambda _: False, elsewhere=lambda _: None).resolve(
        "x.example.org", "A"
    )
    assert [a.value for a in found] == ["PRIMARY"]


def test_what_is_not_there() -> None:
    with pytest.raises(NoSuchName):
        resolver().resolve("absent.example.org", "A")
    with pytest.raises(NotServed):
        resolver().resolve("example.net", "A")
    with pytest.raises(NoSuchName):
        resolver(vpc="vpc-1").resolve("orders.example.org", "A")
