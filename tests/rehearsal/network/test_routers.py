"""The namespaces, links and routes that exist are those of the topology last applied, and no others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rehearsal.network import routers
from rehearsal.network.routers import Network, backbone_link
from rehearsal.network.topology import Interface, Topology
from rehearsal.region.errors import RegionError
from rehearsal.region.stage import Stage

ONE = Interface(address="10.0.0.4", subnet="s", owner="i-1", public_address="192.0.2.5")
TWO = Interface(address="10.0.0.5", subnet="s", owner="i-2")
VPC = Topology(vpc="vpc-1", region="us-east-1", cidrs=("10.0.0.0/16",), interfaces=(ONE, TWO))


class Kernel:
    """Namespaces, and in each what `ip` made and `nft` was given; a command in `broken` fails."""

    def __init__(self) -> None:
        self.spaces: dict[str, set[str]] = {"rk-region": set()}
        self.rules: dict[str, str] = {}
        self.loads = 0
        self.broken = ""

    def add(self, name: str, settings: Any = ()) -> None:
        assert name not in self.spaces
        self.spaces[name] = set(settings)

    def remove(self, name: str) -> None:
        self.spaces.pop(name, None)

    def ip(self, name: str, commands: Any) -> None:
        for command in commands:
            if name not in self.spaces or (self.broken and self.broken in command):
                raise RegionError(command)
            verb, what = command.replace("replace", "add").split(" ", 2)[1], command.split(" ", 2)[2]
            kind = command.split()[0]
            if verb in {"add", "set"}:
                self.spaces[name].add(f"{kind} {what}")
            else:
                found = [one for one in self.spaces[name] if one.startswith(f"{kind} {what.split()[0]} ")]
                if not found:
                    raise RegionError(command)
                self.spaces[name] -= set(found)

    def nft(self, name: str, rules: str) -> None:
        self.rules[name] = rules
        self.loads += 1


class Ground:
    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.open: dict[str, str] = {}
        self.network = Network(Stage(), self.open.__setitem__, lambda vpc: self.open.pop(vpc, None))

    def apply(self, *topologies: Topology) -> None:
        self.network.apply(topologies)

    @property
    def spaces(self) -> set[str]:
        return set(self.kernel.spaces) - {"rk-region"}

    @property
    def public(self) -> set[str]:
        return {one for one in self.kernel.spaces["rk-region"] if one.startswith("route ")}


@pytest.fixture
def ground(monkeypatch: pytest.MonkeyPatch) -> Ground:
    kernel = Kernel()
    monkeypatch.setattr(routers, "namespaces", kernel)
    return Ground(kernel)


def test_a_vpc_is_a_router_and_a_link_to_each_host(ground: Ground) -> None:
    ground.apply(VPC)
    assert ground.spaces == {"rk-vpc-1", "rk-i-1", "rk-i-2"}
    assert ground.open == {"vpc-1": "rk-vpc-1"}
    router, host = ground.kernel.spaces["rk-vpc-1"], ground.kernel.spaces["rk-i-1"]
    region_end, router_end = backbone_link(1)
    assert {f"addr {router_end}/31 dev up", f"route default via {region_end}", "route blackhole 10.0.0.0/16"} <= router
    assert "ipv4/conf/all/rp_filter=1" in router
    device = routers._device("i-1")
    assert {f"route 10.0.0.4/32 dev {device}", f"link {device} type veth peer name eth0 netns rk-i-1"} <= router
    assert {"addr 10.0.0.4/32 dev eth0", "route default via 169.254.1.1 dev eth0 src 10.0.0.4"} <= host
    assert ground.public == {f"route 192.0.2.5/32 via {router_end}"}
    assert ground.network.vpc_of_link(str(router_end)) == "vpc-1"
    assert ground.network.vpc_of_link(str(region_end)) is None


def test_a_vpc_without_an_interface_needs_nothing(ground: Ground) -> None:
    ground.apply(replace(VPC, interfaces=()))
    assert (ground.spaces, ground.open) == (set(), {})


def test_what_stays_the_same_is_not_made_again(ground: Ground) -> None:
    ground.apply(VPC)
    before = {name: set(held) for name, held in ground.kernel.spaces.items()}
    ground.apply(VPC)
    assert (ground.kernel.spaces, ground.kernel.loads) == (before, 1)


def test_rules_are_loaded_when_they_change(ground: Ground) -> None:
    ground.apply(VPC)
    ground.apply(replace(VPC, interfaces=(ONE,)))
    assert ground.kernel.loads == 2
    assert "10.0.0.5" not in ground.kernel.rules["rk-vpc-1"]


def test_a_host_that_is_gone_is_cut_off(ground: Ground) -> None:
    ground.apply(VPC)
    ground.apply(replace(VPC, interfaces=(TWO,)))
    assert ground.spaces == {"rk-vpc-1", "rk-i-2"}
    assert not any(routers._device("i-1") in one for one in ground.kernel.spaces["rk-vpc-1"] if one.startswith("link "))
    assert ground.public == set()


def test_a_host_with_another_address_is_linked_anew(ground: Ground) -> None:
    ground.apply(VPC)
    ground.apply(replace(VPC, interfaces=(replace(ONE, address="10.0.0.9"), TWO)))
    host = ground.kernel.spaces["rk-i-1"]
    assert ("addr 10.0.0.9/32 dev eth0" in host, "addr 10.0.0.4/32 dev eth0" in host) == (True, False)


def test_an_owner_of_two_interfaces_has_one_namespace(ground: Ground) -> None:
    ground.apply(replace(VPC, interfaces=(ONE, replace(ONE, address="10.0.1.4", public_address=None))))
    assert {"addr 10.0.0.4/32 dev eth0", "addr 10.0.1.4/32 dev eth0"} <= ground.kernel.spaces["rk-i-1"]


def test_a_public_address_leads_to_whom_it_is_given(ground: Ground) -> None:
    ground.apply(VPC)
    other = Topology(vpc="vpc-2", region="us-east-1", cidrs=(), interfaces=(replace(ONE, owner="i-9"),))
    ground.apply(replace(VPC, interfaces=(TWO,)), other)
    assert ground.public == {f"route 192.0.2.5/32 via {backbone_link(2)[1]}"}
    assert ground.network.vpc_of_link(str(backbone_link(2)[1])) == "vpc-2"


def test_a_vpc_that_is_gone_leaves_nothing(ground: Ground) -> None:
    other = replace(VPC, vpc="vpc-2", interfaces=(replace(TWO, owner="i-9"),))
    ground.apply(VPC, other)
    ground.apply(other)
    assert (ground.spaces, ground.open) == ({"rk-vpc-2", "rk-i-9"}, {"vpc-2": "rk-vpc-2"})
    ground.apply(VPC, other)
    links = {one.split()[1] for one in ground.kernel.spaces["rk-region"] if one.startswith("link ")}
    assert links == {"vpc1", "vpc2"}
    ground.apply()
    assert (ground.spaces, ground.open) == (set(), {})
    assert not [one for one in ground.kernel.spaces["rk-region"] if one.startswith("link ") and "veth" in one]


@pytest.mark.parametrize(
    ("broken", "left"), [("route add blackhole 10.0.0.0/16", set()), ("addr add 10.0.0.5/32", {"rk-vpc-1", "rk-i-1"})]
)
def test_what_could_not_be_made_is_taken_back_and_tried_again(ground: Ground, broken: str, left: set[str]) -> None:
    ground.kernel.broken = broken
    with pytest.raises(RegionError):
        ground.apply(VPC)
    assert ground.spaces == left
    assert ("vpc-1" in ground.open) == bool(left)
    ground.kernel.broken = ""
    ground.apply(VPC)
    assert ground.spaces == {"rk-vpc-1", "rk-i-1", "rk-i-2"}


@pytest.mark.parametrize("owner", ["i-0123456789abcdef0", "lb-0123456789abcdef", "i-1"])
def test_a_links_name_is_short_and_its_owners_alone(owner: str) -> None:
    assert len(routers._device(owner)) <= 15
    assert routers._device(owner) == routers._device(owner) != routers._device(f"{owner}x")
