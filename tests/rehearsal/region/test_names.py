"""Route 53 on the stage: deletions take what they name, and answers come from what the API says."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from api_in_process import Clients, as_before
from moto.route53.models import HealthCheck, Route53Backend
from moto.route53.responses import Route53

from rehearsal.dns.records import NoSuchName, NotServed
from rehearsal.region.behaviour import names

ZONE = "example.test"
CHECK = {
    "Type": "HTTP",
    "FullyQualifiedDomainName": "switch.s3.us-west-2.amazonaws.com",
    "Port": 80,
    "ResourcePath": "/dev-dr/active",
    "RequestInterval": 10,
    "FailureThreshold": 3,
    "Inverted": True,
}


class Checks:
    """What the health checkers see."""

    def __init__(self) -> None:
        self.failing: set[str] = set()

    def is_healthy(self, check: str) -> bool:
        return check not in self.failing

    def observation(self, check: str) -> Any:
        return SimpleNamespace(text=f"seen of {check}", at="2026-11-21T03:00:00Z")


class Route:
    """Route 53 as an operator asks it."""

    def __init__(self, client: Any, checks: Checks) -> None:
        self.client, self.checks = client, checks
        self.zone = client.create_hosted_zone(Name=ZONE, CallerReference="1")["HostedZone"]["Id"]

    def change(self, action: str, *records: dict[str, Any]) -> None:
        changes = [{"Action": action, "ResourceRecordSet": record} for record in records]
        self.client.change_resource_record_sets(HostedZoneId=self.zone, ChangeBatch={"Changes": changes})

    def listed(self) -> set[tuple[str, str | None]]:
        sets = self.client.list_resource_record_sets(HostedZoneId=self.zone)["ResourceRecordSets"]
        return {(one["Name"], one.get("SetIdentifier")) for one in sets if one["Type"] not in {"NS", "SOA"}}

    def check(self, **changes: Any) -> str:
        config = {**CHECK, **changes}
        made = self.client.create_health_check(CallerReference=str(len(changes)), HealthCheckConfig=config)
        return str(made["HealthCheck"]["Id"])

    def answers(self, name: str, kind: str = "A", vpc: str | None = None) -> list[str]:
        look_up = names.lookup(vpc, self.checks, lambda balancer: {})  # type: ignore[arg-type]
        return [answer.value for answer in look_up(name, kind)]


@pytest.fixture
def route(aws: Clients) -> Iterator[Route]:
    checks = Checks()
    with as_before(Route53Backend, Route53, HealthCheck):
        names.install(checks, lambda region: False)  # type: ignore[arg-type]
        yield Route(aws("route53"), checks)


def record(name: str, value: str = "192.0.2.1", **more: Any) -> dict[str, Any]:
    kind = "A" if value[0].isdigit() else "CNAME"
    return {"Name": f"{name}.{ZONE}", "Type": kind, "TTL": 10, "ResourceRecords": [{"Value": value}], **more}


def failover(name: str, kind: str, value: str, identifier: str | None = None, **more: Any) -> dict[str, Any]:
    return record(name, value, Failover=kind, SetIdentifier=identifier or kind, **more)


def test_a_deletion_takes_the_name_it_names_and_no_other(route: Route) -> None:
    """moto alone takes every record of that set identifier."""
    one, two = (failover(name, "PRIMARY", "192.0.2.1", "same") for name in ("one", "two"))
    route.change("CREATE", one, two)
    route.change("DELETE", one)
    assert route.listed() == {(f"two.{ZONE}.", "same")}


def test_a_deletion_takes_the_type_and_the_set_it_names(route: Route) -> None:
    first, second = failover("one", "PRIMARY", "192.0.2.1"), failover("one", "SECONDARY", "192.0.2.2")
    other = failover("one", "PRIMARY", "192.0.2.1") | {"Type": "TXT", "ResourceRecords": [{"Value": '"t"'}]}
    route.change("CREATE", first, second, other)
    route.change("DELETE", first)
    assert {(r.type, r.failover) for zone in names.zones() for r in zone.records if r.failover} == {
        ("A", "SECONDARY"),
        ("TXT", "PRIMARY"),
    }


def test_an_upsert_changes_one_record(route: Route) -> None:
    route.change("CREATE", record("one"), record("two"))
    route.change("UPSERT", record("one", "192.0.2.9"))
    assert (route.answers(f"one.{ZONE}"), route.answers(f"two.{ZONE}")) == (["192.0.2.9"], ["192.0.2.1"])


def test_a_name_fails_over_with_its_check(route: Route) -> None:
    check = route.check()
    route.change(
        "CREATE",
        failover("orders", "PRIMARY", "192.0.2.1", HealthCheckId=check),
        failover("orders", "SECONDARY", "192.0.2.2"),
    )
    assert route.answers(f"orders.{ZONE}") == ["192.0.2.1"]
    route.checks.failing.add(check)
    assert route.answers(f"orders.{ZONE}") == ["192.0.2.2"]


def test_a_health_check_is_read_as_it_was_declared(route: Route) -> None:
    number = route.check()
    (check,) = names.health_checks()
    assert (check.id, check.type, check.name, check.port, check.path) == (
        number,
        "HTTP",
        CHECK["FullyQualifiedDomainName"],
        80,
        "/dev-dr/active",
    )
    assert (check.interval, check.threshold, check.inverted, check.disabled) == (10.0, 3, True, False)


def test_what_the_checkers_saw_is_told_of_the_check_that_is_asked_for(route: Route) -> None:
    number = route.check()
    seen = route.client.get_health_check_status(HealthCheckId=number)["HealthCheckObservations"]
    assert [one["StatusReport"]["Status"] for one in seen] == [f"seen of {number}"]
    with pytest.raises(route.client.exceptions.NoSuchHealthCheck):
        route.client.get_health_check_status(HealthCheckId="00000000-0000-0000-0000-000000000000")


@pytest.mark.parametrize(
    ("name", "vpc", "answers"),
    [
        ("ec2-192-0-2-7.us-west-2.compute.amazonaws.com", None, ["192.0.2.7"]),
        ("ec2-192-0-2-7.compute-1.amazonaws.com", None, ["192.0.2.7"]),
        ("ip-10-0-0-7.us-west-2.compute.internal", "vpc-1", ["10.0.0.7"]),
        ("ip-10-0-0-7.ec2.internal", "vpc-1", ["10.0.0.7"]),
        ("bucket.s3.us-west-2.amazonaws.com", None, ["198.18.0.11"]),
        ("s3.us-east-1.amazonaws.com", None, ["198.18.0.11"]),
        ("ec2.us-west-2.amazonaws.com", None, ["198.18.0.10"]),
        ("kms.us-west-2.amazonaws.com.", None, ["198.18.0.10"]),
    ],
)
def test_names_that_aws_gives_out(route: Route, name: str, vpc: str | None, answers: list[str]) -> None:
    assert route.answers(name, vpc=vpc) == answers


@pytest.mark.parametrize(
    "name",
    [
        "ip-10-0-0-7.ec2.internal",  # of a VPC, asked from outside
        "gone-1234.elb.us-west-2.amazonaws.com",
        "example.com",
    ],
)
def test_what_nobody_here_serves(route: Route, name: str) -> None:
    with pytest.raises(NotServed):
        route.answers(name)


def test_a_private_zone_is_seen_by_its_vpcs_alone(route: Route, aws: Clients) -> None:
    vpc = aws("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    hosted = route.client.create_hosted_zone(
        Name="inner.test",
        CallerReference="2",
        VPC={"VPCRegion": "us-west-2", "VPCId": vpc},
        HostedZoneConfig={"PrivateZone": True},
    )
    route.zone = hosted["HostedZone"]["Id"]
    route.change("CREATE", {**record("db", "10.0.0.9"), "Name": "db.inner.test"})
    assert route.answers("db.inner.test", vpc=vpc) == ["10.0.0.9"]
    for asker in (None, "vpc-other"):
        with pytest.raises(NotServed):
            route.answers("db.inner.test", vpc=asker)


def test_an_alias_and_a_wildcard_are_read(route: Route) -> None:
    target = {"HostedZoneId": route.zone.rsplit("/", 1)[-1], "DNSName": f"one.{ZONE}", "EvaluateTargetHealth": True}
    alias = {"Name": f"alias.{ZONE}", "Type": "A", "AliasTarget": target}
    route.change("CREATE", record("one"), alias, record("*.apps", "192.0.2.5"))
    assert route.answers(f"ALIAS.{ZONE}") == ["192.0.2.1"]
    assert route.answers(f"any.apps.{ZONE}") == ["192.0.2.5"]
    with pytest.raises(NoSuchName):
        route.answers(f"none.{ZONE}")
    (read,) = [r.alias for zone in names.zones() for r in zone.records if r.alias]
    assert (read.name, read.evaluate_health) == (f"one.{ZONE}.", True)


def test_weights_and_times_are_read(route: Route) -> None:
    route.change(
        "CREATE", record("w", Weight=3, SetIdentifier="a"), record("w", "192.0.2.2", Weight=0, SetIdentifier="b")
    )
    found = {(r.weight, r.ttl, r.values) for zone in names.zones() for r in zone.records if r.name == f"w.{ZONE}."}
    assert found == {(3, 10, ("192.0.2.1",)), (0, 10, ("192.0.2.2",))}
    assert route.answers(f"w.{ZONE}") == ["192.0.2.1"]
