"""The rules a VPC's router gets, judged by a small interpreter of their text, and by nft where it is."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace

import pytest

from rehearsal.network.ruleset import ruleset
from rehearsal.network.topology import (
    AclEntry,
    Interface,
    NetworkAcl,
    Permission,
    Route,
    RouteTable,
    SecurityGroup,
    Subnet,
    Topology,
    Via,
)

ALL = Permission(protocol="-1", cidr="0.0.0.0/0")
SSH = Permission(protocol="tcp", from_port=22, to_port=22, cidr="0.0.0.0/0")
VPC = Topology(
    vpc="vpc-1",
    region="us-east-1",
    cidrs=("10.0.0.0/16",),
    subnets=(
        Subnet(id="subnet-p", cidr="10.0.1.0/24", route_table="rtb-p"),
        Subnet(id="subnet-i", cidr="10.0.2.0/24", route_table="rtb-i"),
    ),
    route_tables=(
        RouteTable(id="rtb-p", routes=(Route(destination="0.0.0.0/0", via=Via.INTERNET_GATEWAY),)),
        RouteTable(id="rtb-i", routes=(Route(destination="0.0.0.0/0", via=Via.NAT_GATEWAY, nat_address="192.0.2.9"),)),
    ),
    groups=(
        SecurityGroup(id="sg-bastion", ingress=(SSH,), egress=(ALL,)),
        SecurityGroup(
            id="sg-host",
            ingress=(replace(SSH, cidr=None, group="sg-bastion"), Permission(protocol="-1", group="sg-host")),
            egress=(ALL,),
        ),
    ),
    interfaces=(
        Interface(
            address="10.0.1.4", subnet="subnet-p", owner="i-1", public_address="192.0.2.4", groups=("sg-bastion",)
        ),
        Interface(address="10.0.2.4", subnet="subnet-i", owner="i-2", groups=("sg-host",)),
        Interface(address="10.0.2.5", subnet="subnet-i", owner="i-3", groups=("sg-host", "sg-bastion")),
    ),
)


def chain(rules: str, name: str) -> list[str]:
    """The lines of one chain, set or map."""
    body = rules.split(f" {name} {{", 1)[1].split("\n\t}", 1)[0]
    return [line.strip() for line in body.splitlines() if line.strip()]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("in_sg_bastion", ["ip saddr 0.0.0.0/0 tcp dport 22 accept"]),
        ("in_sg_host", ["ip saddr @members_sg_bastion tcp dport 22 accept", "ip saddr @members_sg_host accept"]),
        ("out_sg_host", ["ip daddr 0.0.0.0/0 goto let_out"]),
        ("members_sg_bastion", ["type ipv4_addr", "elements = { 10.0.1.4, 10.0.2.5 }"]),
        ("leave_rtb_p", ["ip daddr 0.0.0.0/0 ip saddr @with_public_address accept", "drop"]),
        ("disguise_rtb_i", ["ip daddr 0.0.0.0/0 snat to 192.0.2.9"]),
        ("private_address", ["type ipv4_addr : ipv4_addr", "elements = { 192.0.2.4 : 10.0.1.4 }"]),
        ("acls", []),
    ],
)
def test_chains_say_what_the_api_says(name: str, expected: list[str]) -> None:
    assert chain(ruleset(VPC), name) == expected


@pytest.mark.parametrize(
    ("permission", "expected"),
    [
        (ALL, "ip saddr 0.0.0.0/0 accept"),
        (
            Permission(protocol="udp", from_port=0, to_port=65535, cidr="10.0.0.0/8"),
            "ip saddr 10.0.0.0/8 ip protocol udp accept",
        ),
        (
            Permission(protocol="tcp", from_port=1, to_port=9, cidr="10.0.0.0/8"),
            "ip saddr 10.0.0.0/8 tcp dport 1-9 accept",
        ),
        (
            Permission(protocol="icmp", from_port=8, to_port=-1, cidr="10.0.0.0/8"),
            "ip saddr 10.0.0.0/8 icmp type 8 accept",
        ),
        (
            Permission(protocol="icmp", from_port=-1, to_port=-1, cidr="10.0.0.0/8"),
            "ip saddr 10.0.0.0/8 ip protocol icmp accept",
        ),
        (Permission(protocol="-1", group="sg-of-another-vpc"), None),
    ],
)
def test_a_permission_is_one_rule(permission: Permission, expected: str | None) -> None:
    rules = ruleset(replace(VPC, groups=(SecurityGroup(id="sg-host", ingress=(permission,)),)))
    assert chain(rules, "in_sg_host") == ([expected] if expected else [])


def test_no_group_lets_nothing_in_but_a_balancer_without_groups_is_open() -> None:
    bare = Interface(address="10.0.1.9", subnet="subnet-p", owner="lb", groups=())
    rules = ruleset(replace(VPC, interfaces=(bare, replace(bare, address="10.0.1.10", groups=None))))
    assert "10.0.1.10 : goto to_open" in rules
    assert chain(rules, "to_open") == ["accept"]
    closed = next(part for part in rules.split("10.0.1.9 : goto ")[1:])
    assert chain(rules, closed.split(",")[0].split(" ")[0]) == ["drop"]


def test_a_public_address_without_a_route_to_the_internet_leads_nowhere() -> None:
    stray = replace(VPC.interfaces[1], public_address="192.0.2.77")
    assert "192.0.2.77" not in "".join(chain(ruleset(replace(VPC, interfaces=(stray,))), "private_address"))


def test_the_longest_prefix_decides() -> None:
    table = RouteTable(
        id="rtb-p",
        routes=(
            Route(destination="0.0.0.0/0", via=Via.INTERNET_GATEWAY),
            Route(destination="198.18.1.0/24", via=Via.NOTHING),
            Route(destination="198.18.0.10/32", via=Via.S3_ENDPOINT),
        ),
    )
    assert chain(ruleset(replace(VPC, route_tables=(table,))), "leave_rtb_p") == [
        "ip daddr 198.18.0.11 tcp dport { 80, 443 } accept",
        "ip daddr 198.18.1.0/24 drop",
        "ip daddr 0.0.0.0/0 ip saddr @with_public_address accept",
        "drop",
    ]


def test_an_acl_is_asked_by_number_and_at_the_border_only() -> None:
    everything = AclEntry(number=100, allow=True, egress=False, protocol="-1", cidr="0.0.0.0/0")
    acl = NetworkAcl(
        id="acl-1",
        entries=(
            everything,
            replace(everything, egress=True),
            AclEntry(
                number=10, allow=False, egress=False, protocol="tcp", cidr="198.18.1.2/32", from_port=22, to_port=22
            ),
        ),
    )
    subnets = (replace(VPC.subnets[0], acl="acl-1"), VPC.subnets[1])
    rules = ruleset(replace(VPC, subnets=subnets, acls=(acl,)))
    assert chain(rules, "acl_in_acl_1") == [
        "ip saddr 198.18.1.2/32 tcp dport 22 drop",
        "ip saddr 0.0.0.0/0 return",
        "drop",
    ]
    assert chain(rules, "acls") == [
        "ip saddr 10.0.1.0/24 ip daddr != 10.0.1.0/24 jump acl_out_acl_1",
        "ip daddr 10.0.1.0/24 ip saddr != 10.0.1.0/24 jump acl_in_acl_1",
    ]


def thousands() -> Topology:
    hosts = tuple(
        Interface(address=f"10.0.{n // 250 + 16}.{n % 250 + 4}", subnet="subnet-i", owner=f"i-{n}", groups=("sg-host",))
        for n in range(5000)
    )
    return replace(VPC, interfaces=hosts)


def test_thousands_of_hosts_cost_no_further_rules() -> None:
    assert len(ruleset(thousands()).splitlines()) < 120


@pytest.mark.skipif(shutil.which("nft") is None or os.geteuid() != 0, reason="needs nft and root")
@pytest.mark.parametrize("topology", [VPC, thousands(), Topology(vpc="vpc-2", region="us-east-1", cidrs=())])
def test_nft_takes_it(topology: Topology) -> None:
    done = subprocess.run(["nft", "-c", "-f", "-"], input=ruleset(topology), text=True, capture_output=True)
    assert done.returncode == 0, done.stderr[-500:]
