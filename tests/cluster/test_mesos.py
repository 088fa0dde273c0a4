"""The Mesos master and agents, and what else reports the cluster's health."""

from __future__ import annotations

import pytest

from .conftest import Cluster, until


def test_three_agents_are_active(cluster: Cluster) -> None:
    slaves = cluster.client.get("/mesos/master/slaves").json()["slaves"]
    assert [slave["active"] for slave in slaves] == [True, True, True]
    public = next(slave for slave in slaves if slave["attributes"].get("public_ip") == "true")
    assert set(public["reserved_resources"]) == {"slave_public"}
    assert public["resources"]["ports"] == "[1-21, 23-5050, 5052-32000]"
    state = cluster.client.get(f"/agent/{public['id']}/slave%281%29/state")
    assert (state.status_code, state.json()["id"]) == (200, public["id"])


def test_the_gates_of_a_quorum(cluster: Cluster) -> None:
    status = cluster.client.get("/exhibitor/exhibitor/v1/cluster/status").json()
    assert [(one["description"], one["code"], one["isLeader"]) for one in status] == [("serving", 3, True)]
    metrics = cluster.client.get("/mesos/metrics/snapshot").json()
    assert (metrics["registrar/log/recovered"], metrics["master/elected"], metrics["master/slaves_active"]) == (1, 1, 3)
    units = cluster.client.get("/system/health/v1/units").json()["units"]
    assert units
    assert {unit["health"] for unit in units} == {0}
    nodes = cluster.client.get("/system/health/v1/nodes").json()["nodes"]
    assert sorted(node["role"] for node in nodes) == ["agent", "agent", "agent_public", "master"]


@pytest.mark.parametrize(
    "path", ["state", "state-summary", "frameworks", "tasks", "roles", "flags", "version", "health"]
)
def test_every_path_answers_with_and_without_master(cluster: Cluster, path: str) -> None:
    assert cluster.client.get(f"/mesos/{path}").status_code == 200
    assert cluster.client.get(f"/mesos/master/{path}").status_code == 200


def test_operator_calls(cluster: Cluster) -> None:
    agents = cluster.client.post("/mesos/api/v1", json={"type": "GET_AGENTS"}).json()["get_agents"]["agents"]
    assert len(agents) == 3
    drain = cluster.client.post("/mesos/api/v1", json={"type": "DRAIN_AGENT"})
    assert (drain.status_code, "DRAIN_AGENT" in drain.json()["message"]) == (501, True)
    assert cluster.client.post("/mesos/api/v1", json={"type": "NONSENSE"}).status_code == 400


def test_names_and_virtual_addresses_follow_a_task(cluster: Cluster) -> None:
    port = {"port": 0, "name": "http", "labels": {"VIP_0": "/named:80"}}
    cluster.deploy({"id": "/group/named", "cmd": "exec sleep 1000", "cpus": 0.1, "mem": 32, "portDefinitions": [port]})
    task = cluster.app("/group/named")["tasks"][0]
    hosts = cluster.client.get("/mesos_dns/v1/hosts/named-group.marathon.mesos")
    until(lambda: cluster.client.get(hosts.url.path).json()[0]["ip"] == task["host"])
    services = cluster.client.get("/mesos_dns/v1/services/_named-group._tcp.marathon.mesos").json()
    assert services[0]["port"] == str(task["ports"][0])
    cluster.marathon("DELETE", "/v2/apps/group/named")
    until(lambda: cluster.client.get(hosts.url.path).json() == [{"host": "", "ip": ""}])
