"""Marathon's rules as pure decisions: what counts as serving, who is killed, what may run where, what is refused."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from rehearsal.cluster.marathon import matching
from rehearsal.cluster.marathon.app import App, with_defaults
from rehearsal.cluster.marathon.deployments import Deployments
from rehearsal.cluster.marathon.events import EventBus
from rehearsal.cluster.marathon.instances import Instance
from rehearsal.cluster.marathon.matching import Offer, match
from rehearsal.cluster.marathon.plan import Action, Plan
from rehearsal.cluster.marathon.scheduler import Backoff, Scheduler
from rehearsal.cluster.marathon.validation import problems
from rehearsal.cluster.mesos.master import AgentRecord
from rehearsal.cluster.mesos.resources import Resources

CHECK = {"protocol": "HTTP", "path": "/"}
READY = {"portName": "http", "intervalSeconds": 10, "timeoutSeconds": 5}
PORT = {"port": 0, "name": "http"}


def document(**fields: Any) -> dict[str, Any]:
    return with_defaults({"id": "/shop/web", "cmd": "run", **fields}, enforce_group_role=False)


def app(version: str = "v1", **fields: Any) -> App:
    return App({**document(**fields), "version": version, "versionInfo": {"lastConfigChangeAt": version}})


def instance(number: int = 1, **fields: Any) -> Instance:
    given = {
        "task_id": f"shop_web.instance-{number}._app.1", "app_id": "/shop/web", "version": "v1", "config_version": "v1",
        "agent_id": "S1", "host": "10.0.0.1", "ports": [1025], "role": "slave_public", "staged_at": float(number),
        "resources": {}, "state": "TASK_RUNNING",
    }  # fmt: skip
    return Instance(**{**given, **fields})


@dataclass
class Mesos:
    """The master, as far as a framework sees it."""

    agents: dict[str, AgentRecord] = field(default_factory=dict)
    killed: list[str] = field(default_factory=list)
    taken: dict[str, Resources] = field(default_factory=dict)
    launched: list[Any] = field(default_factory=list)

    def kill(self, task_id: str) -> None:
        self.killed.append(task_id)

    def used(self, agent_id: str) -> Resources:
        return self.taken.get(agent_id, Resources())

    def spawn(self, work: Any) -> None:
        self.launched.append(work)
        work.close()


class Store:
    """What is kept in ZooKeeper."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}

    async def write(self, path: str, document: Any) -> None:
        self.kept[path] = document

    async def delete(self, path: str) -> None:
        self.kept.pop(path, None)


def scheduler(*apps: App, instances: tuple[Instance, ...] = ()) -> Scheduler:
    made = Scheduler(Mesos(), Store(), None, EventBus())  # type: ignore[arg-type]
    made.apps = {one.id: one for one in apps}
    made.instances = {one.task_id: one for one in instances}
    return made


def killed(made: Scheduler) -> list[str]:
    return [name.split("-")[1].split(".")[0] for name in made._mesos.killed]  # type: ignore[attr-defined]


# -- who serves ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "seen", "serves"),
    [
        ({}, {}, True),
        ({}, {"state": "TASK_STAGING"}, False),
        ({}, {"state": "TASK_KILLING"}, False),
        ({}, {"state": "TASK_UNREACHABLE"}, False),
        ({"healthChecks": [CHECK]}, {"healthy": True}, True),
        ({"healthChecks": [CHECK]}, {"healthy": False}, False),
        ({"healthChecks": [CHECK]}, {"healthy": None}, False),
        ({"readinessChecks": [READY], "portDefinitions": [PORT]}, {"is_ready": True}, True),
        ({"readinessChecks": [READY], "portDefinitions": [PORT]}, {"is_ready": False}, False),
        ({"readinessChecks": [READY], "portDefinitions": [PORT], "healthChecks": [CHECK]}, {"is_ready": True}, False),
    ],
)
def test_what_serves_runs_and_is_healthy_and_ready(fields: dict[str, Any], seen: dict[str, Any], serves: bool) -> None:
    one = instance(**seen)
    assert scheduler(app(**fields), instances=(one,)).is_serving(one) is serves


def test_an_instance_of_an_app_that_is_gone_serves_nobody() -> None:
    assert not scheduler().is_serving(instance())


