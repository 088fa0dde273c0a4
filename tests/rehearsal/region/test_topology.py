"""What the EC2 API says becomes the network that packets meet: nothing is reached that AWS would not let be reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from api_in_process import Clients

from rehearsal.network.topology import AclEntry, Permission, Route, Topology, Via
from rehearsal.region import cloud
from rehearsal.region.stage import S3_ADDRESS

HERE, THERE = "us-west-2", "us-east-1"
EVERYWHERE = "0.0.0.0/0"


@dataclass
class Ground:
    """A VPC of two subnets, and EC2 as an operator asks it."""

    ec2: Any
    vpc: str
    public: str
    private: str

    def topology(self) -> Topology:
        (found,) = [topology for topology in cloud.topologies(HERE) if topology.vpc == self.vpc]
        return found

    def table(self, subnet: str | None = None) -> str:
        made = str(self.ec2.create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"])
        if subnet:
            self.ec2.associate_route_table(RouteTableId=made, SubnetId=subnet)
        return made

    def routes(self, table: str) -> tuple[Route, ...]:
        (found,) = [one.routes for one in self.topology().route_tables if one.id == table]
        return found

    def table_of(self, subnet: str) -> str:
        (found,) = [one.route_table for one in self.topology().subnets if one.id == subnet]
        return found

    def route(self, table: str, **via: str) -> None:
        self.ec2.create_route(RouteTableId=table, DestinationCidrBlock=EVERYWHERE, **via)

    def gateway(self) -> str:
        made = str(self.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"])
        self.ec2.attach_internet_gateway(InternetGatewayId=made, VpcId=self.vpc)
        return made

    def nat(self, subnet: str) -> tuple[str, str]:
        """A NAT gateway and its address."""
        address = self.ec2.allocate_address(Domain="vpc")
        made = self.ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address["AllocationId"])
        return str(made["NatGateway"]["NatGatewayId"]), str(address["PublicIp"])

    def group(self, name: str = "g") -> str:
        return str(self.ec2.create_security_group(GroupName=name, Description=name, VpcId=self.vpc)["GroupId"])

    def host(self, subnet: str, *groups: str) -> str:
        image = self.ec2.register_image(Name=f"image-{subnet}")["ImageId"]
        asked = {"SecurityGroupIds": list(groups)} if groups else {}
        made = self.ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, SubnetId=subnet, **asked)
        return str(made["Instances"][0]["InstanceId"])


@pytest.fixture
def ground(aws: Clients) -> Ground:
    ec2 = aws("ec2", HERE)
    vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    public, private = (
        ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone=f"{HERE}a")["Subnet"]["SubnetId"]
        for cidr in ("10.7.0.0/24", "10.7.1.0/24")
    )
    return Ground(ec2, vpc, public, private)


def test_a_vpc_is_its_own_networks_and_nobody_elses(ground: Ground, aws: Clients) -> None:
    ground.ec2.associate_vpc_cidr_block(VpcId=ground.vpc, CidrBlock="10.8.0.0/16")
    found = ground.topology()
    assert (found.region, set(found.cidrs)) == (HERE, {"10.7.0.0/16", "10.8.0.0/16"})
    assert {(one.id, one.cidr) for one in found.subnets} == {
        (ground.public, "10.7.0.0/24"),
        (ground.private, "10.7.1.0/24"),
    }
    assert len(found.route_tables) == len(found.acls) == len(found.groups) == 1
    assert ground.vpc not in {topology.vpc for topology in cloud.topologies(THERE)}


def test_a_subnet_follows_the_table_it_is_associated_with_else_the_main_one(ground: Ground) -> None:
    (main,) = (one.id for one in ground.topology().route_tables)
    other, table = ground.table(), ground.table(ground.public)
    assert (ground.table_of(ground.public), ground.table_of(ground.private)) == (table, main)
    assert other not in {ground.table_of(ground.public), ground.table_of(ground.private)}


def test_a_route_leads_where_its_target_leads(ground: Ground) -> None:
    out, inner = ground.table(ground.public), ground.table(ground.private)
    assert ground.routes(out) == ()  # what is local needs no gateway
    ground.route(out, GatewayId=ground.gateway())
    nat, address = ground.nat(ground.public)
    ground.route(inner, NatGatewayId=nat)
    assert ground.routes(out) == (Route(destination=EVERYWHERE, via=Via.INTERNET_GATEWAY),)
    assert ground.routes(inner) == (Route(destination=EVERYWHERE, via=Via.NAT_GATEWAY, nat_address=address),)
    assert ground.topology().nat_addresses == (address,)


def test_a_route_whose_target_is_gone_leads_nowhere(ground: Ground) -> None:
    """EC2 keeps such a route, as a black hole."""
    out, inner, gateway = ground.table(ground.public), ground.table(ground.private), ground.gateway()
    ground.route(out, GatewayId=gateway)
    nat, _ = ground.nat(ground.public)
    ground.route(inner, NatGatewayId=nat)
    ground.ec2.delete_nat_gateway(NatGatewayId=nat)
    cloud.ec2(HERE).internet_gateways.pop(gateway)
    nowhere = (Route(destination=EVERYWHERE, via=Via.NOTHING),)
    assert (ground.routes(out), ground.routes(inner), ground.topology().nat_addresses) == (nowhere, nowhere, ())


def test_a_nat_gateway_whose_own_subnet_has_no_way_out_serves_nobody(ground: Ground) -> None:
    other = ground.table()
    ground.route(other, GatewayId=ground.gateway())
    ground.nat(ground.private)
    assert ground.topology().nat_addresses == ()
    ground.ec2.associate_route_table(RouteTableId=other, SubnetId=ground.private)
    assert len(ground.topology().nat_addresses) == 1


def test_an_endpoint_leads_to_s3_from_the_tables_it_names(ground: Ground) -> None:
    with_s3, without = ground.table(), ground.table()
    asked = {"VpcId": ground.vpc, "VpcEndpointType": "Gateway", "RouteTableIds": [without]}
    ground.ec2.create_vpc_endpoint(ServiceName=f"com.amazonaws.{HERE}.dynamodb", **asked)
    assert cloud.s3_endpoint_of(ground.vpc) is None
    made = ground.ec2.create_vpc_endpoint(
        ServiceName=f"com.amazonaws.{HERE}.s3", **asked | {"RouteTableIds": [with_s3]}
    )
    assert ground.routes(with_s3) == (Route(destination=f"{S3_ADDRESS}/32", via=Via.S3_ENDPOINT),)
    assert ground.routes(without) == ()
    assert cloud.s3_endpoint_of(ground.vpc) == made["VpcEndpoint"]["VpcEndpointId"]
    assert cloud.s3_endpoint_of("vpc-other") is None


def test_an_interface_endpoint_adds_no_route(ground: Ground) -> None:
    table = ground.table()
    ground.ec2.create_vpc_endpoint(
        VpcId=ground.vpc, VpcEndpointType="Interface", ServiceName=f"com.amazonaws.{HERE}.s3", SubnetIds=[ground.public]
    )
    assert (ground.routes(table), cloud.s3_endpoint_of(ground.vpc)) == ((), None)


def test_a_groups_rules_keep_their_direction_ports_and_other_side(ground: Ground) -> None:
    group, other = ground.group(), ground.group("other")
    ground.ec2.authorize_security_group_ingress(
        GroupId=group,
        IpPermissions=[
            {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 23, "IpRanges": [{"CidrIp": "192.0.2.0/24"}]},
            {"IpProtocol": "udp", "FromPort": 53, "ToPort": 53, "UserIdGroupPairs": [{"GroupId": other}]},
            {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "Ipv6Ranges": [{"CidrIpv6": "::/0"}]},
        ],
    )
    (found,) = [one for one in ground.topology().groups if one.id == group]
    assert set(found.ingress) == {
        Permission(protocol="tcp", from_port=22, to_port=23, cidr="192.0.2.0/24"),
        Permission(protocol="udp", from_port=53, to_port=53, group=other),
    }
    assert [(one.protocol, one.cidr, one.group) for one in found.egress] == [("-1", EVERYWHERE, None)]


def test_an_acls_entries_keep_their_order_direction_ports_and_verdict(ground: Ground) -> None:
    acl = ground.ec2.create_network_acl(VpcId=ground.vpc)["NetworkAcl"]["NetworkAclId"]
    asked = {"NetworkAclId": acl, "CidrBlock": "192.0.2.0/24"}
    ground.ec2.create_network_acl_entry(
        **asked, RuleNumber=90, Protocol="6", RuleAction="deny", Egress=False, PortRange={"From": 22, "To": 24}
    )
    ground.ec2.create_network_acl_entry(**asked, RuleNumber=80, Protocol="-1", RuleAction="allow", Egress=True)
    (found,) = [one for one in ground.topology().acls if one.id == acl]
    made = dict.fromkeys(("cidr",), "192.0.2.0/24")
    assert {one for one in found.entries if one.number < 100} == {
        AclEntry(number=90, allow=False, egress=False, protocol="tcp", from_port=22, to_port=24, **made),
        AclEntry(number=80, allow=True, egress=True, protocol="-1", **made),
    }


def test_a_subnet_stands_behind_the_acl_it_is_associated_with(ground: Ground) -> None:
    acl = ground.ec2.create_network_acl(VpcId=ground.vpc)["NetworkAcl"]["NetworkAclId"]
    before = {one.id: one.acl for one in ground.topology().subnets}
    listed = ground.ec2.describe_network_acls(Filters=[{"Name": "vpc-id", "Values": [ground.vpc]}])["NetworkAcls"]
    (association,) = [
        link["NetworkAclAssociationId"]
        for one in listed
        for link in one["Associations"]
        if link["SubnetId"] == ground.private
    ]
    ground.ec2.replace_network_acl_association(AssociationId=association, NetworkAclId=acl)
    after = {one.id: one.acl for one in ground.topology().subnets}
    assert after == {ground.public: before[ground.public], ground.private: acl}
    assert before[ground.public]


@pytest.mark.parametrize(
    ("state", "there"),
    [
        *((state, True) for state in ("pending", "running", "stopping", "stopped", "shutting-down")),
        ("terminated", False),
    ],
)
def test_a_hosts_interface_is_there_until_it_is_terminated(ground: Ground, state: str, there: bool) -> None:
    groups = ground.group("b"), ground.group("a")
    host = ground.host(ground.private, *groups)
    ground.host(ground.public)
    instance = cloud.instance(host)
    assert instance is not None
    instance._state.name = state
    found = [one for one in ground.topology().interfaces if one.owner == host]
    assert [(one.address, one.subnet, one.groups) for one in found] == (
        [(instance.private_ip, ground.private, tuple(sorted(groups)))] if there else []
    )
    assert all(not topology.interfaces for topology in cloud.topologies(HERE) if topology.vpc != ground.vpc)


def test_an_interface_without_a_host_is_not_on_the_network(ground: Ground) -> None:
    ground.ec2.create_network_interface(SubnetId=ground.private)
    assert ground.topology().interfaces == ()


def test_a_host_is_found_by_its_address_in_its_own_vpc(ground: Ground) -> None:
    host = ground.host(ground.private)
    instance = cloud.instance(host)
    assert instance is not None
    other = ground.ec2.create_network_interface(SubnetId=ground.private, PrivateIpAddress="10.7.1.99")
    assert cloud.instance_at(ground.vpc, instance.private_ip) is instance
    for vpc, address in (
        ("vpc-other", instance.private_ip),
        (ground.vpc, "10.7.1.250"),
        (ground.vpc, other["NetworkInterface"]["PrivateIpAddress"]),
    ):
        assert cloud.instance_at(vpc, address) is None
    assert cloud.instance("i-00000000000000000") is None
