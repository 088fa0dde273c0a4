"""What drivers of the cluster do when it answers otherwise; the cluster is in memory."""

from typing import Any

import httpx
import pytest
from fake_cluster import FakeCluster

from rekindle.dcos import ApiError
from rekindle.drivers.app import AppDriver
from rekindle.drivers.package import Initialise, PackageDriver, with_option, without
from rekindle.drivers.repository import RepositoryDriver
from rekindle.errors import GateFailed
from rekindle.plan import State, Step

KAFKA: State = {"package": "kafka", "version": "1", "options": {"heap": 1}, "instances": 1}


class Rendered:
    """A package that renders to one command, with its options in the environment."""

    name, version = "kafka", "1"

    def app(self, options: dict[str, Any], app_id: str) -> dict[str, Any]:
        return {"id": app_id, "cmd": "x", "instances": 1, "env": {"OPTIONS": str(options)}}


@pytest.fixture
def cluster() -> FakeCluster:
    found = FakeCluster()
    found.packages["kafka", "1"] = found.packages["kafka", "2"] = Rendered()  # type: ignore[assignment]
    return found


def packages(cluster: FakeCluster, **initialise: Initialise) -> PackageDriver:
    return PackageDriver(cluster.client(), initialise, 1.0, now=lambda: 1000.0)


def step(app_id: str, before: State | None, after: State | None, kind: str = "package") -> Step:
    return Step(target="marathon", subject=f"{kind}:{app_id}", before=before, after=after)


def refused(kind: str, status: int) -> httpx.Response:
    return httpx.Response(status, json={"type": kind, "message": "no"})


def test_only_an_installation_that_is_there_already_is_no_failure(cluster: FakeCluster) -> None:
    driver = packages(cluster)
    driver.write("marathon", [step("/a", None, KAFKA)])
    driver.write("marathon", [step("/a", None, KAFKA)])
    cluster._package_install = lambda body: refused("PackageNotFound", 400)  # type: ignore[method-assign]
    with pytest.raises(ApiError, match="400"):
        driver.write("marathon", [step("/b", None, KAFKA)])


def test_options_that_cosmos_refuses_are_not_put_to_marathon(cluster: FakeCluster) -> None:
    driver = packages(cluster)
    driver.write("marathon", [step("/a", None, KAFKA)])
    cluster._cosmos_service_update = lambda body: refused("JsonSchemaMismatch", 400)  # type: ignore[method-assign]
    with pytest.raises(ApiError, match="400"):
        driver.write("marathon", [step("/a", KAFKA, {**KAFKA, "options": {"heap": 2}})])
    assert not [line for line in cluster.log if line.startswith("PUT")]


@pytest.mark.parametrize(
    ("change", "goes_through"),
    [
        ({"options": {"heap": 2}}, "POST /cosmos/service/update"),
        ({"version": "2"}, "PUT /service/marathon/v2/apps/a"),
        ({"instances": 2}, "PUT /service/marathon/v2/apps/a"),
        ({"options": {"heap": 2}, "instances": 2}, "PUT /service/marathon/v2/apps/a"),
    ],
)
def test_options_alone_go_through_cosmos(cluster: FakeCluster, change: dict[str, Any], goes_through: str) -> None:
    driver = packages(cluster)
    driver.write("marathon", [step("/a", None, KAFKA)])
    driver.write("marathon", [step("/a", KAFKA, {**KAFKA, **change})])
    changes = {"POST /cosmos/service/update", "PUT /service/marathon/v2/apps/a"}
    assert [line for line in cluster.log if line in changes] == [goes_through]
    assert cluster.apps["/a"]["instances"] == change.get("instances", 1)


def test_what_is_new_is_installed_before_what_runs_is_changed(cluster: FakeCluster) -> None:
    driver = packages(cluster)
    driver.write("marathon", [step("/a", None, KAFKA)])
    start = len(cluster.log)
    driver.write("marathon", [step("/a", KAFKA, {**KAFKA, "options": {}}), step("/b", None, KAFKA)])
    assert [line for line in cluster.log[start:] if line.startswith("deploy")] == ["deploy /b", "deploy /a"]


@pytest.mark.parametrize(("is_allowed", "until"), [(True, 1900), (False, None)])
def test_the_option_of_a_first_installation_is_given_once_and_is_no_state(
    cluster: FakeCluster, is_allowed: bool, until: int | None
) -> None:
    driver = packages(cluster, **{"/a": Initialise("volume.until", 900, is_allowed)})
    driver.write("marathon", [step("/a", None, KAFKA)])
    options = {"heap": 1} if until is None else {"heap": 1, "volume": {"until": until}}
    assert cluster.apps["/a"]["env"]["OPTIONS"] == str(options)
    assert driver.read("marathon", ["package:/a"]) == {"package:/a": KAFKA}


@pytest.mark.parametrize(
    ("options", "dotted", "rest"),
    [
        ({"a": {"b": 1}}, "a.b", {}),
        ({"a": {"b": 1, "c": 2}}, "a.b", {"a": {"c": 2}}),
        ({"a": 1}, "a", {}),
        ({"a": {"b": {"c": 1}}, "d": 1}, "a.b.c", {"d": 1}),
        ({"d": 1}, "a.b", {"d": 1}),
    ],
)
def test_an_option_is_taken_out_whole(options: dict[str, Any], dotted: str, rest: dict[str, Any]) -> None:
    assert without(options, dotted) == rest
    assert without(with_option(options, dotted, 5), dotted) == rest


class Lingering:
    """An app that is still there for some looks after it was deleted."""

    def __init__(self, cluster: FakeCluster, looks: int) -> None:
        self.cluster, self.looks, self.through = cluster, looks, cluster._apps
        cluster._apps = self.answer  # type: ignore[method-assign]

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.method == "DELETE":
            return httpx.Response(200, json={"deploymentId": "d"})
        if request.url.path.endswith("/apps/a") and self.looks:
            self.looks -= 1
        elif not self.looks:
            self.cluster.apps.pop("/a", None)
        return self.through(request)


def test_an_app_is_removed_when_it_is_gone(cluster: FakeCluster) -> None:
    cluster.put("/a", {"id": "/a", "cmd": "x"})
    lingering = Lingering(cluster, 3)
    driver = AppDriver(cluster.client().marathon)
    driver.write("marathon", [step("/a", {"id": "/a"}, None, "app")])
    assert lingering.looks == 0
    assert driver.read("marathon", ["app:/a"]) == {"app:/a": None}


@pytest.mark.parametrize("kind", ["app", "package"])
def test_an_app_that_stays_is_an_error(cluster: FakeCluster, kind: str) -> None:
    cluster.put("/a", {"id": "/a", "cmd": "x"})
    Lingering(cluster, 10_000)
    cluster._package_uninstall = lambda body: httpx.Response(200, json={})  # type: ignore[method-assign]
    driver = AppDriver(cluster.client().marathon) if kind == "app" else packages(cluster)
    with pytest.raises(GateFailed, match="/a was not removed"):
        driver.write("marathon", [step("/a", KAFKA, None, kind)])


def test_a_repository_is_moved_removed_and_added(cluster: FakeCluster) -> None:
    driver = RepositoryDriver(cluster.client().cosmos)
    for before, after in [(None, "http://1"), ("http://1", "http://2"), ("http://2", None)]:
        change = [{"uri": uri} if uri else None for uri in (before, after)]
        driver.write("cosmos", [step("a", *change, "repository")])
        assert driver.read("cosmos", ["repository:a"]) == {"repository:a": change[1]}
