"""Public addresses come from the region's own network, private ones are never given twice."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection
from typing import Any

import moto.ec2.models.elastic_network_interfaces as interface_models
import moto.ec2.models.nat_gateways as nat_models
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.elastic_ip_addresses import ElasticAddress
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.models.subnets import Subnet

from rehearsal.network.routers import public_network
from rehearsal.region import cloud
from rehearsal.region.behaviour.replacing import replaces
from rehearsal.region.stage import REGIONS

_RESERVED = 4
"""AWS keeps the first four addresses and the last one of each subnet."""

_last_given = dict.fromkeys(REGIONS, 3)


def install() -> None:
    _public_addresses()
    _private_addresses()


def _public_addresses() -> None:
    @replaces(ElasticAddress, "__init__")
    def allocate(
        original: Callable[..., None], self: Any, backend: Any, domain: str, address: str | None = None, **rest: Any
    ) -> None:
        original(self, backend, domain, address=address or free_public_address(backend.region_name), **rest)

    @replaces(NetworkInterface, "check_auto_public_ip")
    def auto_assign(original: Callable[..., None], self: Any) -> None:
        if str(self.public_ip_auto_assign).lower() == "true" and not self.public_ip:
            self.public_ip = free_public_address(self.ec2_backend.region_name)


def free_public_address(region: str) -> str:
    """The next one in turn: an address just released is not given to another at once."""
    network, backend = public_network(region), cloud.ec2(region)
    used = {e.public_ip for e in backend.addresses} | {e.public_ip for e in backend.enis.values()}
    size = network.num_addresses - 2
    for step in range(1, size + 1):
        index = (_last_given[region] + step) % size + 1
        if str(network[index]) not in used:
            _last_given[region] = index - 1
            return str(network[index])
    raise EC2ClientError("InsufficientAddressCapacity", "The maximum number of addresses has been reached.")


def _private_addresses() -> None:
    @replaces(interface_models, "random_private_ip")
    def of_subnet(original: Callable[..., str], cidr: str | None = None, ipv6: bool = False) -> str:
        return _private_address(cidr) if not ipv6 else original(cidr, ipv6)

    @replaces(Subnet, "get_available_subnet_ip")
    def of_instance(original: Callable[..., str], self: Any, instance: Any) -> str:
        address = _private_address(self.cidr_block, given=self._subnet_ips)
        self._subnet_ips[address] = instance
        return address

    @replaces(nat_models, "random_private_ip")
    def of_nat_gateway(original: Callable[..., str]) -> str:
        return ""  # its interface takes one from its subnet


def _private_address(cidr: str | None, given: Collection[str] = ()) -> str:
    """The lowest address of a subnet that neither an interface has nor was given."""
    network = ipaddress.IPv4Network(cidr or "10.0.0.0/8")
    used = {eni.private_ip_address for region in REGIONS for eni in cloud.ec2(region).enis.values()}
    for index in range(_RESERVED, network.num_addresses - 1):
        if str(network[index]) not in used and str(network[index]) not in given:
            return str(network[index])
    raise EC2ClientError("InsufficientFreeAddressesInSubnet", f"There are no free addresses in {cidr}.")
