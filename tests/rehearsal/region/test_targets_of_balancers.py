"""A load balancer on the stage: its interfaces and name, what HAProxy is told of it, and whose health it tells."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from api_in_process import Clients, as_before
from moto.elbv2.models import ELBv2Backend, FakeTargetGroup

from rehearsal.load_balancers.configuration import HealthCheck, Node, Target
from rehearsal.region import cloud
from rehearsal.region.behaviour import addresses, load_balancers

HERE, THERE = "us-west-2", "us-east-1"
CHECK = {"HealthCheckProtocol": "HTTP", "HealthCheckPort": "8080", "HealthCheckPath": "/up"}
TIMES = {"HealthCheckIntervalSeconds": 10, "HealthyThresholdCount": 2, "UnhealthyThresholdCount": 4}


class Balancing:
    """ELB as an operator asks it; `seen` is what HAProxy's statistics say, by balancer."""

    def __init__(self, aws: Clients) -> None:
        self.ec2, self.elb = aws("ec2", HERE), aws("elbv2", HERE)
        self.seen: dict[str, dict[tuple[str, str], str]] = {}
        self.vpc = self.ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
        self.subnets = {zone: self._subnet(number, f"{HERE}{zone}") for number, zone in enumerate("ab")}

    def health(self, balancer: str) -> dict[tuple[str, str], str]:
        return self.seen.get(balancer, {})

    def _subnet(self, number: int, zone: str) -> str:
        made = self.ec2.create_subnet(VpcId=self.vpc, CidrBlock=f"10.7.{number}.0/24", AvailabilityZone=zone)
        return str(made["Subnet"]["SubnetId"])

    def balancer(self, name: str = "edge", **options: Any) -> dict[str, Any]:
        if "SubnetMappings" not in options:
            options["Subnets"] = list(self.subnets.values())
        return dict(self.elb.create_load_balancer(Name=name, Type="network", **options)["LoadBalancers"][0])

    def group(self, name: str = "web", **options: Any) -> str:
        asked = {"Protocol": "TCP", "Port": 80, "VpcId": self.vpc, **options}
        return str(self.elb.create_target_group(Name=name, **asked)["TargetGroups"][0]["TargetGroupArn"])

    def listener(self, balancer: dict[str, Any], action: dict[str, Any], port: int = 80) -> None:
        asked = {"Protocol": "TCP", "Port": port, "DefaultActions": [{"Type": "forward", **action}]}
        self.elb.create_listener(LoadBalancerArn=balancer["LoadBalancerArn"], **asked)

    def host(self, zone: str = "a") -> str:
        image = self.ec2.register_image(Name=f"image-{len(cloud.instances(HERE))}")["ImageId"]
        made = self.ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, SubnetId=self.subnets[zone])
        return str(made["Instances"][0]["InstanceId"])

    def register(self, group: str, host: str, port: int = 80) -> None:
        self.elb.register_targets(TargetGroupArn=group, Targets=[{"Id": host, "Port": port}])

    def told(self, group: str) -> dict[str, tuple[str, str | None]]:
        found = self.elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        return {one["Target"]["Id"]: (one["TargetHealth"]["State"], one["TargetHealth"].get("Reason")) for one in found}


@pytest.fixture
def balancing(aws: Clients, monkeypatch: pytest.MonkeyPatch) -> Iterator[Balancing]:
    monkeypatch.setattr(addresses, "_last_given", dict.fromkeys((HERE, THERE), 3))
    made = Balancing(aws)
    with as_before(ELBv2Backend, FakeTargetGroup):
        load_balancers.install(made.health)
        yield made


def described() -> Any:
    (found,) = load_balancers.described(HERE)
    return found


def interfaces() -> dict[str, Any]:
    (balancer,) = cloud.load_balancers(HERE)
    return {eni.availability_zone: eni for eni in balancer.interfaces.values()}


