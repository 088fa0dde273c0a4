"""Apps, as a client of Marathon sees them."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Cluster, until
from .schemas import check_marathon

SERVER = "exec python3 -m http.server --bind $HOST $PORT0"
HEALTH = {"protocol": "HTTP", "path": "/", "intervalSeconds": 1, "gracePeriodSeconds": 5, "timeoutSeconds": 2}


def sleeper(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "cmd": "exec sleep 1000", "cpus": 0.1, "mem": 32, **more}


def hosts(app: dict[str, Any]) -> list[str]:
    return sorted(task["host"].rsplit(".", 1)[1] for task in app["tasks"])


def test_an_app_is_created_runs_and_is_removed(cluster: Cluster) -> None:
    answer = cluster.marathon("POST", "/v2/apps", json=sleeper("/born", instances=2))
    assert answer.status_code == 201
    assert answer.headers["location"].endswith("/v2/apps/born")
    assert answer.headers["marathon-deployment-id"] == answer.json()["deployments"][0]["id"]
    cluster.settled()
    app = cluster.app("/born")
    check_marathon(app, "app.App")
    check_marathon({"tasks": app["tasks"]}, "task.TaskList")
    assert (app["tasksRunning"], app["role"], app["acceptedResourceRoles"]) == (2, "slave_public", ["*"])
    assert cluster.marathon("POST", "/v2/apps", json=sleeper("/born")).status_code == 409
    removed = cluster.marathon("DELETE", "/v2/apps/born").json()
    check_marathon(removed, "deploymentResult.DeploymentResult")
    cluster.settled()
    missing = cluster.marathon("GET", "/v2/apps/born")
    assert (missing.status_code, missing.json()) == (404, {"message": "App '/born' does not exist"})


def test_a_rolling_upgrade_keeps_the_service_up(cluster: Cluster) -> None:
    app = {"id": "/rolling", "cmd": SERVER, "cpus": 0.1, "mem": 32, "instances": 2, "healthChecks": [HEALTH]}
    before = {task["id"] for task in cluster.deploy(app)["tasks"]}
    answer = cluster.marathon("PUT", "/v2/apps/rolling", json={"env": {"NEW": "1"}})
    check_marathon(answer.json(), "deploymentResult.DeploymentResult")
    least = 2
    while cluster.marathon("GET", "/v2/deployments").json():
        least = min(least, cluster.app("/rolling")["tasksHealthy"])
    after = cluster.app("/rolling")
    assert least >= 2
    assert not before & {task["id"] for task in after["tasks"]}
    assert after["env"] == {"NEW": "1"}
    assert after["cmd"] == SERVER
    cluster.marathon("DELETE", "/v2/apps/rolling")
    cluster.settled()


def test_put_merges_top_level_fields_unless_told_not_to(cluster: Cluster) -> None:
    cluster.deploy(sleeper("/merge", env={"A": "1"}, labels={"x": "y"}))
    cluster.marathon("PUT", "/v2/apps/merge", json={"env": {"B": "2"}})
    cluster.settled()
    assert (cluster.app("/merge")["env"], cluster.app("/merge")["labels"]) == ({"B": "2"}, {"x": "y"})
    first = cluster.marathon("GET", "/v2/apps/merge/versions").json()["versions"][-1]
    cluster.deploy(sleeper("/merge"))
    assert "env" not in cluster.app("/merge")
    cluster.marathon("PUT", "/v2/apps/merge", json={"version": first})
    cluster.settled()
    assert cluster.app("/merge")["env"] == {"A": "1"}
    cluster.marathon("DELETE", "/v2/apps/merge")
    cluster.settled()


@pytest.mark.parametrize(("constraint", "expected"), [
    (["hostname", "UNIQUE"], ["11", "12"]),
    (["zone", "IS", "z12"], ["12", "12"]),
    (["zone", "CLUSTER", "z11"], ["11", "11"]),
    (["zone", "LIKE", "z.2"], ["12", "12"]),
    (["zone", "UNLIKE", "z12"], ["11", "11"]),
    (["hostname", "GROUP_BY", "2"], ["11", "12"]),
    (["zone", "MAX_PER", "1"], ["11", "12"]),
])  # fmt: skip
def test_constraints_place_tasks(cluster: Cluster, constraint: list[str], expected: list[str]) -> None:
    assert hosts(cluster.deploy(sleeper("/placed", instances=2, constraints=[constraint]))) == expected
    cluster.marathon("DELETE", "/v2/apps/placed")
    cluster.settled()


def test_public_agents_take_only_who_asks(cluster: Cluster) -> None:
    assert hosts(cluster.deploy(sleeper("/edge", acceptedResourceRoles=["slave_public"]))) == ["21"]
    answer = cluster.marathon("POST", "/v2/apps", json=sleeper("/team/edge", acceptedResourceRoles=["slave_public"]))
    assert answer.status_code == 422
    cluster.marathon("DELETE", "/v2/apps/edge")
    cluster.settled()


def test_a_task_that_dies_is_started_again(cluster: Cluster) -> None:
    task = cluster.deploy(sleeper("/again"))["tasks"][0]["id"]
    assert cluster.marathon("DELETE", f"/v2/apps/again/tasks/{task}").status_code == 200

    def running() -> list[str]:
        return [one["id"] for one in cluster.app("/again")["tasks"] if one["state"] == "TASK_RUNNING"]

    until(lambda: running() not in ([task], []))
    cluster.marathon("DELETE", "/v2/apps/again")
    cluster.settled()


def test_a_deployment_that_waits_is_locked_explained_and_rolled_back(cluster: Cluster) -> None:
    cluster.marathon("POST", "/v2/apps", json=sleeper("/big", constraints=[["zone", "IS", "nowhere"]]))
    answer = cluster.marathon("PUT", "/v2/apps/big", json={"cpus": 0.2})
    assert answer.status_code == 409
    deployment = answer.json()["deployments"][0]["id"]
    until(lambda: cluster.marathon("GET", "/v2/queue").json()["queue"] != [])
    waiting = cluster.marathon("GET", "/v2/queue?embed=lastUnusedOffers").json()["queue"][0]
    declined = {one["reason"]: one["declined"] for one in waiting["processedOffersSummary"]["rejectSummaryLastOffers"]}
    assert (declined["UnfulfilledRole"], declined["UnfulfilledConstraint"]) == (1, 2)
    assert cluster.marathon("DELETE", f"/v2/deployments/{deployment}").status_code == 200
    cluster.settled()
    assert cluster.marathon("GET", "/v2/apps/big").status_code == 404


def test_dependencies_order_the_steps(cluster: Cluster) -> None:
    slow = sleeper("db", cmd=f"sleep 1; {SERVER}", healthChecks=[HEALTH])
    group = {"id": "/shop", "apps": [sleeper("web", dependencies=["/shop/db"]), slow]}
    assert cluster.marathon("POST", "/v2/groups", json=group).status_code == 201
    steps = cluster.marathon("GET", "/v2/deployments").json()[0]["steps"]
    assert [[action["app"] for action in step["actions"]] for step in steps][1:] == [["/shop/db"], ["/shop/web"]]
    cluster.settled()
    assert [app["role"] for app in cluster.marathon("GET", "/v2/groups/shop").json()["apps"]] == ["shop", "shop"]
    cycle = sleeper("/shop/db", dependencies=["/shop/web"])
    assert cluster.marathon("PUT", "/v2/apps/shop/db", json=cycle).status_code == 422
    cluster.marathon("DELETE", "/v2/groups/shop")
    cluster.settled()


@pytest.mark.parametrize(("change", "path"), [
    ({"id": "/Upper"}, "/id"), ({"cpus": "1"}, "/cpus"), ({"args": ["x"]}, "/"),
    ({"constraints": [["zone", "NEAR"]]}, "/constraints(0)"), ({"secrets": {"a": {"source": "b"}}}, "/secrets"),
    ({"instances": 2, "container": {"type": "MESOS", "volumes": [{"containerPath": "data", "mode": "RW", "external": {
        "name": "v", "provider": "dvdi", "options": {"dvdi/driver": "rexray"}}}]}}, "/container/volumes(0)/instances"),
])  # fmt: skip
def test_what_marathon_refuses_is_422_with_the_path(cluster: Cluster, change: dict[str, Any], path: str) -> None:
    answer = cluster.marathon("POST", "/v2/apps", json={**sleeper("/wrong"), **change})
    assert (answer.status_code, answer.json()["message"]) == (422, "Object is not valid")
    assert path in [detail["path"] for detail in answer.json()["details"]]


def test_what_is_no_call_is_500_and_what_is_not_built_501(cluster: Cluster) -> None:
    unknown = cluster.marathon("GET", "/v2/nonsense")
    assert (unknown.status_code, unknown.json()) == (500, {"message": "URI not found"})
    image = sleeper("/image", container={"type": "MESOS", "docker": {"image": "alpine"}})
    for answer in (cluster.marathon("GET", "/v2/pods"), cluster.marathon("POST", "/v2/apps", json=image)):
        assert (answer.status_code, "is not built" in answer.json()["message"]) == (501, True)
    broken = cluster.marathon("POST", "/v2/apps", content="{", headers={"Content-Type": "application/json"})
    assert (broken.status_code, broken.json()["message"]) == (400, "Invalid JSON")


def test_info_names_the_features_of_the_open_variant(cluster: Cluster) -> None:
    info = cluster.marathon("GET", "/v2/info").json()
    assert info["marathon_config"]["features"] == ["vips", "task_killing", "external_volumes", "gpu_resources"]
