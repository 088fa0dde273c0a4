"""Apps, packages, repositories and their gates: what drivers make of a cluster, and what they read back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fake_cluster import FakeCluster

from rekindle import drivers
from rekindle.dcos import ApiError
from rekindle.drivers.app import AppDriver
from rekindle.drivers.attempts import attempt_all
from rekindle.drivers.health import Gate, HealthDriver
from rekindle.drivers.package import Initialise, PackageDriver, with_option, without
from rekindle.drivers.repository import RepositoryDriver
from rekindle.errors import GateFailed, Incomplete, RekindleError
from rekindle.plan import State, Step, digest

WEB = {"id": "/web", "cmd": "sleep 1", "instances": 2}


@dataclass
class Package:
    """A version of a package whose app says with which options it was rendered."""

    name: str
    version: str

    def app(self, options: dict[str, Any], app_id: str) -> dict[str, Any]:
        command = f"{self.name} {self.version}"
        return {"id": app_id, "cmd": command, "env": {"OPTIONS": repr(options)}, "healthChecks": [{}]}


@pytest.fixture
def cluster(cluster: FakeCluster) -> FakeCluster:
    cluster.packages = {("kafka", v): Package("kafka", v) for v in ("1", "2")}  # type: ignore[misc]
    return cluster


def installed(version: str = "1", instances: int = 1, **options: Any) -> State:
    return {"package": "kafka", "version": version, "options": options, "instances": instances}


def change(subject: str, before: State | None, after: State | None) -> Step:
    return Step(target="marathon", subject=subject, before=before, after=after)


def packages(cluster: FakeCluster, once: Initialise | None = None, gate_seconds: float = 10.0) -> PackageDriver:
    initialise = {"/k": once} if once else {}
    return PackageDriver(cluster.client(), initialise, gate_seconds, now=lambda: 1000.9)


def changes(cluster: FakeCluster) -> list[str]:
    """What was asked of the cluster that may change it."""
    asked = [line for line in cluster.log if line.startswith(("PUT", "DELETE", "POST"))]
    return [line for line in asked if not line.endswith(("/login", "/list"))]


# Several calls, one of which fails


def fails(what: str, next_step: str = "") -> Callable[[], None]:
    def call() -> None:
        raise RekindleError(what, where="there", next_step=next_step)

    return call


def test_one_failure_stops_no_other_call_and_is_raised_as_it_is() -> None:
    done: list[int] = []
    with pytest.raises(RekindleError, match=r"^there: broken$") as caught:
        attempt_all([fails("broken"), lambda: done.append(1), lambda: done.append(2)])
    assert type(caught.value) is RekindleError
    assert done == [1, 2]
    attempt_all([lambda: done.append(3)])
    assert done == [1, 2, 3]


def test_several_failures_are_named_together_and_each_advice_once() -> None:
    with pytest.raises(Incomplete) as caught:
        attempt_all([fails("one", "Mend it."), fails("two", "Mend it."), fails("three", "Or that.")])
    assert (caught.value.what, caught.value.where) == ("one; two; three", "there")
    assert caught.value.next_step == "Mend it.\nOr that."


def test_what_is_no_error_of_ours_is_a_defect_and_ends_at_once() -> None:
    done: list[int] = []
    with pytest.raises(ZeroDivisionError):
        attempt_all([lambda: done.append(1 // 0), lambda: done.append(2)])
    assert done == []


# Apps


def test_an_app_is_made_changed_and_removed_and_read_back(cluster: FakeCluster) -> None:
    driver = AppDriver(cluster.client().marathon)
    absent = driver.read("marathon", ["app:/web", "app:/other"])
    assert absent == {"app:/web": None, "app:/other": None}
    driver.write("marathon", [change("app:/web", None, WEB), change("app:/other", None, {**WEB, "id": "/other"})])
    made = driver.read("marathon", ["app:/web", "app:/other"])
    assert [(state or {})["instances"] for state in made.values()] == [2, 2]
    assert made["app:/web"] == driver.state("/web", WEB)
    driver.write("marathon", [change("app:/web", WEB, {**WEB, "instances": 3}), change("app:/other", WEB, None)])
    assert set(cluster.apps) == {"/web"}
    assert cluster.apps["/web"]["instances"] == 3


def test_a_removed_app_is_gone_before_the_driver_ends(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    marathon = cluster.client().marathon
    AppDriver(marathon).write("marathon", [change("app:/web", None, WEB)])
    monkeypatch.setattr(drivers.app, "REMOVE_SECONDS", 5.0)
    monkeypatch.setattr(marathon, "delete", lambda app_id: None)  # taken, and never done
    with pytest.raises(GateFailed, match="/web was not removed in 5 s"):
        AppDriver(marathon).write("marathon", [change("app:/web", WEB, None)])


# Packages


def test_a_package_is_installed_with_its_options_and_read_back(cluster: FakeCluster) -> None:
    driver = packages(cluster)
    driver.write("marathon", [change("package:/k", None, installed(heap=1))])
    assert driver.read("marathon", ["package:/k", "package:/other"]) == {
        "package:/k": installed(heap=1),
        "package:/other": None,
    }


def test_an_app_that_no_package_made_is_no_package(cluster: FakeCluster) -> None:
    cluster.put("/k", {"id": "/k", "cmd": "x", "labels": {"DCOS_PACKAGE_VERSION": "1"}})
    assert packages(cluster).read("marathon", ["package:/k"]) == {"package:/k": None}


@pytest.mark.parametrize(("is_allowed", "given"), [(True, {"data": {"init": 1060}, "x": 1}), (False, {"x": 1})])
def test_empty_data_is_begun_with_only_where_it_may_and_that_is_no_drift(
    cluster: FakeCluster, is_allowed: bool, given: dict[str, Any]
) -> None:
    driver = packages(cluster, Initialise("data.init", 60, is_allowed))
    driver.write("marathon", [change("package:/k", None, installed(x=1))])
    assert cluster.apps["/k"]["env"]["OPTIONS"] == repr({k: given[k] for k in sorted(given, reverse=True)})
    assert driver.read("marathon", ["package:/k"]) == {"package:/k": installed(x=1)}


@pytest.mark.parametrize(("kind", "is_raised"), [("PackageAlreadyInstalled", False), ("PackageNotFound", True)])
def test_an_installation_whose_answer_was_lost_is_done_and_no_other_error_is(
    cluster: FakeCluster, kind: str, is_raised: bool
) -> None:
    cluster.client().marathon.apps()  # logged in
    cluster.failing = [httpx.Response(409, json={"type": kind, "message": "said"})]
    step = change("package:/k", None, installed())
    if is_raised:
        with pytest.raises(ApiError, match="said"):
            packages(cluster).write("marathon", [step])
    else:
        packages(cluster).write("marathon", [step])


@pytest.mark.parametrize(
    ("after", "asked"),
    [
        (installed(heap=2), ["POST /cosmos/service/update"]),
        (installed("2", heap=2), ["POST /package/render", "PUT /service/marathon/v2/apps/k"]),
        (installed("1", 3, heap=1), ["POST /package/render", "PUT /service/marathon/v2/apps/k"]),
    ],
)
def test_options_change_through_cosmos_and_all_else_through_marathon(
    cluster: FakeCluster, after: State, asked: list[str]
) -> None:
    driver = packages(cluster)
    driver.write("marathon", [change("package:/k", None, installed(heap=1))])
    cluster.log.clear()
    driver.write("marathon", [change("package:/k", installed(heap=1), after)])
    assert changes(cluster) == asked
    assert driver.read("marathon", ["package:/k"]) == {"package:/k": after}


def test_options_that_cosmos_takes_not_now_are_put_to_marathon(cluster: FakeCluster) -> None:
    driver = packages(cluster)
    driver.write("marathon", [change("package:/k", None, installed(heap=1))])
    cluster.locked = {"d": {"/k"}}
    driver.write("marathon", [change("package:/k", installed(heap=1), installed(heap=2))])
    assert driver.read("marathon", ["package:/k"]) == {"package:/k": installed(heap=2)}


def test_what_cosmos_refuses_otherwise_is_no_reason_to_go_round_it(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = packages(cluster)
    driver.write("marathon", [change("package:/k", None, installed(heap=1))])

    def refused(body: dict[str, Any]) -> httpx.Response:
        return httpx.Response(400, json={"type": "JsonSchemaMismatch", "message": "heap is no number"})

    monkeypatch.setattr(cluster, "_cosmos_service_update", refused)
    with pytest.raises(ApiError, match="heap is no number"):
        driver.write("marathon", [change("package:/k", installed(heap=1), installed(heap="x"))])
    assert driver.read("marathon", ["package:/k"]) == {"package:/k": installed(heap=1)}


def test_a_change_waits_until_it_is_up(cluster: FakeCluster) -> None:
    driver = packages(cluster)
    driver.write("marathon", [change("package:/k", None, installed())])
    cluster.unhealthy = {"/k"}
    began = cluster.now
    with pytest.raises(GateFailed, match="/k is not up after 10 s"):
        driver.write("marathon", [change("package:/k", installed(), installed("1", 2))])
    assert cluster.now >= began + 10


@pytest.mark.parametrize(
    ("other", "waits"), [({"DCOS_PACKAGE_NAME": "kafka"}, True), ({"DCOS_PACKAGE_NAME": "other"}, False), ({}, False)]
)
def test_a_change_begins_only_when_its_siblings_are_up(
    cluster: FakeCluster, other: dict[str, str], waits: bool
) -> None:
    driver = packages(cluster)
    driver.write("marathon", [change("package:/k", None, installed())])
    cluster.put("/k-2", {"id": "/k-2", "cmd": "x", "healthChecks": [{}], "labels": other})
    cluster.unhealthy = {"/k-2"}
    step = change("package:/k", installed(), installed("2"))
    if waits:
        with pytest.raises(GateFailed, match="/k-2 is not up"):
            driver.write("marathon", [step])
    else:
        driver.write("marathon", [step])
    assert (cluster.apps["/k"]["labels"]["DCOS_PACKAGE_VERSION"] == "1") is waits


def test_what_is_new_is_installed_before_anything_changes_and_one_failure_stops_no_other(cluster: FakeCluster) -> None:
    driver = packages(cluster)
    driver.write("marathon", [change("package:/k", None, installed())])
    cluster.log.clear()
    steps = [
        change("package:/k", installed(), installed("2")),
        change("package:/new", None, installed()),
        change("package:/gone", installed(), None),
    ]
    cluster.put("/gone", {"id": "/gone", "cmd": "x"})
    driver.write("marathon", steps)
    assert set(cluster.apps) == {"/k", "/new"}
    assert cluster.log.index("deploy /new") < cluster.log.index("deploy /k")


def test_what_nobody_installed_is_not_uninstalled(cluster: FakeCluster) -> None:
    packages(cluster).write("marathon", [change("package:/k", None, None)])
    assert changes(cluster) == []


def test_an_uninstalled_package_is_gone_before_the_driver_ends(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = packages(cluster)
    driver.write("marathon", [change("package:/k", None, installed())])
    monkeypatch.setattr(drivers.package, "REMOVE_SECONDS", 5.0)
    monkeypatch.setattr(cluster.client().cosmos, "uninstall", lambda name, app_id: None)
    with pytest.raises(GateFailed, match="/k was not removed in 5 s"):
        driver.write("marathon", [change("package:/k", installed(), None)])


@pytest.mark.parametrize(
    ("options", "dotted", "left"),
    [
        ({"a": 1, "b": 2}, "a", {"b": 2}),
        ({"a": {"b": 1, "c": 2}}, "a.b", {"a": {"c": 2}}),
        ({"a": {"b": 1}, "c": 2}, "a.b", {"c": 2}),
        ({"a": {"b": 1}}, "a", {}),
        ({"c": 2}, "a.b", {"c": 2}),
    ],
)
def test_an_option_is_taken_out_with_the_mapping_that_it_leaves_empty(
    options: dict[str, Any], dotted: str, left: dict[str, Any]
) -> None:
    assert without(options, dotted) == left


@pytest.mark.parametrize(
    ("options", "dotted", "made"),
    [
        ({"b": 2}, "a", {"a": 9, "b": 2}),
        ({"a": {"c": 2}}, "a.b", {"a": {"b": 9, "c": 2}}),
        ({}, "a.b.c", {"a": {"b": {"c": 9}}}),
    ],
)
def test_an_option_is_set_beside_the_others(options: dict[str, Any], dotted: str, made: dict[str, Any]) -> None:
    assert with_option(options, dotted, 9) == made


# Repositories


def test_repositories_come_move_and_go_and_those_of_others_stay(cluster: FakeCluster) -> None:
    cluster.repositories = [{"name": "others", "uri": "http://o"}]
    driver = RepositoryDriver(cluster.client().cosmos)
    subjects = ["repository:ours", "repository:second"]
    states: list[State] = [{"uri": "http://1"}, {"uri": "http://2"}]
    assert driver.read("cosmos", subjects) == dict.fromkeys(subjects)
    driver.write("cosmos", [change(subject, None, state) for subject, state in zip(subjects, states, strict=True)])
    assert driver.read("cosmos", subjects) == dict(zip(subjects, states, strict=True))
    driver.write("cosmos", [change(subjects[0], states[0], {"uri": "http://3"}), change(subjects[1], states[1], None)])
    assert driver.read("cosmos", subjects) == {subjects[0]: {"uri": "http://3"}, subjects[1]: None}
    assert {"name": "others", "uri": "http://o"} in cluster.repositories


# Gates


def health(cluster: FakeCluster, state: State, *ids: str) -> HealthDriver:
    gates = {f"health:{i}": Gate(f"app:{i}", digest(state), 10.0) for i in ids or ["/web"]}
    return HealthDriver(cluster.client().marathon, {"app": lambda app_id, app: app and {"cmd": app["cmd"]}}, gates)


@pytest.mark.parametrize(
    ("app", "is_up"),
    [
        ({"cmd": "x"}, True),
        ({"cmd": "another"}, False),
        ({"cmd": "x", "healthChecks": [{}]}, False),
        (None, False),
    ],
)
def test_a_gate_is_passed_by_what_is_declared_when_it_is_up(
    cluster: FakeCluster, app: dict[str, Any] | None, is_up: bool
) -> None:
    if app:
        cluster.put("/web", app)
    cluster.unhealthy = {"/web"}
    state: State = {"cmd": "x"}
    expected = {"up": digest(state)} if is_up else None
    assert health(cluster, state).read("marathon", ["health:/web"]) == {"health:/web": expected}


def test_every_gate_is_waited_for_and_says_which_did_not_open(cluster: FakeCluster) -> None:
    for app_id in ("/web", "/b"):
        cluster.put(app_id, {"cmd": "x", "healthChecks": [{}]})
    driver = health(cluster, {"cmd": "x"}, "/web", "/b")
    driver.write("marathon", [change("health:/web", None, {"up": "1"}), change("health:/b", None, {"up": "1"})])
    cluster.unhealthy = {"/b"}
    with pytest.raises(GateFailed, match="/b is not up after 10 s"):
        driver.write("marathon", [change("health:/web", None, {"up": "1"}), change("health:/b", None, {"up": "1"})])
    driver.write("marathon", [change("health:/b", {"up": "1"}, None)])
