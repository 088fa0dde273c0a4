"""What a server fills in is no drift; what a person changed is."""

from typing import Any

import pytest
from fake_cluster import FakeCluster

from rekindle.dcos.app_definition import external_volumes, has_volumes, normal

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
    ("port", "is_required", "is_kept"),
    [
        (0, False, False),
        (10000, False, False),
        (10007, False, False),
        (20000, False, False),
        (20001, False, True),
        (9999, False, True),
        (80, True, True),
        (10007, True, True),
        (0, True, True),
    ],
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


@pytest.mark.parametrize(
    ("app", "spelt_otherwise"),
    [
        ({"id": "/a", "container": {"volumes": [{"containerPath": "d", "mode": "RW", "external": {"name": "v"}}]}},)
        * 2,
        (
            {"id": "/a", "role": "*", "acceptedResourceRoles": ["*"], "networks": [{"mode": "host"}]},
            {"id": "a/"},
        ),
        ({"id": "/a", "constraints": None, "env": {}, "container": None}, {"id": "/a"}),
        ({"id": "/a", "healthChecks": [{"path": "/", "portIndex": 0}]}, {"id": "/a", "healthChecks": [{}]}),
        ({"id": "/a", "fetch": [{"uri": "u", "cache": False}]}, {"id": "/a", "fetch": [{"uri": "u"}]}),
        (
            {"id": "/a", "container": {"type": "MESOS", "docker": {"image": "i"}}},
            {"id": "/a", "container": {"docker": {"image": "i", "privileged": False}}},
        ),
        ({"id": "/a", "tasksRunning": 3, "version": "v", "uris": []}, {"id": "/a"}),
    ],
)
def test_two_spellings_of_one_app_are_one(app: dict[str, Any], spelt_otherwise: dict[str, Any]) -> None:
    assert normal(app) == normal(spelt_otherwise)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"role": "mine"}, {}),
        ({"fetch": [{"uri": "u", "cache": True}]}, {"fetch": [{"uri": "u"}]}),
        ({"healthChecks": [{"path": "/a"}]}, {"healthChecks": [{"path": "/"}]}),
        ({"healthChecks": [{"intervalSeconds": 2}]}, {"healthChecks": [{}]}),
        (
            {"container": {"volumes": [{"containerPath": "d", "mode": "RO"}]}},
            {"container": {"volumes": [{"containerPath": "d"}]}},
        ),
        ({"container": {"docker": {"image": "a"}}}, {"container": {"docker": {"image": "b"}}}),
        ({"upgradeStrategy": {"minimumHealthCapacity": 0.5, "maximumOverCapacity": 0}}, {}),
        ({"dependencies": ["/b"]}, {}),
    ],
)
def test_two_apps_are_two(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert normal({"id": "/a", **one}) != normal({"id": "/a", **other})


def test_external_volumes_are_known_by_name_and_no_other_counts() -> None:
    kinds = [{"external": {"name": "v"}}, {"persistent": {"size": 1}}, {"hostPath": "/x"}, {"external": {"name": "w"}}]
    app = {"container": {"volumes": [{"containerPath": "d", **kind} for kind in kinds]}}
    assert external_volumes(app) == ("v", "w")
    assert [has_volumes({"container": {"volumes": [kind]}}) for kind in kinds] == [True, True, False, True]
    assert not has_volumes({})
