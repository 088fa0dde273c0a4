"""Load balancers get interfaces, addresses and a name of their own; target health is HAProxy's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.elbv2.models import ELBv2Backend, FakeHealthStatus, FakeTargetGroup

from rehearsal.load_balancers.configuration import (
    HealthCheck,
    Listener,
    LoadBalancer,
    Node,
    Target,
    TargetGroup,
    backend_prefix,
    server_name,
)
from rehearsal.region import cloud
from rehearsal.region.behaviour.addresses import free_public_address
from rehearsal.region.behaviour.replacing import replaces
from rehearsal.region.stage import REGIONS

_ZONES = {"us-east-1": "Z26RNL4JYFTOTI", "us-west-2": "Z18D5FSROUN65G"}
"""Hosted zone ids of network load balancers (AWS General Reference, Elastic Load Balancing endpoints)."""

Health = Callable[[str], dict[tuple[str, str], str]]
_REASONS = {
    "initial": ("Elb.RegistrationInProgress", "Target registration is in progress"),
    "unhealthy": ("Target.FailedHealthChecks", "Health checks failed"),
    "unused": ("Target.NotInUse", "Target group is not configured to receive traffic from the load balancer"),
}


def install(health: Health) -> None:
    _creation()
    _target_health(health)


def _creation() -> None:
    @replaces(ELBv2Backend, "create_load_balancer")
    def create(original: Callable[..., Any], self: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        mappings = {m["SubnetId"]: m for m in kwargs.get("subnet_mappings") or []}
        balancer = original(self, name, *args, **kwargs)
        short = balancer.arn.rsplit("/", 1)[-1]
        balancer.dns_name = f"{name}-{short}.elb.{self.region_name}.amazonaws.com"
        balancer.canonical_hosted_zone_id = _ZONES[self.region_name]
        balancer.interfaces = {s.id: _interface(self, balancer, s, mappings.get(s.id, {})) for s in balancer.subnets}
        return balancer

    @replaces(ELBv2Backend, "delete_load_balancer")
    def delete(original: Callable[..., Any], self: Any, arn: str) -> None:
        balancer = self.load_balancers.get(arn)
        original(self, arn)
        for eni in balancer.interfaces.values() if balancer is not None else ():
            _give_up(self.ec2_backend, eni)


def _interface(backend: Any, balancer: Any, subnet: Any, mapping: dict[str, Any]) -> Any:
    """The interface in one subnet, with the elastic address of its mapping or one of the balancer's own."""
    ec2 = backend.ec2_backend
    eni = ec2.create_network_interface(
        subnet,
        mapping.get("PrivateIPv4Address"),
        group_ids=list(balancer.security_groups or ()),
        description=f"ELB {balancer.arn.split(':loadbalancer/')[-1]}",
    )
    eni.requester_managed, eni.interface_type = True, "network_load_balancer"
    if mapping.get("AllocationId"):
        ec2.associate_address(eni=eni, allocation_id=mapping["AllocationId"])
    elif balancer.scheme != "internal":
        eni.public_ip = free_public_address(backend.region_name)
    return eni


def _give_up(ec2: Any, eni: Any) -> None:
    for address in ec2.addresses:
        if address.eni is eni:
            ec2.disassociate_address(address=address.public_ip)
    ec2.delete_network_interface(eni.id)


def _target_health(health: Health) -> None:
    @replaces(FakeTargetGroup, "health_for")
    def health_for(original: Callable[..., Any], self: Any, target: dict[str, Any], ec2_backend: Any) -> Any:
        status = original(self, target, ec2_backend)
        if status.status != "healthy":
            return status
        state = _state_of(self, status.instance_id, health)
        reason, description = _REASONS.get(state, (None, None))
        return FakeHealthStatus(status.instance_id, status.port, self.health_check_port, state, reason, description)