def test_what_is_killed_or_given_up_does_not_count() -> None:
    patient = app(unreachableStrategy={"inactiveAfterSeconds": 1e9, "expungeAfterSeconds": 2e9})
    gone = {"state": "TASK_UNREACHABLE", "unreachable_since": 1.0}
    one, two, three = instance(1), instance(2, is_killing=True), instance(3, **gone)
    assert scheduler(app(), instances=(one, two, three)).active("/shop/web") == [one]
    late = replace(three, unreachable_since=4e9)
    assert scheduler(patient, instances=(one, two, late)).active("/shop/web") == [one, late]


def test_only_the_present_configuration_is_current() -> None:
    made = scheduler(app("v2"))
    assert (made.is_current(instance(config_version="v2")), made.is_current(instance())) == (True, False)


# -- who is killed -------------------------------------------------------------------------------


@pytest.mark.parametrize(("selection", "order"), [("YOUNGEST_FIRST", [3, 2, 1]), ("OLDEST_FIRST", [1, 2, 3])])
def test_those_go_first_whom_the_app_selects(selection: str, order: list[int]) -> None:
    made = scheduler(app(killSelection=selection))
    ordered = made.kill_order(made.apps["/shop/web"], [instance(n) for n in (2, 1, 3)])
    assert [int(one.staged_at) for one in ordered] == order


def test_what_does_not_serve_goes_before_what_does() -> None:
    made = scheduler(app(healthChecks=[CHECK]))
    ordered = made.kill_order(made.apps["/shop/web"], [instance(3, healthy=True), instance(1, healthy=False)])
    assert [int(one.staged_at) for one in ordered] == [1, 3]


def test_one_too_many_is_killed_once() -> None:
    made = scheduler(app(instances=1), instances=(instance(1), instance(2)))
    made._schedule()
    made._schedule()
    assert killed(made) == ["2"]


def test_instances_of_an_app_that_is_gone_are_killed() -> None:
    made = scheduler(instances=(instance(1),))
    made._schedule()
    assert killed(made) == ["1"]


def test_an_unreachable_one_is_forgotten_when_its_time_is_over() -> None:
    async def seen(expunge: float) -> set[str]:
        one = instance(state="TASK_UNREACHABLE", unreachable_since=1.0)
        strategy = {"inactiveAfterSeconds": 0, "expungeAfterSeconds": expunge}
        made = scheduler(app(instances=0, unreachableStrategy=strategy), instances=(one,))
        made._end_unreachable(1000.0)
        return set(made.instances)

    assert asyncio.run(seen(999)) == set()
    assert asyncio.run(seen(1000)) == {instance().task_id}


# -- failures ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "is_killing", "delay"),
    [
        ("TASK_FAILED", False, 1),
        ("TASK_FINISHED", False, 1),
        ("TASK_GONE", False, 1),
        ("TASK_KILLED", False, None),
        ("TASK_FAILED", True, None),
    ],
)
def test_an_app_whose_instance_failed_waits_before_the_next(state: str, is_killing: bool, delay: float | None) -> None:
    made = scheduler(app(), instances=(instance(is_killing=is_killing),))
    task = type("Task", (), {"id": instance().task_id})()
    made.status_update(task, {"state": state, "timestamp": 2.0, "message": "m"})
    backoff = made.backoffs.get("/shop/web")
    assert (backoff.delay if backoff else None) == delay
    assert made.instances == {}
    assert ("/shop/web" in made.failures) is (delay is not None)


def test_it_waits_longer_each_time_up_to_its_limit() -> None:
    made = scheduler(app(backoffSeconds=2, backoffFactor=3, maxLaunchDelaySeconds=10))
    delays = []
    for number in (1, 2, 3):
        made.instances = {instance(number).task_id: instance(number)}
        task = type("Task", (), {"id": instance(number).task_id})()
        made.status_update(task, {"state": "TASK_FAILED", "timestamp": 2.0})
        delays.append(made.backoffs["/shop/web"].delay)
    assert delays == [2, 6, 10]


def test_while_it_waits_nothing_is_launched() -> None:
    made = scheduler(app())
    made._mesos.agents = {"S1": agent()}
    made.backoffs["/shop/web"] = Backoff(delay=1, until=4e9)
    made._converge(made.apps["/shop/web"], 1.0)
    assert (made.instances, made.queue["/shop/web"].count) == ({}, 1)
    made.backoffs["/shop/web"] = Backoff(delay=1, until=1.0)
    made._converge(made.apps["/shop/web"], 1.0)
    assert (len(made.instances), made.queue) == (1, {})


# -- where ---------------------------------------------------------------------------------------


