"""`apply` of the project's own packages on a cluster in memory, through the plan's own loop."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from fake_cluster import FakeCluster
from fake_hosts import FakeHosts

from rekindle import packages, plan, services
from rekindle.errors import GateFailed, Incomplete, InputError, RekindleError, Unreachable
from rekindle.inventory import Inventory, Role, parse
from rekindle.packages import BarrierSpec
from rekindle.plan import Declared, Key, Plan, State, Step
from rekindle.secrets import Keyring, Secret
from rekindle.services import Declaration
from rekindle.verbs import work

VALUES = {
    "artifacts": "s3://upstream",
    "digests": dict.fromkeys(("kafka.tgz", "jre.tgz", "orders.tgz", "edge.tgz"), "d" * 64),
}

PROJECT = Path(__file__).resolve().parents[2]
AZS = ("us-east-1a", "us-east-1b", "us-east-1c")
KEYRING = Keyring(b"k" * 32)
TOKEN = "a planted secret"
BROKERS = ("/kafka-1", "/kafka-2", "/kafka-3")


@dataclass
class Journal:
    """Remembers how steps ended."""

    succeeded: list[str] = field(default_factory=list)
    applied: dict[Key, State | None] = field(default_factory=dict)

    @contextmanager
    def entry(self, steps: Sequence[Step]) -> Iterator[None]:
        yield
        self.succeeded += [step.subject for step in steps]
        self.applied |= {step.key: step.after for step in steps}

    def started(self, steps: Sequence[Step]) -> None: ...

    def finished(self, steps: Sequence[Step], error: RekindleError | None) -> None: ...


@dataclass
class World:
    """A project's packages and the cluster they are applied to."""

    root: Path
    inventory: Inventory
    cluster: FakeCluster = field(default_factory=FakeCluster)
    hosts: FakeHosts = field(default_factory=FakeHosts)
    journal: Journal = field(default_factory=Journal)
    token: str = TOKEN
    known: frozenset[str] = frozenset()
    generation: str = "1"

    def declare(self, **options: Any) -> Declaration:
        found = packages.load(self.root, "dev", VALUES)
        names = [s.name for s in services.fetched(found, self.inventory)]
        names += [g.name for g in services.generated(found)]
        links = {name: f"http://mirror/{self.generation}/{name}" for name in names}
        return services.declare(found, self.inventory, links, {"orders/token": Secret(self.token)}, KEYRING, **options)

    def drivers(self, declared: Declaration) -> dict[str, plan.Driver]:
        found = packages.load(self.root, "dev", VALUES)
        self.cluster.packages |= {(p.universe.name, p.universe.version): p.universe for p in found if p.universe}
        return services.drivers(
            self.cluster.client(),
            self.hosts,
            KEYRING,
            declared.declared,
            found,
            secret_files=declared.secret_files,
            known=self.known,
        )

    def plan(self, declared: Sequence[Declared], drivers: dict[str, plan.Driver]) -> Plan:
        seen = plan.observe(declared, drivers)
        assert not seen.failures
        steps = plan.diff(declared, seen.facts)
        return Plan(environment="dev", command="apply", release="r", journal_head="h", steps=steps)

    def apply(self, *, prune: bool = False) -> Plan:
        declared = self.declare()
        drivers = self.drivers(declared)
        gone = (
            services.prunable(self.cluster.client(), self.inventory, declared.declared, self.journal.applied)
            if prune
            else ()
        )
        made = self.plan([*declared.declared, *gone], drivers)
        plan.apply(made, drivers, self.journal, self.journal)
        return made

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.root / file
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    def changes(self) -> list[str]:
        """What is still to be done, as (action, subject)."""
        declared = self.declare()
        return [f"{s.action} {s.subject}" for s in self.plan(declared.declared, self.drivers(declared)).steps]


