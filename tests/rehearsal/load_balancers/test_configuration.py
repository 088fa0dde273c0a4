"""HAProxy's configuration from the ELB API's facts."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from rehearsal.load_balancers.configuration import (
    HealthCheck,
    Listener,
    LoadBalancer,
    Node,
    Target,
    TargetGroup,
    configuration,
)

GROUP = TargetGroup(
    arn="arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/edge/abc",
    health_check=HealthCheck(
        protocol="HTTP", port=9090, path="/_haproxy_health_check", interval=10, healthy=2, unhealthy=2
    ),
    targets=(
        Target(id="i-1", address="10.0.1.4", port=80, zone="us-east-1a"),
        Target(id="i-2", address="10.0.2.4", port=80, zone="us-east-1b"),
    ),
)
BALANCER = LoadBalancer(
    id="lb-1",
    nodes=(Node(zone="us-east-1a", address="10.0.1.5"), Node(zone="us-east-1b", address="10.0.2.5")),
    listeners=(Listener(port=80, group=GROUP),),
)


def servers(balancer: LoadBalancer) -> dict[str, list[str]]:
    """Server names by backend."""
    found: dict[str, list[str]] = {}
    for section in configuration(balancer, "/run/x.sock").split("backend ")[1:]:
        if section.startswith("group-"):
            lines = section.splitlines()
            found[lines[0]] = [line.split()[1] for line in lines if line.strip().startswith("server ")]
    return found


def test_a_node_serves_its_own_zone_unless_told_otherwise() -> None:
    assert servers(BALANCER) == {"group-abc-80-us-east-1a": ["i-1:80"], "group-abc-80-us-east-1b": ["i-2:80"]}
    both = ["i-1:80", "i-2:80"]
    assert servers(replace(BALANCER, cross_zone=True)) == dict.fromkeys(servers(BALANCER), both)


def test_checks_are_the_target_groups_own() -> None:
    text = configuration(BALANCER, "/run/x.sock")
    assert "option httpchk GET /_haproxy_health_check" in text
    assert "check port 9090 inter 10s fastinter 1s rise 2 fall 2" in text
    assert "source 10.0.1.5" in text


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="needs haproxy")
def test_haproxy_takes_it(tmp_path: Path) -> None:
    path = tmp_path / "haproxy.cfg"
    path.write_text(configuration(BALANCER, str(tmp_path / "s.sock")))
    done = subprocess.run(["haproxy", "-c", "-f", str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