def agent(number: int = 1, **fields: Any) -> AgentRecord:
    given = {
        "id": f"S{number}", "hostname": f"10.0.0.{number}", "port": 5051, "attributes": {"zone": f"z{number}"},
        "resources": Resources(cpus=4, mem=1024, disk=1000, ports=((1025, 1030),)), "role": "*", "version": "1.11",
        "registered_at": 0.0,
    }  # fmt: skip
    return AgentRecord(**{**given, **fields})


def offered(number: int = 1, used_ports: tuple[int, ...] = (), **free: Any) -> Offer:
    has = Resources(**{"cpus": 4, "mem": 1024, "disk": 1000, **free})
    return Offer(agent=agent(number), free=has, used_ports=frozenset(used_ports))


@pytest.mark.parametrize(
    ("wanted", "reasons"),
    [
        ({"cpus": 4, "mem": 1024, "disk": 1000}, ()),
        ({"cpus": 4.1}, ("InsufficientCpus",)),
        ({"mem": 1025}, ("InsufficientMemory",)),
        ({"disk": 1001}, ("InsufficientDisk",)),
        ({"gpus": 1}, ("InsufficientGpus",)),
        ({"acceptedResourceRoles": ["slave_public"]}, ("UnfulfilledRole",)),
        ({"portDefinitions": [{"port": 0}] * 7}, ("InsufficientPorts",)),
        ({"portDefinitions": [{"port": 0}] * 6}, ()),
        ({"portDefinitions": [{"port": 1025}], "requirePorts": True}, ()),
        ({"portDefinitions": [{"port": 1031}], "requirePorts": True}, ("InsufficientPorts",)),
        ({"constraints": [["zone", "IS", "z2"]], "cpus": 5}, ("UnfulfilledConstraint", "InsufficientCpus")),
    ],
)
def test_an_offer_fits_or_says_why_not(wanted: dict[str, Any], reasons: tuple[str, ...]) -> None:
    found = match(app(**wanted), offered(), [])
    assert found.reasons == reasons
    assert (found.ports is None) is bool(reasons)


def test_a_port_that_is_taken_is_given_to_nobody_else() -> None:
    one = app(portDefinitions=[{"port": 1025}], requirePorts=True)
    assert match(one, offered(used_ports=(1025,)), []).reasons == ("InsufficientPorts",)
    both = app(portDefinitions=[{"port": 1025}, {"port": 0}], requirePorts=True)
    given = match(both, offered(used_ports=(1026, 1027, 1028, 1029)), []).ports
    assert given == [1025, 1030]
    free = match(app(portDefinitions=[{"port": 0}] * 2), offered(used_ports=(1025, 1026, 1027, 1028)), []).ports
    assert free is not None
    assert sorted(free) == [1029, 1030]


@pytest.mark.parametrize(
    ("constraint", "others", "fits"),
    [
        (["hostname", "UNIQUE"], [], True),
        (["hostname", "UNIQUE"], [2], True),
        (["hostname", "UNIQUE"], [1], False),
        (["zone", "CLUSTER", "z1"], [2], True),
        (["zone", "CLUSTER", "z2"], [], False),
        (["zone", "CLUSTER"], [], True),
        (["zone", "CLUSTER"], [1], True),
        (["zone", "CLUSTER"], [2], False),
        (["zone", "GROUP_BY"], [2], True),
        (["zone", "GROUP_BY"], [1], True),
        (["zone", "GROUP_BY"], [1, 1, 2], False),
        (["zone", "GROUP_BY", "2"], [2], True),
        (["zone", "GROUP_BY", "2"], [1], False),
        (["zone", "GROUP_BY", "2"], [1, 2], True),
        (["zone", "GROUP_BY", "2"], [1, 1, 2], False),
        (["zone", "LIKE", "z[0-9]"], [], True),
        (["zone", "LIKE", "z"], [], False),
        (["zone", "UNLIKE", "z[0-9]"], [], False),
        (["zone", "UNLIKE", "y"], [], True),
        (["zone", "MAX_PER", "2"], [1], True),
        (["zone", "MAX_PER", "2"], [1, 1], False),
        (["zone", "IS", "z1"], [], True),
        (["zone", "IS", "z2"], [], False),
        (["absent", "UNLIKE", "y"], [], True),
        (["absent", "LIKE", ".*"], [], False),
        (["@hostname", "IS", "10.0.0.1"], [], True),
    ],
)
def test_a_constraint_over_one_agent_given_where_the_others_are(
    constraint: list[str], others: list[int], fits: bool
) -> None:
    siblings = [(instance(number), agent(number)) for number in others]
    assert (match(app(constraints=[constraint]), offered(), siblings).reasons == ()) is fits