@pytest.fixture
def world(tmp_path: Path) -> World:
    inventory = parse(yaml.safe_load((Path(__file__).parent / "inventory.yaml").read_text()), where="test")
    return World(Path(shutil.copytree(PROJECT / "packages", tmp_path / "packages")), inventory)


def test_everything_is_up_and_a_second_run_changes_nothing(world: World) -> None:
    world.apply()
    assert set(world.cluster.apps) == {*BROKERS, "/orders", "/edge"}
    assert world.changes() == []
    before = list(world.cluster.log)
    world.apply()
    assert not [line for line in world.cluster.log[len(before) :] if line.startswith(("PUT", "DELETE", "deploy"))]


def test_needs_come_first_and_behind_their_gates(world: World) -> None:
    world.apply()
    log = world.cluster.log
    assert all(log.index("POST /package/repository/add") < log.index(f"deploy {b}") for b in BROKERS)
    assert all(log.index(f"deploy {b}") < log.index("deploy /orders") for b in BROKERS)


def test_the_secret_is_a_private_file_where_its_tasks_may_run_and_nowhere_else(world: World) -> None:
    made = world.apply()
    path = "/var/lib/rekindle/secrets/orders/token"
    files = {host: found[path] for host, found in world.hosts.files.items() if path in found}
    assert set(files) == {"private-1", "private-2", "private-3"}
    assert {(f.mode, f.content) for f in files.values()} == {(0o600, TOKEN.encode())}
    assert TOKEN not in made.to_json() + repr(world.declare()) + str(world.cluster.apps)


def test_a_changed_secret_is_a_change_of_its_files_alone(world: World) -> None:
    world.apply()
    world.token = "another"
    assert world.changes() == ["update secret_file:/var/lib/rekindle/secrets/orders/token"] * 3


@pytest.mark.parametrize(
    ("change", "steps"),
    [
        (("orders/values.yaml", "mem: 128", "mem: 256"), ["update app:/orders", "create health:/orders"]),
        (
            ("kafka/values.yaml", "heap: 256", "heap: 300"),
            [*(f"update package:{b}" for b in BROKERS), *(f"create health:{b}" for b in BROKERS)],
        ),
    ],
)
def test_a_change_touches_what_it_concerns(world: World, change: tuple[str, str, str], steps: list[str]) -> None:
    world.apply()
    world.edit(*change)
    assert sorted(world.changes()) == sorted(steps)
    world.apply()
    assert world.changes() == []


def test_drift_by_hand_is_seen_and_undone(world: World) -> None:
    world.apply()
    world.cluster.apps["/orders"]["instances"] = 7
    world.cluster.apps["/kafka-2"]["instances"] = 0
    assert "update app:/orders" in world.changes()
    assert "update package:/kafka-2" in world.changes()
    world.apply()
    assert world.cluster.apps["/orders"]["instances"] == 2
    assert world.cluster.apps["/kafka-2"]["instances"] == 1


def test_a_new_version_is_rendered_by_cosmos_and_put_to_marathon(world: World) -> None:
    world.apply()
    world.edit("kafka/universe/package.json", '"3.9.1-1"', '"3.9.1-2"')
    world.apply()
    versions = {world.cluster.apps[b]["labels"]["DCOS_PACKAGE_VERSION"] for b in BROKERS}
    assert versions == {"3.9.1-2"}
    assert "POST /cosmos/service/update" not in world.cluster.log


def test_a_changed_repository_takes_the_place_of_the_old_one(world: World) -> None:
    world.cluster.repositories.append({"name": "somebodys", "uri": "http://somebodys"})
    world.apply()
    world.generation = "2"
    world.apply()
    assert [r["name"] for r in world.cluster.repositories] == ["rekindle-kafka", "somebodys"]
    assert world.cluster.repositories[0]["uri"].startswith("http://mirror/2/")


