"""Addresses: an equal share of the VPC for each zone and az, none overlapping."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Literal, TypeAlias, get_args

from rekindle.inventory import Role

Zone: TypeAlias = Literal["public", "private", "admin"]

ZONES: dict[Role, Zone] = {
    Role.BASTION: "public",
    Role.PUBLIC_AGENT: "public",
    Role.PRIVATE_AGENT: "private",
    Role.BOOTSTRAP: "admin",
    Role.MASTER: "admin",
}

SHARES = 16  # three zones over at most four azs, and room for a fourth zone; a share keeps its place for ever
AZ_SHARES = 4
RESERVED = 5  # addresses of each subnet that AWS keeps (VPC user guide, subnet sizing)
OTHERS = 16  # and those left for what is no host: a NAT gateway, endpoints, up to 8 of a load balancer
BOOTSTRAP = 9  # host number of the bootstrap host: masters know it by its address
FIRST_MASTER = 10  # host number of the first master in its subnet, clear of what AWS hands out first


@dataclass(frozen=True)
class Subnet:
    """One subnet of a zone in an az."""

    zone: Zone
    az: str
    cidr: IPv4Network

    @property
    def name(self) -> str:
        """ "public-us-east-1a": the stable key of its resources."""
        return f"{self.zone}-{self.az}"


def subnets(network: IPv4Network, azs: Sequence[str]) -> tuple[Subnet, ...]:
    """A subnet for each zone and az; adding an az moves none of those before it. ValueError above four azs."""
    if len(azs) > AZ_SHARES:
        raise ValueError(f"{len(azs)} azs; at most {AZ_SHARES} fit")
    shares = list(network.subnets(prefixlen_diff=SHARES.bit_length() - 1))
    return tuple(
        Subnet(zone, az, shares[zone_index * AZ_SHARES + az_index])
        for zone_index, zone in enumerate(get_args(Zone))
        for az_index, az in enumerate(azs)
    )


def room(network: IPv4Network) -> int:
    """How many hosts one subnet has addresses for."""
    return int(network.num_addresses) // SHARES - RESERVED - OTHERS


def master_address(subnet: Subnet, number: int) -> IPv4Address:
    """The fixed address of the number-th master (from 1) that stands in this admin subnet."""
    return subnet.cidr[FIRST_MASTER + number - 1]


def bootstrap_address(subnet: Subnet) -> IPv4Address:
    """The fixed address of the bootstrap host in this admin subnet."""
    return subnet.cidr[BOOTSTRAP]