def test_offers_are_counted_by_the_first_reason() -> None:
    found = matching.summary([
        matching.Match(ports=None, reasons=("UnfulfilledRole", "InsufficientCpus")),
        matching.Match(ports=None, reasons=("InsufficientCpus",)),
        matching.Match(ports=[]),
    ])  # fmt: skip
    by = {one["reason"]: (one["declined"], one["processed"]) for one in found}
    assert (by["UnfulfilledRole"], by["UnfulfilledConstraint"], by["InsufficientCpus"]) == ((1, 3), (0, 2), (1, 2))


def test_the_agent_that_has_most_free_is_taken_and_one_that_is_away_is_not() -> None:
    made = scheduler(app())
    made._mesos.agents = {"S1": agent(1), "S2": agent(2), "S3": agent(3, is_reachable=False)}
    made._mesos.taken = {"S1": Resources(cpus=1), "S2": Resources(cpus=0.5)}
    made._converge(made.apps["/shop/web"], 1.0)
    assert [one.agent_id for one in made.instances.values()] == ["S2"]


def test_ports_that_tasks_hold_are_not_offered() -> None:
    made = scheduler(app(portDefinitions=[{"port": 1025}], requirePorts=True))
    made._mesos.agents = {"S1": agent(1)}
    made._mesos.taken = {"S1": Resources(ports=((1025, 1025),))}
    made._converge(made.apps["/shop/web"], 1.0)
    assert (made.instances, made.queue["/shop/web"].unused) == ({}, 1)


# -- what is refused -----------------------------------------------------------------------------

VOLUME = {"mode": "RW", "containerPath": "data"}


def external(name: str, **more: Any) -> dict[str, Any]:
    options = {"dvdi/driver": "rexray"}
    return {**VOLUME, "external": {"name": name, "provider": "dvdi", "options": options, **more}}


def with_volume(name: str, *, id: str = "/shop/web", **more: Any) -> dict[str, Any]:
    return document(id=id, container={"volumes": [external(name, **more)]})


@pytest.mark.parametrize(
    ("mine", "others", "is_refused"),
    [
        (with_volume("kafka-1"), [], False),
        (with_volume("kafka-1"), [with_volume("kafka-1", id="/other")], True),
        (with_volume("kafka-1"), [with_volume("kafka-2", id="/other")], False),
        (with_volume("kafka-1"), [with_volume("kafka-1")], False),  # its own former version
        (with_volume("kafka-1", shared=True), [with_volume("kafka-1", id="/other", shared=True)], False),
        (with_volume("kafka-1"), [document(id="/other")], False),
    ],
)
def test_two_apps_never_take_one_volume(mine: dict[str, Any], others: list[dict[str, Any]], is_refused: bool) -> None:
    """Marathon's ExternalVolumes validation of a root group: names are unique over all apps."""
    found = problems(mine, others, enforce_group_role=False)
    assert [path for path, _ in found] == (["/container/volumes"] if is_refused else [])


VOLUMES = "/container/volumes(0)"


