"""An inventory of three zones, and the project's own packages copied to where they can be spoilt."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from rekindle.inventory import Inventory, parse

AZS = ("us-east-1a", "us-east-1b", "us-east-1c")
PROJECT = Path(__file__).resolve().parents[2]
VALUES = {
    "artifacts": "s3://upstream",
    "digests": dict.fromkeys(("kafka.tgz", "jre.tgz", "orders.tgz", "edge.tgz"), "d" * 64),
}


def host(name: str, role: str, az: str, address: str) -> dict[str, Any]:
    zone = {"private_agent": "private", "public_agent": "public"}.get(role, "admin")
    attributes = {"zone": az} if role.endswith("agent") else {}
    return {
        "name": name, "role": role, "pool": role, "zone": zone, "az": az,
        "private_ip": address, "attributes": attributes,
    }  # fmt: skip


def inventory_of(**changes: Any) -> Inventory:
    data: dict[str, Any] = {
        "environment": "dev",
        "region": "us-east-1",
        "cluster_name": "dev",
        "ssh": {"user": "admin"},
        "public_name": "orders.example.org",
        "hosts": [
            host("master-1", "master", AZS[0], "10.0.0.10"),
            host("public-1", "public_agent", AZS[0], "10.0.1.10"),
            *(host(f"private-{n}", "private_agent", az, f"10.0.2.1{n}") for n, az in enumerate(AZS, start=1)),
        ],
        "volumes": [
            {"name": f"kafka-{n}", "volume_id": f"vol-{n}", "az": az, "size_gib": 4, "service": "kafka"}
            for n, az in enumerate(AZS, start=1)
        ],
    }
    return parse({**data, **changes}, where="test")


@pytest.fixture
def inventory() -> Inventory:
    return inventory_of()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy of packages/ that a test may change."""
    return Path(shutil.copytree(PROJECT / "packages", tmp_path / "packages"))