def _state_of(group: Any, target_id: str, health: Health) -> str:
    """The best state that any node of any balancer sees."""
    seen: set[str] = set()
    for balancer in described(group.region_name):
        for listener in balancer.listeners:
            if listener.group.arn == group.arn:
                states = health(balancer.id)
                names = {server_name(t) for t in listener.group.targets if t.id == target_id}
                seen |= {s for (b, n), s in states.items() if b.startswith(backend_prefix(listener)) and n in names}
                seen.add("initial" if not states else "unhealthy")
    return next((s for s in ("healthy", "initial", "unhealthy") if s in seen), "unused")


# -- what the API says, for HAProxy ------------------------------------------------------------


def described(region: str) -> list[LoadBalancer]:
    """Every load balancer of a region."""
    return [_described(region, balancer) for balancer in cloud.load_balancers(region)]


def _described(region: str, balancer: Any) -> LoadBalancer:
    listeners = (_listener(region, listener) for listener in balancer.listeners.values())
    return LoadBalancer(
        id=cloud.load_balancer_id(balancer),
        nodes=tuple(Node(zone=e.availability_zone, address=e.private_ip_address) for e in balancer.interfaces.values()),
        listeners=tuple(listener for listener in listeners if listener is not None),
        cross_zone=balancer.attrs.get("load_balancing.cross_zone.enabled") == "true",
    )


def _listener(region: str, listener: Any) -> Listener | None:
    arn = next((a for action in listener.default_actions if (a := _target_group_arn(action.data))), None)
    group = cloud.elbv2(region).target_groups.get(arn)
    return Listener(port=int(listener.port), group=_group(region, group)) if group is not None else None


def _target_group_arn(action: dict[str, Any]) -> str | None:
    forward = action.get("ForwardConfig", {}).get("TargetGroups") or [{}]
    found = action.get("TargetGroupArn") or forward[0].get("TargetGroupArn")
    return str(found) if found else None


def _group(region: str, group: Any) -> TargetGroup:
    port = str(group.health_check_port or "traffic-port")
    check = HealthCheck(
        protocol=str(group.health_check_protocol or "TCP"),
        port=int(port) if port.isdigit() else None,
        path=group.health_check_path or "/",
        interval=int(group.health_check_interval_seconds),
        healthy=int(group.healthy_threshold_count),
        unhealthy=int(group.unhealthy_threshold_count),
    )
    targets = (_target(region, t) for t in group.targets.values())
    return TargetGroup(arn=group.arn, health_check=check, targets=tuple(t for t in targets if t is not None))


def _target(region: str, target: dict[str, Any]) -> Target | None:
    instance = cloud.ec2(region).get_instance_by_id(target["Id"])
    if instance is None:
        return None
    return Target(id=target["Id"], address=instance.private_ip, port=int(target["Port"]), zone=instance.placement.zone)


def addresses(dns_name: str, health: Health) -> tuple[list[str], bool] | None:
    """Addresses behind a balancer's name, and whether any target is healthy; None: no such name.

    A node without a healthy target is left out, unless none has one (AWS fails open).
    """
    for region in REGIONS:
        for balancer, facts in zip(cloud.load_balancers(region), described(region), strict=True):
            if balancer.dns_name.lower() == dns_name:
                return _node_addresses(balancer, facts, health)
    return None


def _node_addresses(balancer: Any, facts: LoadBalancer, health: Health) -> tuple[list[str], bool]:
    states = health(facts.id)
    well = {_zone(b) for (b, _), s in states.items() if s == "healthy"}
    by_zone = {e.availability_zone: e.public_ip or e.private_ip_address for e in balancer.interfaces.values()}
    healthy = [address for zone, address in by_zone.items() if zone in well]
    return (healthy or list(by_zone.values()), bool(healthy))


def _zone(backend: str) -> str:
    """The zone at the end of a backend's name: `group-<name>-<port>-us-east-1a`."""
    return "-".join(backend.split("-")[-3:])
