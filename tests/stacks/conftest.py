"""The Pulumi program is a folder of its own: its modules are found as Pulumi finds them."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "stacks"))


@pytest.fixture(scope="session")
def dev() -> tuple[Any, dict[str, Any]]:
    """The environment that is up, and its inventory."""
    from program import declared

    return declared("dev")


@pytest.fixture(scope="session")
def standby() -> tuple[Any, dict[str, Any]]:
    """The recovery environment while it waits."""
    from program import declared

    return declared("dev-dr")


@pytest.fixture(scope="session")
def awake() -> tuple[Any, dict[str, Any]]:
    """The recovery environment once it took over, its volumes made from snapshots."""
    from program import RESTORED, declared

    return declared("dev-dr", **{"rekindle:standby": "false", "rekindle:restore": json.dumps(RESTORED)})


@pytest.fixture(scope="session")
def varied() -> tuple[Any, dict[str, Any]]:
    """dev, with all that the shipped values leave at its simplest."""
    from program import config, declared

    values = config("dev")["rekindle:environment"]
    values["network"] |= {"nat_gateways": "each_az", "admin_allowed_cidrs": ["198.51.100.0/24", "203.0.113.7/32"]}
    values["pools"]["private-agent"]["attributes"] = {"disks": "fast"}
    values["masters"]["count"] = 5
    return declared("dev", **{"rekindle:environment": values})


@pytest.fixture(scope="session")
def ground() -> tuple[Any, dict[str, Any]]:
    """The foundation, and its outputs."""
    from program import declared_foundation

    return declared_foundation()


@pytest.fixture(scope="session")
def switched_by_bucket() -> tuple[Any, dict[str, Any]]:
    """The foundation whose names an object moves."""
    from program import config, declared_foundation

    return declared_foundation(
        **{"rekindle:foundation": config("foundation")["rekindle:foundation"] | {"switch": "bucket"}}
    )