def test_a_balancer_has_a_name_of_its_region_and_an_interface_in_each_subnet(balancing: Balancing) -> None:
    made = balancing.balancer()
    short = made["LoadBalancerArn"].rsplit("/", 1)[-1]
    assert made["DNSName"] == f"edge-{short}.elb.{HERE}.amazonaws.com"
    assert made["CanonicalHostedZoneId"] == "Z18D5FSROUN65G"
    assert {(eni.subnet.id, eni.public_ip) for eni in interfaces().values()} == {
        (balancing.subnets["a"], "203.0.113.5"),
        (balancing.subnets["b"], "203.0.113.6"),
    }
    (topology,) = [one for one in cloud.topologies(HERE) if one.vpc == balancing.vpc]
    assert {(one.owner, one.groups) for one in topology.interfaces} == {(f"lb-{short}", None)}
    assert set(topology.public_addresses) == {"203.0.113.5", "203.0.113.6"}
    assert load_balancers.described(THERE) == []


def test_an_internal_balancer_has_no_public_address(balancing: Balancing) -> None:
    balancing.balancer(Scheme="internal")
    assert [eni.public_ip for eni in interfaces().values()] == [None, None]


def test_a_balancer_has_the_addresses_it_was_given_and_gives_them_back(balancing: Balancing) -> None:
    address = balancing.ec2.allocate_address(Domain="vpc")
    mappings = [
        {"SubnetId": balancing.subnets["a"], "AllocationId": address["AllocationId"]},
        {"SubnetId": balancing.subnets["b"], "PrivateIPv4Address": "10.7.1.77"},
    ]
    made = balancing.balancer(SubnetMappings=mappings)
    found = interfaces()
    assert found[f"{HERE}a"].public_ip == address["PublicIp"]
    assert found[f"{HERE}b"].private_ip_address == "10.7.1.77"
    other = balancing.ec2.create_network_interface(SubnetId=balancing.subnets["a"])["NetworkInterface"]
    balancing.elb.delete_load_balancer(LoadBalancerArn=made["LoadBalancerArn"])
    assert set(cloud.ec2(HERE).enis) == {other["NetworkInterfaceId"]}
    (left,) = balancing.ec2.describe_addresses()["Addresses"]
    assert "AssociationId" not in left
    balancing.ec2.release_address(AllocationId=address["AllocationId"])


def test_a_balancers_groups_filter_its_interfaces(balancing: Balancing) -> None:
    group = balancing.ec2.create_security_group(GroupName="g", Description="g", VpcId=balancing.vpc)["GroupId"]
    balancing.balancer(SecurityGroups=[group])
    (topology,) = [one for one in cloud.topologies(HERE) if one.vpc == balancing.vpc]
    assert {one.groups for one in topology.interfaces} == {(group,)}


def test_haproxy_is_told_what_elb_was(balancing: Balancing) -> None:
    made, group, host = balancing.balancer(), balancing.group(**CHECK, **TIMES), balancing.host("b")
    balancing.listener(made, {"TargetGroupArn": group}, port=443)
    balancing.register(group, host, 8443)
    instance, found = cloud.instance(host), described()
    assert instance is not None
    assert set(found.nodes) == {Node(zone=zone, address=eni.private_ip_address) for zone, eni in interfaces().items()}
    (listener,) = found.listeners
    assert (listener.port, listener.group.arn) == (443, group)
    assert listener.group.health_check == HealthCheck(
        protocol="HTTP", port=8080, path="/up", interval=10, healthy=2, unhealthy=4
    )
    assert listener.group.targets == (Target(id=host, address=instance.private_ip, port=8443, zone=f"{HERE}b"),)


def test_a_check_without_a_port_asks_where_traffic_goes(balancing: Balancing) -> None:
    balancing.listener(balancing.balancer(), {"TargetGroupArn": balancing.group()})
    (listener,) = described().listeners
    assert (listener.group.health_check.port, listener.group.health_check.protocol) == (None, "TCP")


@pytest.mark.parametrize("cross", ["true", "false"])
def test_traffic_crosses_zones_if_the_balancer_says_so(balancing: Balancing, cross: str) -> None:
    arn = balancing.balancer()["LoadBalancerArn"]
    assert not described().cross_zone
    balancing.elb.modify_load_balancer_attributes(
        LoadBalancerArn=arn, Attributes=[{"Key": "load_balancing.cross_zone.enabled", "Value": cross}]
    )
    assert described().cross_zone == (cross == "true")


