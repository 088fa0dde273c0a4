"""What a server fills in is no drift; what a person changed is."""

from typing import Any

import pytest
from fake_cluster import FakeCluster

from rekindle.dcos.app_definition import normal

APP: dict[str, Any] = {
    "id": "/orders",
    "cmd": "sleep 1",
    "instances": 2,
    "mem": 64.0,
    "fetch": [{"uri": "http://m/a.tgz"}],
    "portDefinitions": [{"port": 0, "name": "http", "labels": {"VIP_0": "/orders:80"}}],
    "healthChecks": [{"protocol": "MESOS_HTTP", "path": "/healthz", "intervalSeconds": 2}],
}


def test_what_marathon_fills_in_is_no_drift(cluster: FakeCluster) -> None:
    cluster.put("/orders", APP)
    assert normal(cluster.apps["/orders"]) == normal(APP)


@pytest.mark.parametrize(
    "change",
    [
        {"instances": 3},
        {"instances": 1},
        {"constraints": [["hostname", "UNIQUE"]]},
        {"env": {"A": "b"}},
        {"labels": {"A": "b"}},
        {"cpus": 0.5},
        {"user": "nobody"},
        {"upgradeStrategy": {"minimumHealthCapacity": 0, "maximumOverCapacity": 0}},
        {"acceptedResourceRoles": ["slave_public"]},
        {"networks": [{"mode": "container/bridge"}]},
        {"healthChecks": []},
        {"fetch": [{"uri": "http://m/b.tgz"}]},
        {"portDefinitions": [{"port": 0, "name": "http"}]},
        {"taskKillGracePeriodSeconds": 9},
    ],
)
def test_a_change_by_hand_is_drift(cluster: FakeCluster, change: dict[str, Any]) -> None:
    cluster.put("/orders", {**APP, **change})
    assert normal(cluster.apps["/orders"]) != normal(APP)


def test_numbers_have_one_spelling() -> None:
    assert repr(normal({"id": "a", "mem": 64.0})) == repr(normal({"id": "/a", "mem": 64}))


@pytest.mark.parametrize(
    ("port", "is_required", "is_kept"), [(0, False, False), (10007, False, False), (80, True, True)]
)
def test_only_a_chosen_port_counts(port: int, is_required: bool, is_kept: bool) -> None:
    app = {"id": "/a", "requirePorts": is_required, "portDefinitions": [{"port": port, "name": "web"}]}
    assert ("port" in normal(app)["portDefinitions"][0]) is is_kept


def test_apps_with_volumes_have_another_default_for_upgrades() -> None:
    volumes = {"volumes": [{"containerPath": "data", "external": {"name": "v", "provider": "dvdi"}}]}
    app = {
        "id": "/a",
        "container": volumes,
        "upgradeStrategy": {"minimumHealthCapacity": 0.5, "maximumOverCapacity": 0},
    }
    assert "upgradeStrategy" not in normal(app)