@pytest.mark.parametrize(
    ("fields", "paths"),
    [
        ({}, []),
        ({"id": "/Shop"}, ["/id"]),
        ({"id": "/shop/restart"}, ["/id"]),
        ({"cmd": None}, ["/"]),
        ({"args": ["a"]}, ["/"]),
        ({"cmd": None, "args": ["a"]}, []),
        ({"cmd": None, "container": {"docker": {"image": "i"}}}, []),
        ({"constraints": [["zone", "NEAR"]]}, ["/constraints(0)"]),
        ({"constraints": [["zone", "UNIQUE", "1"]]}, ["/constraints(0)"]),
        ({"constraints": [["zone", "GROUP_BY", "x"]]}, ["/constraints(0)"]),
        ({"constraints": [["zone", "GROUP_BY"]]}, []),
        ({"constraints": [["zone", "MAX_PER"]]}, ["/constraints(0)"]),
        ({"constraints": [["zone", "MAX_PER", "2"]]}, []),
        ({"constraints": [["zone", "LIKE"]]}, ["/constraints(0)"]),
        ({"constraints": [["zone", "LIKE", "["]]}, ["/constraints(0)"]),
        ({"constraints": [["zone", "UNLIKE", "a.*"]]}, []),
        ({"constraints": [["zone", "IS", "a b"]]}, ["/constraints(0)"]),
        ({"constraints": [["zone", "IS", "us-east-1a"]]}, []),
        ({"healthChecks": [{"protocol": "COMMAND"}]}, ["/healthChecks(0)"]),
        ({"healthChecks": [{"protocol": "COMMAND", "command": {"value": "true"}}]}, []),
        ({"healthChecks": [{"protocol": "MESOS_HTTP"}, {"protocol": "MESOS_TCP"}]}, ["/healthChecks"]),
        ({"healthChecks": [{"protocol": "HTTP", "portIndex": 1}]}, ["/healthChecks(0)"]),
        ({"healthChecks": [{"protocol": "HTTP", "portIndex": 0}]}, []),
        ({"portDefinitions": [PORT], "readinessChecks": [READY]}, []),
        ({"portDefinitions": [PORT], "readinessChecks": [READY | {"timeoutSeconds": 10}]},
         ["/readinessChecks(0)/timeoutSeconds"]),
        ({"portDefinitions": [{"port": 0}], "readinessChecks": [READY]}, ["/readinessChecks(0)/portName"]),
        ({"portDefinitions": [PORT, PORT]}, ["/portDefinitions"]),
        ({"portDefinitions": [{"port": 80}, {"port": 80}]}, ["/portDefinitions"]),
        ({"portDefinitions": [{"port": 0}, {"port": 0}]}, []),
        ({"container": {"portMappings": [{"containerPort": 80}]}}, ["/container/portMappings"]),
        ({"networks": [{"mode": "container/bridge"}], "portDefinitions": [PORT]}, ["/portDefinitions"]),
        ({"secrets": {"a": {"source": "b"}}}, ["/secrets"]),
        ({"env": {"A": {"secret": "a"}}}, ["/env(A)"]),
        ({"container": {"volumes": [{"containerPath": "a", "secret": "b"}]}}, [VOLUMES]),
        ({"labels": {"MARATHON_SINGLE_INSTANCE_APP": "true"}, "instances": 2}, ["/instances"]),
        ({"labels": {"MARATHON_SINGLE_INSTANCE_APP": "true"}}, []),
        ({"labels": {"MARATHON_SINGLE_INSTANCE_APP": "true"}, "upgradeStrategy": {"minimumHealthCapacity": 1}},
         ["/upgradeStrategy"]),
        ({"container": {"volumes": [external("a_b")]}}, [f"{VOLUMES}/external/name"]),
        ({"container": {"volumes": [external("a", provider="ebs")]}}, [f"{VOLUMES}/external/provider"]),
        ({"container": {"volumes": [external("a", options={})]}}, [f"{VOLUMES}/external/options"]),
        ({"container": {"volumes": [external("a")]}, "instances": 2}, [f"{VOLUMES}/instances"]),
        ({"container": {"volumes": [external("a", shared=True)]}, "instances": 2}, []),
        ({"container": {"volumes": [external("a") | {"mode": "RO"}]}}, [f"{VOLUMES}/mode"]),
        ({"container": {"volumes": [external("a") | {"containerPath": "/a"}]}}, [f"{VOLUMES}/containerPath"]),
        ({"container": {"docker": {"image": "i"}, "volumes": [external("a", size=4)]}}, [f"{VOLUMES}/external/size"]),
        ({"container": {"volumes": [external("a", size=4)]}}, []),
        ({"unreachableStrategy": {"inactiveAfterSeconds": 2, "expungeAfterSeconds": 1}}, ["/unreachableStrategy"]),
        ({"unreachableStrategy": {"inactiveAfterSeconds": 1, "expungeAfterSeconds": 1}}, []),
        ({"acceptedResourceRoles": []}, ["/acceptedResourceRoles"]),
        ({"acceptedResourceRoles": ["other"]}, ["/acceptedResourceRoles"]),
        ({"acceptedResourceRoles": ["*", "slave_public"]}, []),
    ],
)  # fmt: skip
def test_each_rule_names_what_breaks_it(fields: dict[str, Any], paths: list[str]) -> None:
    asked = {"id": "/shop/web", "cmd": "run", **fields}
    filled = with_defaults({k: v for k, v in asked.items() if v is not None}, enforce_group_role=False)
    assert [path for path, _ in problems(filled, [], enforce_group_role=False)] == paths


@pytest.mark.parametrize(("id", "role", "is_refused"), [
    ("/shop/web", "shop", False), ("/shop/web", "slave_public", True), ("/web", "slave_public", False),
])  # fmt: skip
def test_a_group_may_enforce_its_role(id: str, role: str, is_refused: bool) -> None:
    filled = with_defaults({"id": id, "cmd": "run", "role": role}, enforce_group_role=True)
    assert bool(problems(filled, [], enforce_group_role=True)) is is_refused