def test_the_default_repository_goes_because_its_server_is_gone(world: World) -> None:
    world.cluster.repositories.append({"name": "Universe", "uri": "https://universe.example.org/repo"})
    world.apply()
    assert [r["name"] for r in world.cluster.repositories] == ["rekindle-kafka"]


def test_brokers_change_one_by_one_each_once_the_others_are_up(world: World) -> None:
    world.apply()
    world.edit("kafka/values.yaml", "heap: 256", "heap: 300")
    world.cluster.unhealthy.add("/kafka-3")
    start = len(world.cluster.log)
    with pytest.raises(Incomplete, match="/kafka-3 is not up"):
        world.apply()
    assert "deploy /kafka-1" not in world.cluster.log[start:]


def test_a_gate_that_was_not_passed_says_what_blocks_and_is_waited_for_again(world: World) -> None:
    world.cluster.unhealthy.add("/orders")
    with pytest.raises(Incomplete) as caught:
        world.apply()
    for said in ("/orders is not up", "3 of 3 offers lack UnfulfilledConstraint", "TASK_FAILED on 10.0.2.10: exit 78"):
        assert said in str(caught.value)
    assert world.changes() == ["create health:/orders"]
    world.cluster.unhealthy.clear()
    world.apply()
    assert world.changes() == []


@pytest.mark.parametrize(
    ("held", "tries"),
    [
        ([{"/orders"}], 2),
        ([{"/orders", "/somebodys"}], 7),
        ([{"/orders"}, {"/orders", "/somebodys"}], 7),
        ([{"/orders"}, {"/somebodys", "/others"}], 2),
    ],
)
def test_its_own_stuck_deployment_gives_way_and_one_of_others_is_waited_for(
    world: World, held: list[set[str]], tries: int
) -> None:
    world.apply()
    world.edit("orders/values.yaml", "mem: 128", "mem: 256")
    world.cluster.locked = {f"d{number}": apps for number, apps in enumerate(held)}
    before = world.cluster.log.count("PUT /service/marathon/v2/apps/orders")
    world.apply()
    assert world.cluster.apps["/orders"]["mem"] == 256
    assert world.cluster.log.count("PUT /service/marathon/v2/apps/orders") - before == tries


def test_options_reach_a_package_whose_deployment_is_stuck(world: World) -> None:
    world.apply()
    world.edit("kafka/values.yaml", "heap: 256", "heap: 300")
    world.cluster.locked["d"] = {"/kafka-1"}
    world.apply()
    assert world.cluster.apps["/kafka-1"]["env"]["HEAP_MB"] == "300"
    assert world.changes() == []


def test_an_answer_that_was_lost_is_no_second_installation(world: World) -> None:
    world.apply()
    del world.cluster.apps["/kafka-1"]
    declared = world.declare()
    drivers = world.drivers(declared)
    made = world.plan(declared.declared, drivers)
    step = next(s for s in made.steps if s.subject == "package:/kafka-1")
    drivers["package"].write("marathon", [step])
    drivers["package"].write("marathon", [step])  # Cosmos answers PackageAlreadyInstalled
    assert world.cluster.log.count("deploy /kafka-1") == 2


def test_empty_data_is_begun_with_only_at_the_first_installation_and_only_for_a_while(world: World) -> None:
    world.known = frozenset({"/kafka-2"})
    world.apply()
    until = {b: int(world.cluster.apps[b]["env"]["INITIALISE_UNTIL"]) for b in BROKERS}
    assert until["/kafka-2"] == 0
    assert until["/kafka-1"] > 1_000_000_000
    assert world.changes() == []
    world.edit("kafka/values.yaml", "heap: 256", "heap: 300")
    world.apply()
    assert {world.cluster.apps[b]["env"]["INITIALISE_UNTIL"] for b in BROKERS} == {"0"}


