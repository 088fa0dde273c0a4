"""The packet rules of one VPC's router, as nftables text: a pure function of the topology.

A packet from one host to another crosses `forward` once: the network ACLs see every packet, then
connection tracking lets replies pass, then the sender's security groups must let it out and the
receiver's let it in. A packet that leaves the VPC must match a route of its subnet, and gets the
public address that the route gives it: the host's own, the NAT gateway's, or none at all.

Sets and verdict maps keep the cost for a packet independent of the number of hosts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, ip_network

from rehearsal.network.topology import (
    AclEntry,
    Interface,
    NetworkAcl,
    Permission,
    Route,
    RouteTable,
    Subnet,
    Topology,
    Via,
)
from rehearsal.region.stage import (
    HOST_GATEWAY,
    METADATA_ADDRESS,
    S3_ADDRESS,
    VPC_RESOLVER_ADDRESS,
)

UPLINK = "up"
"""The router's interface towards the region; all others lead to hosts."""
_TABLE = "vpc"


def ruleset(topology: Topology) -> str:
    """Text for `nft -f` that replaces the router's rules in one transaction."""
    chains = [
        *_sets(topology),
        *_group_chains(topology),
        *_dispatch_chains(topology),
        *_acl_chains(topology),
        *_route_chains(topology),
        *_base_chains(topology),
    ]
    body = "\n".join(_indent(chain) for chain in chains)
    return f"add table ip {_TABLE}\ndelete table ip {_TABLE}\ntable ip {_TABLE} {{\n{body}\n}}\n"


def _indent(text: str) -> str:
    return "\n".join(f"\t{line}" for line in text.splitlines())


def _chain(name: str, rules: Iterable[str]) -> str:
    return "\n".join([f"chain {name} {{", *(f"\t{rule}" for rule in rules), "}"])


def _name(resource_id: str) -> str:
    return resource_id.replace("-", "_")


# -- security groups ---------------------------------------------------------------------------


def _members(topology: Topology) -> dict[str, list[str]]:
    """Addresses by security group."""
    members: dict[str, list[str]] = {group.id: [] for group in topology.groups}
    for interface in topology.interfaces:
        for group in interface.groups or ():
            members.setdefault(group, []).append(interface.address)
    return members


def _sets(topology: Topology) -> Iterator[str]:
    for group, addresses in sorted(_members(topology).items()):
        yield _set(f"members_{_name(group)}", addresses)
    yield _set("with_public_address", [i.address for i in topology.interfaces if i.public_address])


def _set(name: str, addresses: list[str]) -> str:
    elements = f"\n\telements = {{ {', '.join(sorted(addresses))} }}" if addresses else ""
    return f"set {name} {{\n\ttype ipv4_addr{elements}\n}}"


def _group_chains(topology: Topology) -> Iterator[str]:
    known = set(_members(topology))
    for group in topology.groups:
        out = [r for p in group.egress for r in _permission(p, "daddr", "goto let_out", known)]
        into = [r for p in group.ingress for r in _permission(p, "saddr", "accept", known)]
        yield _chain(f"out_{_name(group.id)}", out)
        yield _chain(f"in_{_name(group.id)}", into)


def _permission(permission: Permission, side: str, verdict: str, known: set[str]) -> Iterator[str]:
    ports = _ports(permission.protocol, permission.from_port, permission.to_port)
    if permission.cidr:
        yield f"ip {side} {permission.cidr} {ports}{verdict}"
    if permission.group in known:
        yield f"ip {side} @members_{_name(permission.group)} {ports}{verdict}"


def _ports(protocol: str, first: int | None, last: int | None) -> str:
    if protocol in {"-1", "all"}:
        return ""
    if protocol in {"tcp", "udp"}:
        if first is None or first == -1 or (first == 0 and last == 65535):
            return f"ip protocol {protocol} "
        return f"{protocol} dport {first} " if first == last else f"{protocol} dport {first}-{last} "
    if protocol == "icmp" and first not in {None, -1}:
        return f"icmp type {first} "
    return f"ip protocol {protocol} "