# -- deployments ---------------------------------------------------------------------------------


async def turns(count: int = 10) -> None:
    """Whoever waits for nothing but a turn gets on."""
    for _ in range(count):
        await asyncio.sleep(0)


@dataclass
class Restarted:
    killed: int
    may_run: int
    is_done: bool


async def restarted(capacity: dict[str, float], new: tuple[bool, ...]) -> Restarted:
    """A restart of two instances to v2, once so many new ones run, serving or not, and what was killed is gone."""
    old = tuple(instance(number, healthy=True) for number in (1, 2))
    made = scheduler(app("v2", instances=2, healthChecks=[CHECK], upgradeStrategy=capacity), instances=old)
    step = (Action(action="RestartApplication", app="/shop/web"),)
    store = Store()
    deployments = Deployments(made, store)  # type: ignore[arg-type]
    await deployments.start(Plan(id="d", version="v2", original={}, target={"/shop/web": {}}, steps=(step,)))
    await turns()
    for number, healthy in enumerate(new, 11):
        one = instance(number, config_version="v2", healthy=healthy)
        made.instances[one.task_id] = one
    made.poke()
    await turns()
    may_run = made.targets.get("/shop/web", 2)
    for gone in [one for one in made.instances.values() if one.is_killing]:
        made._expunge(gone)
    await turns()
    is_done = not deployments.running and not store.kept
    deployments.stop()
    return Restarted(len(killed(made)), may_run, is_done)


ALL, HALF, NONE = ({"minimumHealthCapacity": share, "maximumOverCapacity": 0} for share in (1, 0.5, 0))


@pytest.mark.parametrize(
    ("capacity", "new", "seen"),
    [
        (ALL, (), Restarted(0, 1, False)),  # none goes before a new one serves; one more may run meanwhile
        (ALL, (False,), Restarted(0, 1, False)),
        (ALL, (True,), Restarted(1, 1, False)),
        (ALL, (True, False), Restarted(1, 2, False)),
        (ALL, (True, True), Restarted(2, 2, True)),
        (HALF, (), Restarted(1, 0, False)),  # half may go at once
        (HALF, (True,), Restarted(2, 1, False)),
        (NONE, (), Restarted(2, 0, False)),
        (NONE, (False, False), Restarted(2, 2, False)),
    ],
)
def test_an_old_one_goes_for_each_new_one_that_serves(
    capacity: dict[str, float], new: tuple[bool, ...], seen: Restarted
) -> None:
    assert asyncio.run(restarted(capacity, new)) == seen


def test_a_scaling_ends_when_as_many_serve_as_are_wanted() -> None:
    async def scene(healthy: tuple[bool, ...], wanted: int) -> tuple[bool, list[str]]:
        found = tuple(instance(number, healthy=one) for number, one in enumerate(healthy, 1))
        made = scheduler(app(instances=wanted, healthChecks=[CHECK]), instances=found)
        deployments = Deployments(made, Store())  # type: ignore[arg-type]
        step = (Action(action="ScaleApplication", app="/shop/web"),)
        await deployments.start(Plan(id="d", version="v1", original={}, target={"/shop/web": {}}, steps=(step,)))
        await turns()
        is_done = not deployments.running
        deployments.stop()
        return is_done, killed(made)

    assert asyncio.run(scene((True, True), 2)) == (True, [])
    assert asyncio.run(scene((True, False), 2)) == (False, [])
    assert asyncio.run(scene((True, True, False), 2)) == (False, ["3"])  # until it is gone
    assert asyncio.run(scene((True,), 2)) == (False, [])


def test_an_app_is_locked_until_its_deployment_ends() -> None:
    async def scene() -> tuple[list[str], list[str], dict[str, int]]:
        made = scheduler(app(instances=2, healthChecks=[CHECK]))
        deployments = Deployments(made, Store())  # type: ignore[arg-type]
        step = (Action(action="ScaleApplication", app="/shop/web"),)
        await deployments.start(Plan(id="d", version="v1", original={}, target={}, steps=(step,)))
        held = deployments.holding({"/shop/web"}) + deployments.holding({"/other"})
        await deployments.cancel("d")
        return held, deployments.holding({"/shop/web"}), made.targets

    assert asyncio.run(scene()) == (["d"], [], {})