def test_drift_leaves_out_what_went_with_a_removed_host(world: World) -> None:
    world.apply()
    applied = {d.key: d.state for d in world.declare().declared}
    hosts = tuple(host for host in world.inventory.hosts if host.name != "private-3")
    before, after = (
        {d.key for d in work.lasting(applied, inventory)}
        for inventory in (world.inventory, world.inventory.model_copy(update={"hosts": hosts}))
    )
    assert before == {key for key in applied if not key[1].startswith("health:")}
    assert before - after == {("private-3", "secret_file:/var/lib/rekindle/secrets/orders/token")}


def test_prune_removes_what_is_owned_and_no_longer_declared(world: World) -> None:
    world.apply()
    world.cluster.put("/somebodys", {"id": "/somebodys", "cmd": "sleep 1"})
    world.cluster.put("/other", {"id": "/other", "cmd": "sleep 1", "labels": {packages.OWNER_LABEL: "poc/other"}})
    shutil.rmtree(world.root / "edge")
    world.edit("kafka/package.yaml", "  - name: kafka-3\n    volume: kafka-3\n    values: {node_id: 3}\n", "")
    world.apply(prune=True)
    assert set(world.cluster.apps) == {"/kafka-1", "/kafka-2", "/orders", "/somebodys", "/other"}


OWNERS = {
    "dev/gone": True,
    "dev/a/b": True,
    "dev-dr/orders": False,
    "dev": False,
    "devel/x": False,
    "poc/dev/": False,
    "": False,
}


@pytest.mark.parametrize(("owner", "is_pruned"), OWNERS.items())
def test_only_what_this_environment_owns_is_pruned(world: World, owner: str, is_pruned: bool) -> None:
    world.apply()
    world.cluster.put("/x", {"id": "/x", "cmd": "sleep 1", "labels": {packages.OWNER_LABEL: owner}})
    world.apply(prune=True)
    assert ("/x" not in world.cluster.apps) is is_pruned


def test_only_repositories_of_our_own_are_pruned(world: World) -> None:
    world.cluster.repositories += [{"name": n, "uri": f"http://{n}"} for n in ("rekindle-gone", "somebodys-rekindle-")]
    world.apply(prune=True)
    assert [r["name"] for r in world.cluster.repositories] == ["rekindle-kafka", "somebodys-rekindle-"]


SECRET = "secret_file:/var/lib/rekindle/secrets/orders/token"


def test_a_secret_that_nobody_declares_any_more_goes_from_the_hosts(world: World) -> None:
    world.apply()
    world.edit("orders/package.yaml", "secrets:\n  - name: token # what a writer must show\n", "")
    world.edit("orders/app.json.j2", '{{ secrets["token"] | tojson }}', '"/nowhere"')
    made = world.apply(prune=True)
    deleted = {(s.target, s.subject) for s in made.steps if s.action == "delete"}
    assert deleted == {(f"private-{n}", SECRET) for n in (1, 2, 3)}
    assert all(SECRET.partition(":")[2] not in files for files in world.hosts.files.values())
    assert world.apply(prune=True).steps == ()


def test_the_secrets_of_a_removed_package_go_when_its_app_is_gone(world: World) -> None:
    world.apply()
    world.edit("kafka/package.yaml", "barrier: {service: orders, path: /barrier}", "barrier: null")
    shutil.rmtree(world.root / "orders")
    made = world.apply(prune=True)
    needs = {s.key: s.needs for s in made.steps}
    assert ("marathon", "app:/orders") in needs
    assert all(needs["private-1", SECRET] == {("marathon", "app:/orders")} for _ in (1,))
    assert [s.subject for s in made.steps if s.target.startswith("private")] == [SECRET] * 3


def test_only_secrets_that_were_put_on_hosts_that_are_there_are_pruned(world: World) -> None:
    applied: dict[Key, State | None] = {
        ("private-1", "secret_file:/a"): {"digest": "d"},
        ("private-1", "secret_file:/removed"): None,
        ("private-9", "secret_file:/a"): {"digest": "d"},
        ("private-1", "file:/etc/motd"): {"content": "c"},
    }
    found = services.prunable(world.cluster.client(), world.inventory, (), applied)
    assert [(d.target, d.subject, d.state) for d in found] == [("private-1", "secret_file:/a", None)]


