"""A network load balancer as HAProxy configuration: a pure function of what the ELB API says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class HealthCheck:
    """How a target group asks its targets."""

    protocol: str
    """"TCP", "HTTP" or "HTTPS"."""
    port: int | None = None
    """None: the port that traffic goes to."""
    path: str = "/"
    interval: int = 30
    """Seconds."""
    healthy: int = 3
    unhealthy: int = 3


@dataclass(frozen=True, kw_only=True)
class Target:
    id: str
    address: str
    port: int
    zone: str


@dataclass(frozen=True, kw_only=True)
class TargetGroup:
    arn: str
    health_check: HealthCheck
    targets: tuple[Target, ...] = ()

    @property
    def name(self) -> str:
        return self.arn.rsplit("/", 1)[-1]


@dataclass(frozen=True, kw_only=True)
class Node:
    """The balancer's interface in one availability zone."""

    zone: str
    address: str


@dataclass(frozen=True, kw_only=True)
class Listener:
    port: int
    group: TargetGroup


@dataclass(frozen=True, kw_only=True)
class LoadBalancer:
    id: str
    nodes: tuple[Node, ...]
    listeners: tuple[Listener, ...] = ()
    cross_zone: bool = False
    """Off, a node serves the targets of its own zone only."""
    idle_seconds: int = 350

    def targets_of(self, node: Node, group: TargetGroup) -> tuple[Target, ...]:
        return tuple(t for t in group.targets if self.cross_zone or t.zone == node.zone)


def configuration(balancer: LoadBalancer, stats_socket: str) -> str:
    """The whole haproxy.cfg."""
    sections = [_head(balancer, stats_socket)]
    for listener in balancer.listeners:
        for node in balancer.nodes:
            sections.append(_frontend(listener, node))
            sections.append(_backend(balancer, listener, node))
    return "\n".join(sections)


def server_name(target: Target) -> str:
    """A server's name in HAProxy's statistics."""
    return f"{target.id}:{target.port}"


def backend_prefix(listener: Listener) -> str:
    return f"group-{listener.group.name}-{listener.port}-"


def _head(balancer: LoadBalancer, stats_socket: str) -> str:
    return f"""global
    maxconn 4000
    no strict-limits
    stats socket {stats_socket} mode 600 level admin
defaults
    mode tcp
    balance random
    option redispatch
    timeout connect 5s
    timeout check 5s
    timeout client {balancer.idle_seconds}s
    timeout server {balancer.idle_seconds}s
"""


def _frontend(listener: Listener, node: Node) -> str:
    return f"""frontend listener-{listener.port}-{node.zone}
    bind {node.address}:{listener.port}
    default_backend {backend_prefix(listener)}{node.zone}
"""


def _backend(balancer: LoadBalancer, listener: Listener, node: Node) -> str:
    check = listener.group.health_check
    lines = [f"backend {backend_prefix(listener)}{node.zone}", f"    source {node.address}"]
    if check.protocol in {"HTTP", "HTTPS"}:
        lines.append(f"    option httpchk GET {check.path}")
        lines.append("    http-check expect status 200-399")
    lines += [f"    {_server(target, check)}" for target in balancer.targets_of(node, listener.group)]
    return "\n".join(lines) + "\n"


def _server(target: Target, check: HealthCheck) -> str:
    tls = " check-ssl verify none" if check.protocol == "HTTPS" else ""
    port = f" port {check.port}" if check.port else ""
    return (
        f"server {server_name(target)} {target.address}:{target.port} check{port}{tls}"
        f" inter {check.interval}s fastinter 1s rise {check.healthy} fall {check.unhealthy}"
    )