def _guard(groups: tuple[str, ...] | None) -> str:
    """One name for one combination of security groups."""
    if groups is None:
        return "open"
    return hashlib.sha256(",".join(sorted(groups)).encode()).hexdigest()[:12]


def _dispatch_chains(topology: Topology) -> Iterator[str]:
    known = set(_members(topology))
    guards = {_guard(i.groups): i.groups for i in topology.interfaces}
    for guard, groups in sorted(guards.items()):
        names = [_name(g) for g in sorted(groups or ()) if g in known]
        yield _chain(
            f"from_{guard}", ["goto let_out"] if groups is None else [*(f"jump out_{n}" for n in names), "drop"]
        )
        yield _chain(f"to_{guard}", ["accept"] if groups is None else [*(f"jump in_{n}" for n in names), "drop"])
    yield _chain("let_in", [*_verdicts("daddr", "to", topology.interfaces), "drop"])
    yield _chain("let_out_of_host", [*_verdicts("saddr", "from", topology.interfaces), "drop"])


def _verdicts(side: str, prefix: str, interfaces: tuple[Interface, ...]) -> list[str]:
    if not interfaces:
        return []
    entries = ", ".join(f"{i.address} : goto {prefix}_{_guard(i.groups)}" for i in interfaces)
    return [f"ip {side} vmap {{ {entries} }}"]


# -- network ACLs ------------------------------------------------------------------------------


def _acl_chains(topology: Topology) -> Iterator[str]:
    acls = {acl.id: acl for acl in topology.acls if not _allows_all(acl)}
    for acl in acls.values():
        yield _chain(f"acl_out_{_name(acl.id)}", _acl_rules(acl, egress=True))
        yield _chain(f"acl_in_{_name(acl.id)}", _acl_rules(acl, egress=False))
    yield _chain("acls", [rule for s in topology.subnets if s.acl in acls for rule in _acl_jumps(s)])


def _allows_all(acl: NetworkAcl) -> bool:
    def first(egress: bool) -> AclEntry | None:
        return min((e for e in acl.entries if e.egress is egress), key=lambda e: e.number, default=None)

    return all(
        e is not None and e.allow and e.protocol == "-1" and e.cidr == "0.0.0.0/0" for e in map(first, (True, False))
    )


def _acl_rules(acl: NetworkAcl, *, egress: bool) -> Iterator[str]:
    side = "daddr" if egress else "saddr"
    for entry in sorted((e for e in acl.entries if e.egress is egress), key=lambda e: e.number):
        ports = _ports(entry.protocol, entry.from_port, entry.to_port)
        yield f"ip {side} {entry.cidr} {ports}{'return' if entry.allow else 'drop'}"
    yield "drop"


def _acl_jumps(subnet: Subnet) -> Iterator[str]:
    """An ACL stands at its subnet's border: what stays inside is not asked."""
    acl = _name(subnet.acl or "")
    yield f"ip saddr {subnet.cidr} ip daddr != {subnet.cidr} jump acl_out_{acl}"
    yield f"ip daddr {subnet.cidr} ip saddr != {subnet.cidr} jump acl_in_{acl}"


# -- routes ------------------------------------------------------------------------------------


def _route_chains(topology: Topology) -> Iterator[str]:
    for table in topology.route_tables:
        yield _chain(f"leave_{_name(table.id)}", [*(_leave(r) for r in _by_prefix(table)), "drop"])
        yield _chain(f"disguise_{_name(table.id)}", [_disguise(r) for r in _by_prefix(table)])
    known = {table.id for table in topology.route_tables}
    subnets = [s for s in topology.subnets if s.route_table in known]
    yield _chain("leave", [*_by_subnet(subnets, "leave"), "drop"])
    yield _chain("disguise", _by_subnet(subnets, "disguise"))


