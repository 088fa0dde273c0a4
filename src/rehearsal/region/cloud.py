"""What the APIs of both regions say right now: moto's in-process state, read as typed facts.

This module and `aws_behaviour` are the only ones that know moto's models. Every reader holds
`lock`, and so does every request that is not S3 data, so that facts are never half a change.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from moto.cloudwatch.models import cloudwatch_backends
from moto.ec2.models import ec2_backends
from moto.elbv2.models import elbv2_backends
from moto.iam.models import iam_backends
from moto.kms.models import kms_backends
from moto.route53.models import route53_backends
from moto.s3.models import s3_backends
from moto.sts.models import sts_backends

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
from rehearsal.region.stage import ACCOUNT, REGIONS, S3_ADDRESS

lock = threading.RLock()

_PARTITION = "aws"
_WITH_INTERFACE = frozenset({"pending", "running", "stopping", "stopped", "shutting-down"})


def ec2(region: str) -> Any:
    return ec2_backends[ACCOUNT][region]


def cloudwatch(region: str) -> Any:
    return cloudwatch_backends[ACCOUNT][region]


def elbv2(region: str) -> Any:
    return elbv2_backends[ACCOUNT][region]


def iam() -> Any:
    return iam_backends[ACCOUNT][_PARTITION]


def sts() -> Any:
    return sts_backends[ACCOUNT][_PARTITION]


def s3() -> Any:
    return s3_backends[ACCOUNT][_PARTITION]


def kms(region: str) -> Any:
    return kms_backends[ACCOUNT][region]


def customer_key_of(region: str, volume_id: str | None) -> Any | None:
    """The key that a volume is encrypted under, its own or its snapshot's; None for AWS's own key, or no key."""
    volume = ec2(region).volumes.get(volume_id)
    if volume is None:
        return None
    snapshot = ec2(region).snapshots.get(volume.snapshot_id)
    name = snapshot.kms_key_id if snapshot is not None and snapshot.kms_key_id else volume.kms_key_id
    if not name or name == ec2(region).default_kms_key_id:
        return None
    keys = kms(region)
    return keys.keys.get(keys.get_key_id_from_alias(name) or keys.get_key_id(name))


def route53() -> Any:
    return route53_backends[ACCOUNT][_PARTITION]


def instances(region: str) -> list[Any]:
    """All instances that the API of a region knows."""
    return list(ec2(region).all_instances())


def instance(instance_id: str) -> Any | None:
    """An instance of whatever region."""
    for region in REGIONS:
        found = ec2(region).get_instance_by_id(instance_id)
        if found is not None:
            return found
    return None


def load_balancers(region: str) -> list[Any]:
    return list(elbv2(region).load_balancers.values())


def load_balancer_id(balancer: Any) -> str:
    """A short name, unique on the stage."""
    return "lb-" + str(balancer.arn).rsplit("/", 1)[-1]


def topologies(region: str) -> list[Topology]:
    """The network of each VPC of a region."""
    return [_topology(region, vpc) for vpc in ec2(region).vpcs.values()]


def _topology(region: str, vpc: Any) -> Topology:
    backend = ec2(region)
    tables = [t for t in backend.route_tables.values() if t.vpc_id == vpc.id]
    route_tables = tuple(_route_table(backend, table) for table in tables)
    subnets = tuple(_subnet(backend, subnet, tables) for subnet in _subnets(backend, vpc.id))
    return Topology(
        vpc=vpc.id,
        region=region,
        cidrs=tuple(a["cidr_block"] for a in vpc.get_cidr_block_association_set()),
        subnets=subnets,
        route_tables=route_tables,
        groups=tuple(_group(group) for group in backend.groups.get(vpc.id, {}).values()),
        acls=tuple(_acl(acl) for acl in backend.network_acls.values() if acl.vpc_id == vpc.id),
        interfaces=tuple(_interfaces(region, vpc.id)),
        nat_addresses=tuple(
            a for n in _nats(backend, vpc.id) if (a := _nat_address(n)) and _nat_works(n, subnets, route_tables)
        ),
    )


def _subnets(backend: Any, vpc_id: str) -> Iterator[Any]:
    for by_id in backend.subnets.values():
        yield from (s for s in by_id.values() if s.vpc_id == vpc_id)


def _subnet(backend: Any, subnet: Any, tables: list[Any]) -> Subnet:
    explicit = next((t for t in tables if subnet.id in t._associations.values()), None)
    main = next((t for t in tables if t.main_association_id), None)
    table = explicit or main
    acl = next((a for a in backend.network_acls.values() if subnet.id in {x.subnet_id for x in a.associations}), None)
    return Subnet(
        id=subnet.id, cidr=subnet.cidr_block, route_table=table.id if table else "", acl=acl.id if acl else None
    )


def _route_table(backend: Any, table: Any) -> RouteTable:
    routes = [r for route in table.routes if (r := _route(backend, route))]
    if any(e.service_name.endswith(".s3") and table.id in e.route_table_ids for e in _gateway_endpoints(backend)):
        routes.append(Route(destination=f"{S3_ADDRESS}/32", via=Via.S3_ENDPOINT))
    return RouteTable(id=table.id, routes=tuple(routes))


def _gateway_endpoints(backend: Any) -> list[Any]:
    return [e for e in backend.vpc_end_points.values() if (e.vpc_endpoint_type or "Gateway").lower() == "gateway"]


def _route(backend: Any, route: Any) -> Route | None:
    if route.local or not route.destination_cidr_block:
        return None
    destination = str(route.destination_cidr_block)
    if route.nat_gateway is not None:
        address = _nat_address(route.nat_gateway)
        return Route(destination=destination, via=Via.NAT_GATEWAY if address else Via.NOTHING, nat_address=address)
    if route.gateway is not None and route.gateway.id in backend.internet_gateways:
        return Route(destination=destination, via=Via.INTERNET_GATEWAY)
    return Route(destination=destination, via=Via.NOTHING)


def _nats(backend: Any, vpc_id: str) -> list[Any]:
    return [n for n in backend.nat_gateways.values() if n.vpc_id == vpc_id]


def _nat_address(nat: Any) -> str | None:
    if nat.state != "available":
        return None
    return next((a["publicIp"] for a in nat.address_set if a.get("publicIp")), None)


def _nat_works(nat: Any, subnets: tuple[Subnet, ...], tables: tuple[RouteTable, ...]) -> bool:
    """A NAT gateway serves only from a subnet that an internet gateway serves."""
    table = next((s.route_table for s in subnets if s.id == nat.subnet_id), None)
    return any(r.via is Via.INTERNET_GATEWAY for t in tables if t.id == table for r in t.routes)


def _group(group: Any) -> SecurityGroup:
    return SecurityGroup(
        id=group.id,
        ingress=tuple(p for rule in group.ingress_rules if (p := _permission(rule))),
        egress=tuple(p for rule in group.egress_rules if (p := _permission(rule))),
    )


def _permission(rule: Any) -> Permission | None:
    cidr, group = rule.ip_range.get("CidrIp"), rule.source_group.get("GroupId")
    if not cidr and not group:
        return None
    return Permission(
        protocol=str(rule.ip_protocol), from_port=rule.from_port, to_port=rule.to_port, cidr=cidr, group=group
    )


_PROTOCOLS = {"6": "tcp", "17": "udp", "1": "icmp"}


def _acl(acl: Any) -> NetworkAcl:
    return NetworkAcl(id=acl.id, entries=tuple(_acl_entry(e) for e in acl.network_acl_entries if e.cidr_block))


def _acl_entry(entry: Any) -> AclEntry:
    protocol = _PROTOCOLS.get(str(entry.protocol), str(entry.protocol))
    has_ports = protocol in {"tcp", "udp"} and entry.port_range_from is not None
    return AclEntry(
        number=int(entry.rule_number),
        allow=entry.rule_action == "allow",
        egress=str(entry.egress).lower() == "true",
        protocol=protocol,
        cidr=entry.cidr_block,
        from_port=int(entry.port_range_from) if has_ports else None,
        to_port=int(entry.port_range_to) if has_ports else None,
    )


def _interfaces(region: str, vpc_id: str) -> Iterator[Interface]:
    for eni in ec2(region).enis.values():
        if eni.vpc_id == vpc_id and eni.instance is not None and eni.instance.state in _WITH_INTERFACE:
            yield _interface(eni, eni.instance.id, tuple(sorted({g.id for g in eni.group_set})))
    for balancer in load_balancers(region):
        if balancer.vpc_id == vpc_id:
            for eni in balancer.interfaces.values():
                yield _interface(eni, load_balancer_id(balancer), tuple(sorted(balancer.security_groups or ())) or None)


def _interface(eni: Any, owner: str, groups: tuple[str, ...] | None) -> Interface:
    return Interface(
        address=eni.private_ip_address, subnet=eni.subnet.id, owner=owner, public_address=eni.public_ip, groups=groups
    )


def s3_endpoint_of(vpc_id: str) -> str | None:
    """The S3 gateway endpoint of a VPC."""
    for region in REGIONS:
        for endpoint in _gateway_endpoints(ec2(region)):
            if endpoint.vpc_id == vpc_id and endpoint.service_name.endswith(".s3"):
                return str(endpoint.id)
    return None


def instance_at(vpc_id: str, address: str) -> Any | None:
    """The instance with this private address in a VPC."""
    for region in REGIONS:
        for eni in ec2(region).enis.values():
            if eni.vpc_id == vpc_id and eni.private_ip_address == address and eni.instance is not None:
                return eni.instance
    return None