def test_services_that_act_on_the_outside_start_suspended_at_replay(world: World) -> None:
    world.edit("orders/package.yaml", "needs: [kafka]", "needs: [kafka]\noutbound: true")
    found = {d.subject: d.state for d in world.declare(suspend_outbound=True).declared}
    orders, edge = found["app:/orders"], found["app:/edge"]
    assert orders is not None
    assert edge is not None
    assert orders["instances"] == 0
    assert edge.get("instances", 1) == 1


def test_an_option_that_the_schema_refuses_is_an_error_before_anything_is_sent(world: World) -> None:
    world.edit("kafka/options.json.j2", "{{ values.heap }}", "1")
    with pytest.raises(InputError, match=r"kafka\.heap"):
        world.apply()
    assert world.cluster.log == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("volumes: [kafka-1,", "volumes: [kafka-9, kafka-1,", "backup: the inventory has no volume kafka-9"),
        ("{service: orders,", "{service: order,", "backup.barrier: there is no package order"),
    ],
)
def test_a_backup_of_what_is_not_there_is_an_error_before_anything_is_sent(
    world: World, old: str, new: str, said: str
) -> None:
    world.edit("kafka/package.yaml", old, new)
    with pytest.raises(InputError, match=said) as caught:
        world.apply()
    assert caught.value.where.endswith("kafka/package.yaml")
    assert world.cluster.log == []


BARRIER = BarrierSpec(service="orders", path="/barrier")
AGENTS = ("private-1", "private-2", "private-3")


@pytest.fixture
def acknowledging(world: World) -> World:
    """A world whose orders say what they acknowledged."""
    world.apply()
    world.cluster.apps["/orders"]["tasks"] = [{"host": "10.0.2.11", "ports": [3301]}]
    world.hosts.answers["http://10.0.2.11:3301/barrier"] = '{"offsets": {"0": 7}}'
    return world


@pytest.mark.parametrize("dead", [(), AGENTS[:1], AGENTS[:2]])
def test_a_barrier_is_asked_on_any_private_agent_that_answers(acknowledging: World, dead: tuple[str, ...]) -> None:
    world = acknowledging
    world.hosts.dead.update(dead)
    said = services.barrier(world.cluster.client(), world.hosts, world.inventory, BARRIER)
    assert said == {"offsets": {"0": 7}}


@pytest.mark.parametrize(
    ("dead", "roles", "error", "said"),
    [
        ((), {Role.PRIVATE_AGENT}, GateFailed, "orders does not say"),
        (AGENTS, {Role.PRIVATE_AGENT}, Unreachable, "no private agent answers: private-1: .*; private-3: "),
        ((), {Role.MASTER}, InputError, "inventory of dev: .* no private agent"),
    ],
)
def test_a_barrier_that_nobody_can_say_is_an_error(
    acknowledging: World, dead: tuple[str, ...], roles: set[Role], error: type[RekindleError], said: str
) -> None:
    world = acknowledging
    world.hosts.answers.clear()
    world.hosts.dead.update(dead)
    hosts = tuple(host for host in world.inventory.hosts if host.role in roles)
    inventory = world.inventory.model_copy(update={"hosts": hosts})
    with pytest.raises(error, match=said) as caught:
        services.barrier(world.cluster.client(), world.hosts, inventory, BARRIER)
    assert caught.value.next_step


TASKS = [{"host": "10.0.2.11", "ports": [3301]}, {"host": "10.0.2.12", "ports": [3302]}]
FIRST, SECOND = (f"http://{task['host']}:{task['ports'][0]}/barrier" for task in TASKS)