def _by_prefix(table: RouteTable) -> list[Route]:
    """Longest prefix first, as AWS decides."""
    return sorted(table.routes, key=lambda r: (-_network(r.destination).prefixlen, r.destination))


def _network(cidr: str) -> IPv4Network:
    network = ip_network(cidr)
    if not isinstance(network, IPv4Network):
        raise TypeError(f"{cidr}: the rehearsal region has IPv4 only")
    return network


def _by_subnet(subnets: list[Subnet], prefix: str) -> list[str]:
    return [f"ip saddr {s.cidr} goto {prefix}_{_name(s.route_table)}" for s in subnets]


def _leave(route: Route) -> str:
    match route.via:
        case Via.INTERNET_GATEWAY:
            return f"ip daddr {route.destination} ip saddr @with_public_address accept"
        case Via.NAT_GATEWAY if route.nat_address:
            return f"ip daddr {route.destination} accept"
        case Via.S3_ENDPOINT:
            return f"ip daddr {S3_ADDRESS} tcp dport {{ 80, 443 }} accept"
        case _:
            return f"ip daddr {route.destination} drop"


def _disguise(route: Route) -> str:
    match route.via:
        case Via.INTERNET_GATEWAY:
            return f"ip daddr {route.destination} snat to ip saddr map @public_address"
        case Via.NAT_GATEWAY if route.nat_address:
            return f"ip daddr {route.destination} snat to {route.nat_address}"
        case Via.S3_ENDPOINT:
            return f"ip daddr {S3_ADDRESS} masquerade"
        case _:
            return f"ip daddr {route.destination} return"


# -- base chains -------------------------------------------------------------------------------


def _reachable(topology: Topology) -> list[Interface]:
    """Interfaces with a public address in a subnet that an internet gateway serves."""
    tables = {t.id for t in topology.route_tables if any(r.via is Via.INTERNET_GATEWAY for r in t.routes)}
    subnets = {s.id for s in topology.subnets if s.route_table in tables}
    return [i for i in topology.interfaces if i.public_address and i.subnet in subnets]


def _map(name: str, pairs: list[tuple[str, str]]) -> str:
    elements = f"\n\telements = {{ {', '.join(f'{a} : {b}' for a, b in pairs)} }}" if pairs else ""
    return f"map {name} {{\n\ttype ipv4_addr : ipv4_addr{elements}\n}}"


def _base_chains(topology: Topology) -> Iterator[str]:
    reachable = _reachable(topology)
    yield _map("public_address", [(i.address, i.public_address or "") for i in reachable])
    yield _map("private_address", [(i.public_address or "", i.address) for i in reachable])
    yield _chain("let_out", [f'oifname "{UPLINK}" goto leave', "goto let_in"])
    yield _chain("forward", _forward_rules())
    yield _chain("input", _input_rules())
    yield _chain(
        "prerouting",
        ["type nat hook prerouting priority dstnat", f'iifname "{UPLINK}" dnat to ip daddr map @private_address'],
    )
    yield _chain("postrouting", ["type nat hook postrouting priority srcnat", f'oifname "{UPLINK}" goto disguise'])


def _forward_rules() -> list[str]:
    return [
        "type filter hook forward priority filter; policy drop",
        "jump acls",
        "ct state established,related accept",
        "ct state invalid drop",
        f'iifname "{UPLINK}" ct status dnat goto let_in',
        f'iifname "{UPLINK}" drop',
        "goto let_out_of_host",
    ]


def _input_rules() -> list[str]:
    """Hosts reach the metadata service and the resolver, whatever their groups say."""
    return [
        "type filter hook input priority filter; policy drop",
        'iifname "lo" accept',
        "ct state established,related accept",
        f'iifname "{UPLINK}" drop',
        f"ip daddr {METADATA_ADDRESS} tcp dport 80 accept",
        f"ip daddr {VPC_RESOLVER_ADDRESS} meta l4proto {{ tcp, udp }} th dport 53 accept",
        f"ip daddr {HOST_GATEWAY} icmp type echo-request accept",
    ]
