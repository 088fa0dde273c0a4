"""Makes the networks that the EC2 API describes: a router namespace for each VPC, a link for each host."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, ip_network

from rehearsal.network import namespaces
from rehearsal.network.ruleset import UPLINK, ruleset
from rehearsal.network.topology import Topology
from rehearsal.region.errors import RegionError
from rehearsal.region.stage import (
    API_ADDRESS,
    BACKBONE_NETWORK,
    DNS_ADDRESS,
    HOST_GATEWAY,
    METADATA_ADDRESS,
    OPERATOR_ADDRESS,
    PUBLIC_NETWORKS,
    REGION_GATEWAY,
    S3_ADDRESS,
    VPC_RESOLVER_ADDRESS,
    Stage,
)

_ROUTER_SETTINGS = (
    "ipv4/ip_forward=1",
    "ipv4/conf/all/rp_filter=1",
    "ipv4/conf/default/rp_filter=1",
    "ipv4/conf/all/send_redirects=0",
    "ipv4/conf/default/send_redirects=0",
)
_REGION_SETTINGS = (
    "ipv4/ip_forward=1",
    "ipv4/conf/all/send_redirects=0",
    "ipv4/conf/default/send_redirects=0",
    "ipv4/ip_unprivileged_port_start=0",
)
_REGION_RULES = f"""
table ip region {{
    chain input {{
        type filter hook input priority filter; policy drop
        iifname "lo" accept
        ct state established,related accept
        ip daddr {API_ADDRESS} tcp dport 80 accept
        ip daddr {DNS_ADDRESS} meta l4proto {{ tcp, udp }} th dport 53 accept
        ip daddr {REGION_GATEWAY} icmp type echo-request accept
        ip daddr {API_ADDRESS} reject with tcp reset
    }}
    chain prerouting {{
        type nat hook prerouting priority dstnat; policy accept
        ip daddr {S3_ADDRESS} dnat to {API_ADDRESS}
    }}
    chain output {{
        type nat hook output priority -100; policy accept
        ip daddr {S3_ADDRESS} dnat to {API_ADDRESS}
    }}
}}
"""


def build_backbone(stage: Stage) -> None:
    """The region's namespace and the operator's, with the link between them."""
    region, internet = stage.region_namespace, stage.internet_namespace
    namespaces.add(region, _REGION_SETTINGS)
    namespaces.add(internet)
    namespaces.ip(
        region,
        [
            f"link add internet type veth peer name eth0 netns {internet}",
            f"addr add {API_ADDRESS}/32 dev lo",
            f"addr add {S3_ADDRESS}/32 dev lo",
            f"addr add {DNS_ADDRESS}/32 dev lo",
            f"addr add {REGION_GATEWAY}/24 dev internet",
            "link set internet up",
            *(f"route add blackhole {network}" for network in PUBLIC_NETWORKS.values()),
        ],
    )
    namespaces.ip(
        internet,
        [f"addr add {OPERATOR_ADDRESS}/24 dev eth0", "link set eth0 up", f"route add default via {REGION_GATEWAY}"],
    )
    namespaces.nft(region, _REGION_RULES)


def backbone_link(index: int) -> tuple[IPv4Address, IPv4Address]:
    """The region's and the router's address on the link of the index-th VPC."""
    network = ip_network(BACKBONE_NETWORK)
    return network[2 * index], network[2 * index + 1]  # type: ignore[return-value]


@dataclass
class _Router:
    index: int
    namespace: str
    rules: str = ""
    owners: dict[str, tuple[str, ...]] = field(default_factory=dict)
    public: set[str] = field(default_factory=set)


class Network:
    """The VPCs that exist as packets, and the difference to what the API says."""

    def __init__(self, stage: Stage, on_open: Callable[[str, str], None], on_close: Callable[[str], None]) -> None:
        """`on_open(vpc, namespace)` and `on_close(vpc)` serve and abandon link-local services."""
        self._stage = stage
        self._routers: dict[str, _Router] = {}
        self._on_open, self._on_close = on_open, on_close

    def apply(self, topologies: Iterable[Topology]) -> None:
        """Makes exactly these VPCs real; those without an interface need nothing."""
        wanted = {t.vpc: t for t in topologies if t.interfaces}
        for vpc in self._routers.keys() - wanted.keys():
            self._remove_router(vpc)
        for vpc, topology in wanted.items():
            if vpc not in self._routers:
                self._add_router(topology)
            self._apply_one(self._routers[vpc], topology)

    def vpc_of_link(self, address: str) -> str | None:
        """Whose router has this address on the backbone: a request came through its gateway endpoint."""
        for vpc, router in self._routers.items():
            if str(backbone_link(router.index)[1]) == address:
                return vpc
        return None

    def _add_router(self, topology: Topology) -> None:
        used = {router.index for router in self._routers.values()}
        index = next(i for i in range(1, 32768) if i not in used)
        router = _Router(index, self._stage.namespace_of(topology.vpc))
        try:
            self._build_router(router, topology)
        except BaseException:
            self._on_close(topology.vpc)
            self._forget(router)
            raise
        self._routers[topology.vpc] = router

    def _build_router(self, router: _Router, topology: Topology) -> None:
        index = router.index
        region_end, router_end = backbone_link(index)
        namespaces.add(router.namespace, _ROUTER_SETTINGS)
        namespaces.ip(
            self._stage.region_namespace,
            [
                f"link add vpc{index} type veth peer name {UPLINK} netns {router.namespace}",
                f"addr add {region_end}/31 dev vpc{index}",
                f"link set vpc{index} up",
            ],
        )
        namespaces.ip(
            router.namespace,
            [
                f"addr add {METADATA_ADDRESS}/32 dev lo",
                f"addr add {VPC_RESOLVER_ADDRESS}/32 dev lo",
                f"addr add {router_end}/31 dev {UPLINK}",
                f"link set dev {UPLINK} up",
                f"route add default via {region_end}",
                *(f"route add blackhole {cidr}" for cidr in topology.cidrs),
            ],
        )
        self._on_open(topology.vpc, router.namespace)

    def _remove_router(self, vpc: str) -> None:
        router = self._routers.pop(vpc)
        self._on_close(vpc)
        for owner in list(router.owners):
            self._unlink(router, owner)
        self._forget(router)

    def _forget(self, router: _Router) -> None:
        with contextlib.suppress(RegionError):
            namespaces.ip(self._stage.region_namespace, [f"link del vpc{router.index}"])
        namespaces.remove(router.namespace)

    def _apply_one(self, router: _Router, topology: Topology) -> None:
        rules = ruleset(topology)
        if rules != router.rules:
            namespaces.nft(router.namespace, rules)
            router.rules = rules
        self._apply_links(router, topology)
        self._apply_public(router, set(topology.public_addresses))

    def _apply_links(self, router: _Router, topology: Topology) -> None:
        wanted: dict[str, tuple[str, ...]] = {}
        for interface in topology.interfaces:
            wanted[interface.owner] = (*wanted.get(interface.owner, ()), interface.address)
        for owner, addresses in list(router.owners.items()):
            if wanted.get(owner) != addresses:
                self._unlink(router, owner)
        for owner, addresses in wanted.items():
            if owner not in router.owners:
                try:
                    self._link(router, owner, addresses)
                except BaseException:
                    self._unlink(router, owner)
                    raise

    def _link(self, router: _Router, owner: str, addresses: tuple[str, ...]) -> None:
        host, device = self._stage.namespace_of(owner), _device(owner)
        namespaces.remove(host)
        namespaces.add(host)
        namespaces.ip(
            router.namespace,
            [
                f"link add {device} type veth peer name eth0 netns {host}",
                f"addr add {HOST_GATEWAY}/32 dev {device}",
                f"link set {device} up",
                *(f"route add {address}/32 dev {device}" for address in addresses),
            ],
        )
        namespaces.ip(
            host,
            [
                *(f"addr add {address}/32 dev eth0" for address in addresses),
                "link set eth0 up",
                f"route add {HOST_GATEWAY} dev eth0 scope link",
                f"route add default via {HOST_GATEWAY} dev eth0 src {addresses[0]}",
            ],
        )
        router.owners[owner] = addresses

    def _unlink(self, router: _Router, owner: str) -> None:
        """The link is cut and the namespace's name removed; a process inside keeps the rest of it."""
        with contextlib.suppress(RegionError):
            namespaces.ip(router.namespace, [f"link del {_device(owner)}"])
        namespaces.remove(self._stage.namespace_of(owner))
        router.owners.pop(owner, None)

    def _apply_public(self, router: _Router, wanted: set[str]) -> None:
        """Routes on the backbone for the addresses that lead into this VPC."""
        changes = [f"route del {address}/32" for address in router.public - wanted]
        via = backbone_link(router.index)[1]
        changes += [f"route replace {address}/32 via {via}" for address in wanted - router.public]
        if changes:
            namespaces.ip(self._stage.region_namespace, changes)
        router.public = wanted


def _device(owner: str) -> str:
    """A router's name for the link to a host: at most 15 characters, the same each time."""
    return "h" + hashlib.sha256(owner.encode()).hexdigest()[:12]


def public_network(region: str) -> IPv4Network:
    """The addresses that a region hands out."""
    return IPv4Network(PUBLIC_NETWORKS[region])
