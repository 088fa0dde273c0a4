"""Marathon's plans and the changes it takes: what it locks, refuses, orders and keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from rehearsal.cluster.marathon.app import App, with_defaults
from rehearsal.cluster.marathon.core import APPS, GROUPS, VERSIONS, Marathon, is_version
from rehearsal.cluster.marathon.errors import Refusal
from rehearsal.cluster.marathon.events import EventBus
from rehearsal.cluster.marathon.plan import CyclicDependencies, Plan, layered, steps
from rehearsal.cluster.marathon.scheduler import Scheduler
from rehearsal.cluster.settings import NodeSettings

from .test_scheduling import Mesos, instance

Json = dict[str, Any]
STOP, START, SCALE, RESTART = (f"{verb}Application" for verb in ("Stop", "Start", "Scale", "Restart"))


def document(name: str, **fields: Any) -> Json:
    full = with_defaults({"id": f"/{name}", "cmd": "run", **fields}, enforce_group_role=False)
    return {**full, "version": "v", "versionInfo": {"lastScalingAt": "v", "lastConfigChangeAt": "v"}}


def planned(before: Json, after: Json, **options: bool) -> list[list[tuple[str, str]]]:
    target = {name: after.get(name) for name in sorted(before.keys() | after.keys())}
    found = steps(before, target, {name: App(one) for name, one in after.items()}, **options)
    return [[(action.action, action.app) for action in step] for step in found]


def test_what_is_new_is_started_and_scaled_and_what_is_gone_stopped() -> None:
    before, after = {"/old": document("old")}, {"/b": document("b"), "/a": document("a")}
    assert planned(before, after) == [
        [(STOP, "/old")],
        [(START, "/a"), (START, "/b")],
        [(SCALE, "/a"), (SCALE, "/b")],
    ]


@pytest.mark.parametrize(
    ("change", "restart", "expected"),
    [
        ({}, False, []),
        ({"instances": 2}, False, [[(SCALE, "/a")]]),
        ({"cpus": 2}, False, [[(RESTART, "/a")]]),
        ({"cpus": 2, "instances": 2}, False, [[(RESTART, "/a")]]),
        ({}, True, [[(RESTART, "/a")]]),
        ({"labels": {"a": "b"}}, False, [[(RESTART, "/a")]]),
    ],
)
def test_a_change_restarts_unless_it_only_scales(change: Json, restart: bool, expected: Any) -> None:
    assert planned({"/a": document("a")}, {"/a": document("a", **change)}, restart=restart) == expected


def test_what_depends_comes_after_what_it_depends_on() -> None:
    after = {
        "/a": document("a", dependencies=["/db", "/shop"]),
        "/db": document("db"),
        "/shop/x": document("shop/x", dependencies=["/db"]),
        "/shopper": document("shopper"),
        "/z": document("z", dependencies=["/z"]),
    }
    assert layered({name: App(one) for name, one in after.items()}) == [["/db", "/shopper", "/z"], ["/shop/x"], ["/a"]]
    assert planned({}, after)[1:] == [
        [(SCALE, "/db"), (SCALE, "/shopper"), (SCALE, "/z")],
        [(SCALE, "/shop/x")],
        [(SCALE, "/a")],
    ]


def test_a_circle_of_dependencies_names_its_apps() -> None:
    apps = {"/a": ["/b"], "/b": ["/a"], "/c": []}
    with pytest.raises(CyclicDependencies, match=r"^/a → /b$"):
        layered({name: App(document(name[1:], dependencies=needs)) for name, needs in apps.items()})


def test_a_plan_locks_what_it_acts_on_and_what_it_leads_to() -> None:
    target = {"/b": document("b"), "/a": document("a"), "/c": None}
    made = steps({"/c": document("c"), "/b": document("b")}, target, {"/a": App(document("a"))})
    assert Plan(id="1", version="v", original={}, target=target, steps=made).affected == ["/a", "/b", "/c"]


# -- changes --------------------------------------------------------------------------------------------------


class Kept:
    """What is in ZooKeeper."""

    def __init__(self) -> None:
        self.kept: Json = {}

    async def read(self, path: str) -> Any:
        return self.kept.get(path)

    async def write(self, path: str, value: Any) -> None:
        self.kept[path] = value

    async def delete(self, path: str) -> None:
        self.kept.pop(path, None)

    async def children(self, path: str) -> list[str]:
        return sorted(name[len(path) + 1 :] for name in self.kept if name.startswith(f"{path}/"))

    async def documents(self, path: str) -> Json:
        return {name: self.kept[f"{path}/{name}"] for name in await self.children(path)}


class Leader(Marathon):
    """Marathon over a store that holds state, and a Mesos that launches nothing."""

    def __init__(self, kept: Kept | None = None, **settings: Any) -> None:
        self.kept = kept or Kept()
        given = NodeSettings(ip="10.0.0.1", role="master", cluster_name="c", masters=("10.0.0.1",), **settings)
        events = EventBus()
        made = Scheduler(Mesos(), self.kept, None, events)  # type: ignore[arg-type]
        super().__init__(given, self.kept, made, events)  # type: ignore[arg-type]

    async def made(self, name: str, **fields: Any) -> App:
        """An app whose deployment is over."""
        app, deployment = await self.create({"id": name, "cmd": "run", **fields}, force=False)
        await self.deployments.cancel(deployment)
        return app

    @property
    def killed(self) -> list[str]:
        return self.scheduler._mesos.killed  # type: ignore[attr-defined,no-any-return]


def on_leader(act: Callable[[Leader], Awaitable[None]], **settings: Any) -> None:
    async def run() -> None:
        await act(Leader(**settings))

    asyncio.run(run())


async def refused(asked: Awaitable[Any]) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await asked
    return caught.value


def test_an_app_is_kept_with_its_version_and_its_groups() -> None:
    async def act(leader: Leader) -> None:
        app, deployment = await leader.create({"id": "shop/front/web", "cmd": "run"}, force=False)
        assert (app.id, list(leader.apps)) == ("/shop/front/web", ["/shop/front/web"])
        assert leader.kept.kept[f"{APPS}/shop_front_web"] == app.document
        assert leader.kept.kept[f"{VERSIONS}/shop_front_web/{app.version}"] == app.document
        assert set(leader.kept.kept[GROUPS]) == {"/shop", "/shop/front"}
        assert list(leader.deployments.running) == [deployment]
        again = Leader(leader.kept)
        await again.load()
        assert (again.apps, again.groups) == (leader.apps, leader.groups)

    on_leader(act)


@pytest.mark.parametrize(
    ("body", "status", "path"),
    [
        ({"cmd": "run"}, 422, None),
        ([], 422, "/"),
        ({"id": "/there", "cmd": "run"}, 409, None),
        ({"id": "/new"}, 422, "/"),
        ({"id": "/new", "cmd": 1}, 422, "/cmd"),
        ({"id": "/new", "cmd": "run", "dependencies": ["/new/b"]}, 0, None),
        ({"id": "/new", "cmd": "run", "container": {"docker": {"image": "a"}}}, 501, None),
        ({"id": "/new", "cmd": "run", "networks": [{"mode": "container", "name": "dcos"}]}, 501, None),
    ],
)
def test_what_is_refused_changes_nothing(body: Any, status: int, path: str | None) -> None:
    async def act(leader: Leader) -> None:
        await leader.made("/there")
        before = dict(leader.kept.kept)
        if not status:
            await leader.create(body, force=False)
            return
        answer = await refused(leader.create(body, force=False))
        assert answer.status == status
        assert path is None or path in [one["path"] for one in answer.body["details"]]
        assert (leader.kept.kept, leader.deployments.running) == (before, {})

    on_leader(act)


def test_a_circle_is_refused_before_anything_is_kept() -> None:
    async def act(leader: Leader) -> None:
        await leader.made("/a", dependencies=["/b"])
        before = dict(leader.kept.kept)
        answer = await refused(leader.create({"id": "/b", "cmd": "run", "dependencies": ["/a"]}, force=False))
        assert (answer.status, answer.body["details"][0]["path"]) == (422, "/dependencies")
        assert (leader.kept.kept, "/b" in leader.apps) == (before, False)

    on_leader(act)


def test_a_locked_app_is_changed_by_force_only() -> None:
    async def act(leader: Leader) -> None:
        _, first = await leader.create({"id": "/a", "cmd": "run"}, force=False)
        answer = await refused(leader.update("/a", {"cpus": 2}, partial=True, force=False))
        assert (answer.status, answer.body["deployments"]) == (409, [{"id": first}])
        assert leader.app("/a").document["cpus"] == 1
        await leader.made("/free")
        _, _, second = await leader.update("/a", {"cpus": 2}, partial=True, force=True)
        assert (list(leader.deployments.running), leader.app("/a").document["cpus"]) == ([second], 2)

    on_leader(act)


@pytest.mark.parametrize(("partial", "env"), [(True, {"A": "1"}), (False, None)])
def test_a_change_keeps_the_rest_if_it_is_partial(partial: bool, env: Json | None) -> None:
    async def act(leader: Leader) -> None:
        await leader.made("/a", env={"A": "1"})
        created, version, _ = await leader.update("/a", {"id": "/a", "cmd": "other"}, partial=partial, force=False)
        kept = leader.app("/a").document
        assert (created, kept["cmd"], kept.get("env"), kept["version"]) == (False, "other", env, version)

    on_leader(act)


@pytest.mark.parametrize(
    ("before", "change", "gone"),
    [
        ({"cmd": "run"}, {"args": ["a"]}, "cmd"),
        ({"cmd": None, "args": ["a"]}, {"cmd": "run"}, "args"),
        ({"fetch": [{"uri": "http://a"}]}, {"uris": ["http://b"]}, "uris"),
    ],
)
def test_a_field_that_another_supersedes_is_dropped(before: Json, change: Json, gone: str) -> None:
    async def act(leader: Leader) -> None:
        await leader.made("/a", **before)
        await leader.update("/a", change, partial=True, force=False)
        kept = leader.app("/a").document
        assert gone not in kept
        assert [one["uri"] for one in kept.get("fetch", [])] == change.get("uris", [])

    on_leader(act)


def test_another_id_than_the_paths_is_refused_and_a_relative_one_taken() -> None:
    async def act(leader: Leader) -> None:
        await leader.made("/g/a")
        assert (await refused(leader.update("/g/a", {"id": "/g/b"}, partial=True, force=False))).status == 422
        await leader.update("/g/a", {"id": "a", "cpus": 2}, partial=True, force=False)
        assert leader.app("/g/a").document["cpus"] == 2

    on_leader(act)


def test_an_earlier_version_comes_back_as_a_new_one() -> None:
    async def act(leader: Leader) -> None:
        first = await leader.made("/a", cpus=1)
        _, _, deployment = await leader.update("/a", {"cpus": 2}, partial=True, force=False)
        await leader.deployments.cancel(deployment)
        _, third, _ = await leader.update("/a", {"version": first.version}, partial=True, force=False)
        assert (leader.app("/a").document["cpus"], leader.app("/a").version) == (1, third)
        found = await leader.versions("/a")
        assert (found[0], found[-1], len(found)) == (third, first.version, 3)
        missing = leader.update("/a", {"version": "2020-01-01T00:00:00.000Z"}, partial=True, force=True)
        assert (await refused(missing)).status == 404

    on_leader(act)


@pytest.mark.parametrize(
    ("change", "scaled", "configured"),
    [({"instances": 2}, True, False), ({"cpus": 2}, False, True), ({}, False, False)],
)
def test_an_app_says_when_it_was_scaled_and_when_configured(change: Json, scaled: bool, configured: bool) -> None:
    async def act(leader: Leader) -> None:
        first = await leader.made("/a")
        _, version, _ = await leader.update("/a", change, partial=True, force=False)
        assert version > first.version
        assert leader.app("/a").document["versionInfo"] == {
            "lastScalingAt": version if scaled else first.version,
            "lastConfigChangeAt": version if configured else first.version,
        }

    on_leader(act)


def test_a_restart_is_a_new_configuration() -> None:
    async def act(leader: Leader) -> None:
        first = await leader.made("/a")
        version, deployment = await leader.restart("/a", force=False)
        assert leader.app("/a").config_version == version > first.version
        (step,) = leader.deployments.running[deployment].plan.steps
        assert [(action.action, action.app) for action in step] == [(RESTART, "/a")]
        assert (await refused(leader.restart("/none", force=False))).status == 404

    on_leader(act)


def test_a_deleted_app_is_gone_and_its_versions_stay() -> None:
    async def act(leader: Leader) -> None:
        first = await leader.made("/a")
        await leader.made("/b")
        _, deployment = await leader.delete("/a", force=False)
        assert (list(leader.apps), f"{APPS}/a" in leader.kept.kept) == (["/b"], False)
        assert leader.deployments.running[deployment].plan.original == {"/a": first.document}
        for asked in (leader.delete("/a", force=True), leader.delete("/none", force=True)):
            assert (await refused(asked)).status == 404

    on_leader(act)


@pytest.mark.parametrize("partial", [True, False])
def test_many_are_changed_in_one_deployment(partial: bool) -> None:
    async def act(leader: Leader) -> None:
        await leader.made("/a", env={"A": "1"})
        bodies = [{"id": "/a", "cmd": "x"}, {"id": "b", "cmd": "y"}]
        version, deployment = await leader.update_many(bodies, partial=partial, force=False)
        assert {app.version for app in leader.apps.values()} == {version}
        assert set(leader.apps) == {"/a", "/b"} == set(leader.deployments.running[deployment].plan.affected)
        assert ("env" in leader.app("/a").document) == partial

    on_leader(act)


def test_service_ports_are_free_and_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rehearsal.cluster.marathon.core.SERVICE_PORTS", range(10000, 10003))

    async def act(leader: Leader) -> None:
        def ports(name: str) -> list[int]:
            return [one["port"] for one in leader.app(name).document["portDefinitions"]]

        await leader.made("/a", portDefinitions=[{"port": 0}, {"port": 0}])
        await leader.made("/b")
        assert sorted(ports("/a") + ports("/b")) == [10000, 10001, 10002]
        before = ports("/a")
        again = {"portDefinitions": [{"port": 0}, {"port": 0}], "cpus": 2}
        await leader.update("/a", again, partial=True, force=False)
        assert ports("/a") == before
        await leader.made("/c", portDefinitions=[{"port": 80}])
        await leader.made("/d", portDefinitions=[{"port": 0}], requirePorts=True)
        assert (ports("/c"), ports("/d")) == ([80], [0])

    on_leader(act)


def test_versions_only_rise() -> None:
    async def act(leader: Leader) -> None:
        found = [leader.new_version() for _ in range(50)]
        assert found == sorted(set(found))
        assert all(map(is_version, found))
        assert not is_version("yesterday")

    on_leader(act)


def test_a_deployment_is_undone_by_another_or_just_stopped() -> None:
    async def act(leader: Leader) -> None:
        first = await leader.made("/a")
        bodies = [{"id": "/a", "cpus": 2}, {"id": "/new", "cmd": "run"}]
        _, deployment = await leader.update_many(bodies, partial=True, force=False)
        undone = await leader.roll_back(deployment, force=False)
        assert undone is not None
        version, undoing = undone
        assert (list(leader.deployments.running), list(leader.apps)) == ([undoing], ["/a"])
        assert leader.app("/a").document == {**first.document, "version": version}
        assert await leader.roll_back(undoing, force=True) is None
        assert (leader.deployments.running, list(leader.apps)) == ({}, ["/a"])
        assert (await refused(leader.roll_back(undoing, force=True))).status == 404

    on_leader(act)


# -- groups ---------------------------------------------------------------------------------------------------


def test_a_group_is_made_once_with_all_in_it() -> None:
    async def act(leader: Leader) -> None:
        inner = {"id": "inner", "apps": [{"id": "c", "cmd": "run"}]}
        body = {"id": "/g", "apps": [{"id": "a", "cmd": "run"}], "groups": [inner], "dependencies": ["other"]}
        await leader.create_group(body, force=False)
        assert (set(leader.apps), set(leader.groups)) == ({"/g/a", "/g/inner/c"}, {"/g", "/g/inner"})
        assert leader.groups["/g"]["dependencies"] == ["/other"]
        assert leader.app("/g/inner/c").role == "g"
        assert (await refused(leader.create_group(body, force=True))).status == 409
        await leader.create_group(body, force=True, update=True)
        assert (await refused(leader.create_group({"id": "/p", "pods": [{}]}, force=True))).status == 501
        assert "/p" not in leader.groups

    on_leader(act)


def test_a_deleted_group_takes_all_in_it_and_nothing_beside_it() -> None:
    async def act(leader: Leader) -> None:
        for name in ("/g/a", "/g/inner/c", "/gg/a"):
            await leader.made(name)
        await leader.delete_group("/g", force=False)
        assert (set(leader.apps), set(leader.groups), set(leader.kept.kept[GROUPS])) == ({"/gg/a"}, {"/gg"}, {"/gg"})
        assert (await refused(leader.delete_group("/g", force=True))).status == 404

    on_leader(act)


# -- tasks ----------------------------------------------------------------------------------------------------


def with_tasks(leader: Leader, *names: str) -> list[str]:
    made = [instance(number, app_id=name, task_id=f"t{number}") for number, name in enumerate(names, 1)]
    leader.scheduler.instances = {one.task_id: one for one in made}
    return [one.task_id for one in made]


def test_tasks_are_killed_and_come_again() -> None:
    async def act(leader: Leader) -> None:
        await leader.made("/a", instances=2)
        with_tasks(leader, "/a", "/a")
        chosen = await leader.kill_tasks(lambda one: one.task_id == "t2", scale=False, wipe=False, force=False)
        assert ([one.task_id for one in chosen], leader.killed) == (["t2"], ["t2"])
        assert (leader.app("/a").instances, leader.deployments.running) == (2, {})

    on_leader(act)


def test_tasks_are_killed_for_good_with_scale() -> None:
    async def act(leader: Leader) -> None:
        await leader.made("/a", instances=3)
        await leader.made("/b", instances=1)
        with_tasks(leader, "/a", "/a", "/b", "/b")
        version, deployment = await leader.kill_tasks(
            lambda one: one.task_id != "t1", scale=True, wipe=False, force=False
        )
        assert leader.killed == ["t2", "t3", "t4"]
        assert [leader.app(name).instances for name in ("/a", "/b")] == [2, 0]
        assert (leader.app("/a").version, list(leader.deployments.running)) == (version, [deployment])

    on_leader(act)


def test_a_refused_kill_kills_nothing() -> None:
    async def act(leader: Leader) -> None:
        await leader.create({"id": "/a", "cmd": "run"}, force=False)
        with_tasks(leader, "/a")
        both = leader.kill_tasks(lambda one: True, scale=True, wipe=True, force=True)
        assert (await refused(both)).status == 400
        locked = leader.kill_tasks(lambda one: True, scale=True, wipe=False, force=False)
        assert (await refused(locked)).status == 409
        assert leader.killed == []

    on_leader(act)