@pytest.mark.parametrize(
    "said", ["", "<html>502</html>", "[]", "3", "null", '"x"', "{", '{"a": NaN}', '{"a": 1, "a": 2}', "[" * 5000]
)
def test_only_a_json_object_is_a_barrier(acknowledging: World, said: str) -> None:
    world = acknowledging
    world.hosts.answers[FIRST] = said
    with pytest.raises(GateFailed, match="orders does not say what it acknowledged"):
        services.barrier(world.cluster.client(), world.hosts, world.inventory, BARRIER)


def test_the_body_of_an_error_is_no_barrier(acknowledging: World) -> None:
    world = acknowledging
    world.hosts.errors[FIRST] = '{"offsets": {"0": 0}}'
    with pytest.raises(GateFailed, match="returned error: 503"):
        services.barrier(world.cluster.client(), world.hosts, world.inventory, BARRIER)


def test_the_next_task_is_asked_when_one_cannot_say(acknowledging: World) -> None:
    world = acknowledging
    world.cluster.apps["/orders"]["tasks"] = TASKS
    world.hosts.errors[FIRST] = "{}"
    world.hosts.answers[SECOND] = '{"offsets": {"0": 8}}'
    said = services.barrier(world.cluster.client(), world.hosts, world.inventory, BARRIER)
    assert said == {"offsets": {"0": 8}}


@pytest.mark.parametrize("tasks", [[], [{"host": "h"}], [{"host": "h", "ports": []}], [{"host": "h", "ports": [1]}]])
def test_a_task_without_the_port_is_not_asked(acknowledging: World, tasks: list[dict[str, Any]]) -> None:
    world = acknowledging
    world.cluster.apps["/orders"]["tasks"] = tasks
    with pytest.raises(GateFailed, match="it has no task with such a port"):
        services.barrier(
            world.cluster.client(), world.hosts, world.inventory, BARRIER.model_copy(update={"port_index": 1})
        )


def test_a_barrier_of_a_service_that_is_not_there_is_an_error(world: World) -> None:
    with pytest.raises(GateFailed, match="it has no task"):
        services.barrier(world.cluster.client(), world.hosts, world.inventory, BARRIER)


def test_a_failure_of_one_service_leaves_the_others_done(world: World) -> None:
    world.cluster.unhealthy.add("/kafka-2")
    with pytest.raises(Incomplete, match="/kafka-2 is not up"):
        world.apply()
    assert "/edge" in world.cluster.apps
    assert "/orders" not in world.cluster.apps


def test_one_app_that_is_refused_stops_no_other(world: World) -> None:
    world.apply()
    world.edit("orders/values.yaml", "mem: 128", "mem: 256")
    world.edit("edge/values.yaml", "mem: 128", "mem: 256")
    apps = world.cluster._apps

    def refusing_edge(request: httpx.Request) -> httpx.Response:
        refused = request.method == "PUT" and request.url.path.endswith("/edge")
        return httpx.Response(422, json={"message": "no"}) if refused else apps(request)

    world.cluster._apps = refusing_edge  # type: ignore[method-assign]
    with pytest.raises(Incomplete, match="/edge was answered 422"):
        world.apply()
    assert world.cluster.apps["/orders"]["mem"] == 256


def test_a_cluster_that_refuses_is_quoted(world: World) -> None:
    world.apply()
    world.edit("orders/values.yaml", "mem: 128", "mem: 256")
    declared = world.declare()
    drivers = world.drivers(declared)
    made = world.plan(declared.declared, drivers)
    refusal = {"message": "Object is not valid", "details": [{"path": "/mem", "errors": ["too much"]}]}
    apps = world.cluster._apps
    world.cluster._apps = lambda r: httpx.Response(422, json=refusal) if r.method == "PUT" else apps(r)  # type: ignore[method-assign]
    with pytest.raises(Incomplete, match="422: Object is not valid /mem: too much"):
        plan.apply(made, drivers, world.journal, world.journal)
