"""Instances are what their machines are, and an address is one interface's alone."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import Any

import moto.ec2.models.elastic_network_interfaces as interface_models
import moto.ec2.models.nat_gateways as nat_models
import pytest
from api_in_process import Clients, as_before
from botocore.exceptions import ClientError
from moto.ec2.models.elastic_ip_addresses import ElasticAddress
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.models.instances import Instance
from moto.ec2.models.subnets import Subnet
from moto.ec2.responses.general import General

from rehearsal.region import cloud
from rehearsal.region.behaviour import addresses, instances

HERE, THERE = "us-west-2", "us-east-1"


class Consoles:
    def console(self, instance_id: str) -> str:
        return f"the console of {instance_id}"


class Hosts:
    """EC2 as an operator asks it, and how a machine's end is completed."""

    def __init__(self, ec2: Any, finish: Any) -> None:
        self.ec2, self.finish = ec2, finish
        self.vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
        self.image = ec2.register_image(Name="image")["ImageId"]

    def subnet(self, cidr: str = "10.7.0.0/28") -> str:
        return str(self.ec2.create_subnet(VpcId=self.vpc, CidrBlock=cidr)["Subnet"]["SubnetId"])

    def host(self, subnet: str, **options: Any) -> str:
        made = self.ec2.run_instances(ImageId=self.image, MinCount=1, MaxCount=1, SubnetId=subnet, **options)
        return str(made["Instances"][0]["InstanceId"])

    def told(self, host: str) -> dict[str, Any]:
        (found,) = self.ec2.describe_instances(InstanceIds=[host])["Reservations"][0]["Instances"]
        return dict(found)

    def state(self, host: str) -> tuple[str, int]:
        state = self.told(host)["State"]
        return state["Name"], state["Code"]

    def allocate(self) -> str:
        return str(self.ec2.allocate_address(Domain="vpc")["PublicIp"])


@pytest.fixture
def hosts(aws: Clients, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hosts]:
    monkeypatch.setattr(addresses, "_last_given", dict.fromkeys((HERE, THERE), 3))
    with as_before(Instance, General, ElasticAddress, NetworkInterface, Subnet, interface_models, nat_models):
        finish = instances.install(Consoles())
        addresses.install()
        yield Hosts(aws("ec2", HERE), finish)


def set_state(host: str, name: str) -> None:
    instances.set_state(cloud.instance(host), name)


# -- states ---------------------------------------------------------------------------------------------------


def test_what_is_asked_for_is_pending_until_its_machine_is_up(hosts: Hosts) -> None:
    host = hosts.host(hosts.subnet())
    assert hosts.state(host) == ("pending", 0)
    set_state(host, "running")
    assert hosts.state(host) == ("running", 16)


@pytest.mark.parametrize(
    ("verb", "before", "after"),
    [
        *(("stop", before, ("stopping", 64)) for before in ("pending", "running", "stopping")),
        *(("stop", before, before) for before in ("stopped", "shutting-down", "terminated")),
        ("start", "stopped", ("pending", 0)),
        *(("start", before, before) for before in ("running", "stopping", "shutting-down", "terminated")),
        *(("terminate", before, ("shutting-down", 32)) for before in ("pending", "running", "stopping", "stopped")),
        ("terminate", "terminated", ("terminated", 48)),
    ],
)
def test_an_api_call_begins_a_change_that_the_machine_ends(
    hosts: Hosts, verb: str, before: str, after: str | tuple[str, int]
) -> None:
    host = hosts.host(hosts.subnet())
    set_state(host, before)
    previous = getattr(cloud.instance(host), verb)()
    found = hosts.state(host)
    assert previous.name == before
    assert found == (after if isinstance(after, tuple) else (after, instances._CODES[after]))


def test_a_machine_that_is_gone_is_stopped_and_keeps_its_address(hosts: Hosts) -> None:
    host = hosts.host(hosts.subnet())
    before = hosts.told(host)["PrivateIpAddress"]
    instances.finish_stop(cloud.instance(host))
    assert (hosts.state(host), hosts.told(host)["PrivateIpAddress"]) == (("stopped", 80), before)


def test_the_end_of_a_termination_takes_the_interface(hosts: Hosts) -> None:
    host = hosts.host(hosts.subnet())
    hosts.ec2.terminate_instances(InstanceIds=[host])
    assert len(cloud.ec2(HERE).enis) == 1
    set_state(host, "terminated")
    hosts.finish(cloud.instance(host))
    assert cloud.ec2(HERE).enis == {}


def test_a_reboot_is_asked_for_once(hosts: Hosts) -> None:
    host = hosts.host(hosts.subnet())
    set_state(host, "running")
    assert not getattr(cloud.instance(host), "reboot_requested", None)
    hosts.ec2.reboot_instances(InstanceIds=[host])
    assert (hosts.state(host)[0], getattr(cloud.instance(host), "reboot_requested", None)) == ("running", True)


