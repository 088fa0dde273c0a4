"""What the EC2 API says about one VPC's network, as typed facts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, kw_only=True)
class Permission:
    """One rule of a security group, in one direction."""

    protocol: str
    """"tcp", "udp", "icmp", a number, or "-1" for all."""
    from_port: int | None = None
    to_port: int | None = None
    cidr: str | None = None
    group: str | None = None
    """The other side: a network, or the members of a security group."""


@dataclass(frozen=True, kw_only=True)
class SecurityGroup:
    id: str
    ingress: tuple[Permission, ...] = ()
    egress: tuple[Permission, ...] = ()


@dataclass(frozen=True, kw_only=True)
class AclEntry:
    """One numbered rule of a network ACL; the lowest number that matches decides."""

    number: int
    allow: bool
    egress: bool
    protocol: str
    cidr: str
    from_port: int | None = None
    to_port: int | None = None


@dataclass(frozen=True, kw_only=True)
class NetworkAcl:
    id: str
    entries: tuple[AclEntry, ...] = ()


class Via(Enum):
    """Through what a route leaves its VPC."""

    INTERNET_GATEWAY = "internet gateway"
    NAT_GATEWAY = "NAT gateway"
    S3_ENDPOINT = "S3 gateway endpoint"
    NOTHING = "nothing"


@dataclass(frozen=True, kw_only=True)
class Route:
    destination: str
    via: Via
    nat_address: str | None = None
    """The public address of the NAT gateway."""


@dataclass(frozen=True, kw_only=True)
class RouteTable:
    id: str
    routes: tuple[Route, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Subnet:
    id: str
    cidr: str
    route_table: str
    acl: str | None = None


@dataclass(frozen=True, kw_only=True)
class Interface:
    """An elastic network interface."""

    address: str
    subnet: str
    owner: str
    """Whose namespace it leads into: an instance or a load balancer."""
    public_address: str | None = None
    groups: tuple[str, ...] | None = None
    """None: not filtered by security groups (a network load balancer without any)."""


@dataclass(frozen=True, kw_only=True)
class Topology:
    """One VPC."""

    vpc: str
    region: str
    cidrs: tuple[str, ...]
    subnets: tuple[Subnet, ...] = ()
    route_tables: tuple[RouteTable, ...] = ()
    groups: tuple[SecurityGroup, ...] = ()
    acls: tuple[NetworkAcl, ...] = ()
    interfaces: tuple[Interface, ...] = ()
    nat_addresses: tuple[str, ...] = ()
    """Public addresses of NAT gateways whose own subnet reaches the Internet."""

    @property
    def public_addresses(self) -> tuple[str, ...]:
        """All public addresses that lead into this VPC."""
        return tuple(i.public_address for i in self.interfaces if i.public_address) + self.nat_addresses