def test_a_listener_leads_to_the_group_it_forwards_to(balancing: Balancing) -> None:
    made, one, other = balancing.balancer(), balancing.group("one"), balancing.group("other")
    balancing.listener(made, {"ForwardConfig": {"TargetGroups": [{"TargetGroupArn": other, "Weight": 1}]}})
    assert [listener.group.arn for listener in described().listeners] == [other]
    cloud.elbv2(HERE).target_groups.pop(other)
    assert described().listeners == ()
    assert one in cloud.elbv2(HERE).target_groups


def test_a_target_that_is_no_instance_gets_no_traffic(balancing: Balancing) -> None:
    group, host = balancing.group(), balancing.host()
    balancing.listener(balancing.balancer(), {"TargetGroupArn": group})
    balancing.register(group, host)
    cloud.elbv2(HERE).target_groups[group].targets["gone"] = {"Id": "i-00000000000000001", "Port": 80}
    (listener,) = described().listeners
    assert [target.id for target in listener.group.targets] == [host]


UNHEALTHY = ("unhealthy", "Target.FailedHealthChecks")


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ({}, ("initial", "Elb.RegistrationInProgress")),
        ({("a", "it"): "healthy", ("b", "it"): "unhealthy"}, ("healthy", None)),
        ({("a", "it"): "unhealthy", ("b", "it"): "unhealthy"}, UNHEALTHY),
        ({("a", "it"): "initial", ("b", "it"): "unhealthy"}, ("initial", "Elb.RegistrationInProgress")),
        ({("a", "other"): "healthy"}, UNHEALTHY),
        ({("elsewhere", "it"): "healthy"}, UNHEALTHY),
    ],
)
def test_a_target_is_as_well_as_the_node_that_sees_it_best(
    balancing: Balancing, states: dict[tuple[str, str], str], expected: tuple[str, str | None]
) -> None:
    group, host = balancing.group(), balancing.host()
    balancing.listener(balancing.balancer(), {"TargetGroupArn": group})
    balancing.register(group, host)
    cloud.instance(host)._state.name = "running"  # type: ignore[union-attr]
    found = described()
    prefix = f"group-{found.listeners[0].group.name}-80-"
    servers = {"it": f"{host}:80", "other": f"{host}:81"}
    balancing.seen[found.id] = {
        (f"{prefix}{HERE}{where}" if where != "elsewhere" else f"group-x-80-{HERE}a", servers[who]): state
        for (where, who), state in states.items()
    }
    assert balancing.told(group) == {host: expected}


def test_what_no_listener_leads_to_is_unused(balancing: Balancing) -> None:
    made, group, other, host = balancing.balancer(), balancing.group(), balancing.group("other"), balancing.host()
    balancing.register(group, host)
    balancing.listener(made, {"TargetGroupArn": other})
    assert balancing.told(group)[host][0] == "unused"


@pytest.mark.parametrize(
    ("healthy_in", "answered", "healthy"), [("ab", "ab", True), ("b", "b", True), ("", "ab", False)]
)
def test_a_balancers_name_leads_to_the_nodes_that_have_a_healthy_target(
    balancing: Balancing, healthy_in: str, answered: str, healthy: bool
) -> None:
    """A network load balancer fails open (ELB user guide, "Health checks for your target groups")."""
    name = balancing.balancer()["DNSName"]
    zones = {zone: eni.public_ip for zone, eni in interfaces().items()}
    balancing.seen[described().id] = {
        (f"group-web-1-80-{HERE}{zone}", "i:80"): "healthy" if zone in healthy_in else "unhealthy" for zone in "ab"
    }
    found = load_balancers.addresses(name.lower(), balancing.health)
    assert found is not None
    assert (set(found[0]), found[1]) == ({zones[f"{HERE}{zone}"] for zone in answered}, healthy)
    assert load_balancers.addresses("other.example", balancing.health) is None


def test_an_internal_balancers_name_leads_to_its_private_addresses(balancing: Balancing) -> None:
    name = balancing.balancer("Inner", Scheme="internal")["DNSName"].lower()
    found = load_balancers.addresses(name, balancing.health)
    assert found is not None
    assert set(found[0]) == {eni.private_ip_address for eni in interfaces().values()}