@pytest.mark.parametrize(("how", "state"), [("fail", "stopped"), ("give_up", "shutting-down")])
def test_a_failed_host_says_why(hosts: Hosts, how: str, state: str) -> None:
    host = hosts.host(hosts.subnet())
    getattr(instances, how)(cloud.instance(host))
    assert hosts.state(host)[0] == state
    assert hosts.told(host)["StateReason"]["Code"] == "Server.InternalError"


def test_a_console_is_its_own_machines(hosts: Hosts) -> None:
    host = hosts.host(hosts.subnet())
    assert hosts.ec2.get_console_output(InstanceId=host)["Output"] == f"the console of {host}"
    with pytest.raises(ClientError, match=r"InvalidInstanceID\.NotFound"):
        hosts.ec2.get_console_output(InstanceId="i-0123456789abcdef0")


# -- addresses ------------------------------------------------------------------------------------------------


def test_a_subnet_gives_its_lowest_free_address_after_the_four_that_aws_keeps(hosts: Hosts) -> None:
    subnet = hosts.subnet()
    given = [hosts.told(hosts.host(subnet))["PrivateIpAddress"] for _ in range(2)]
    made = hosts.ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]
    assert [*given, made["PrivateIpAddress"]] == ["10.7.0.4", "10.7.0.5", "10.7.0.6"]


def test_a_subnet_gives_no_address_twice_and_ends_before_its_last(hosts: Hosts) -> None:
    """Of 16 addresses AWS keeps 5 (VPC user guide, "Subnet sizing")."""
    subnet = hosts.subnet()
    made = [hosts.ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"] for _ in range(11)]
    assert len({one["PrivateIpAddress"] for one in made}) == 11
    assert "10.7.0.15" not in {one["PrivateIpAddress"] for one in made}
    with pytest.raises(ClientError, match="InsufficientFreeAddressesInSubnet"):
        hosts.ec2.create_network_interface(SubnetId=subnet)
    hosts.ec2.delete_network_interface(NetworkInterfaceId=made[3]["NetworkInterfaceId"])
    again = hosts.ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]
    assert again["PrivateIpAddress"] == made[3]["PrivateIpAddress"]


def test_public_addresses_are_their_regions_and_each_given_once(hosts: Hosts, aws: Clients) -> None:
    first = [hosts.allocate() for _ in range(3)]
    assert first == ["203.0.113.5", "203.0.113.6", "203.0.113.7"]
    assert aws("ec2", THERE).allocate_address(Domain="vpc")["PublicIp"] == "192.0.2.5"


def test_a_released_address_is_not_given_to_another_at_once(hosts: Hosts) -> None:
    address = hosts.ec2.allocate_address(Domain="vpc")
    hosts.ec2.release_address(AllocationId=address["AllocationId"])
    assert hosts.allocate() != address["PublicIp"]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A region of six public addresses."""
    monkeypatch.setattr(addresses, "public_network", lambda region: IPv4Network("203.0.113.0/29"))


@pytest.mark.usefixtures("few")
def test_public_addresses_come_in_turn_until_none_is_left(hosts: Hosts) -> None:
    given = [hosts.allocate() for _ in range(6)]
    assert given == [f"203.0.113.{last}" for last in (5, 6, 1, 2, 3, 4)]
    with pytest.raises(ClientError, match="InsufficientAddressCapacity"):
        hosts.allocate()


@pytest.mark.parametrize("public", [True, False])
def test_a_subnet_gives_public_addresses_if_it_says_so(hosts: Hosts, public: bool) -> None:
    subnet = hosts.subnet()
    hosts.ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": public})
    found = hosts.told(hosts.host(subnet)).get("PublicIpAddress", "")
    assert found == ("203.0.113.5" if public else "")


@pytest.mark.usefixtures("few")
def test_an_address_that_a_host_has_is_not_given_as_an_elastic_one(hosts: Hosts) -> None:
    subnet = hosts.subnet()
    hosts.ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
    taken = hosts.told(hosts.host(subnet))["PublicIpAddress"]
    assert taken not in {hosts.allocate() for _ in range(5)}


def test_a_nat_gateways_own_address_is_of_its_subnet_alone(hosts: Hosts) -> None:
    subnet = hosts.subnet()
    address = hosts.ec2.allocate_address(Domain="vpc")["AllocationId"]
    made = hosts.ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address)["NatGateway"]["NatGatewayId"]
    (found,) = hosts.ec2.describe_nat_gateways(NatGatewayIds=[made])["NatGateways"]
    assert {one.private_ip_address for one in cloud.ec2(HERE).enis.values()} == {"10.7.0.4"}
    assert found["NatGatewayAddresses"][0]["PublicIp"] == "203.0.113.5"
