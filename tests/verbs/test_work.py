"""Plans of hosts and of services, and what carrying them out leaves on record: a real journal, a cluster in memory."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Any, cast

import pytest
from fake_cluster import PEM, FakeCluster
from fake_hosts import FakeHosts
from rich.console import Console

from rekindle import environment, inventory, packages, services
from rekindle.aws.clients import Clients
from rekindle.dcos import Client
from rekindle.errors import CommandFailed, Unreachable
from rekindle.journal.entries import Begun, ReleaseEntry
from rekindle.journal.holder import Holder
from rekindle.journal.journal import Journal
from rekindle.journal.lock import Lock
from rekindle.journal.mirror import Mirror
from rekindle.journal.release import Artifact, Release
from rekindle.journal.secret_store import SecretStore
from rekindle.journal.store import DirectoryStore
from rekindle.operation import Operation
from rekindle.plan import Declared, Key, Plan, State, Step, digest
from rekindle.progress import Progress
from rekindle.secrets import Keyring, Secret
from rekindle.transport import Transport
from rekindle.verbs import work
from rekindle.verbs.supplies import Supplies
from rekindle.verbs.work import EVERYTHING, Wanted

PROJECT = Path(__file__).resolve().parents[2]
KEYRING = Keyring(b"k" * 32)
BROKERS = ("/kafka-1", "/kafka-2", "/kafka-3")


@dataclass
class World:
    """A project, its journal, and the cluster that is made as it says."""

    project: Path
    operation: Operation
    cluster: FakeCluster = field(default_factory=FakeCluster)
    hosts: FakeHosts = field(default_factory=FakeHosts)

    @property
    def journal(self) -> Journal:
        return self.operation.journal

    def supplies(self) -> Supplies:
        settings = environment.load(self.project, "dev")
        digests = dict.fromkeys(("kafka.tgz", "jre.tgz", "orders.tgz", "edge.tgz"), "d" * 64)
        values = {**settings.values, "artifacts": "s3://upstream", "digests": digests}
        found = packages.load(self.project / "packages", "dev", values)
        self.cluster.packages |= {(p.universe.name, p.universe.version): p.universe for p in found if p.universe}
        names = [s.name for s in services.fetched(found, self.operation.inventory)]
        names += [g.name for g in services.generated(found)]
        return Supplies(
            release=Release.of(self.project),
            settings=settings,
            packages=found,
            links={name: f"http://mirror/{name}" for name in [*names, "i.sh"]},
            installer=Artifact(name="i.sh", url="http://up/i.sh", sha256="0" * 64, size=1),
        )

    def plan(self, wanted: Wanted = EVERYTHING, command: str = "apply") -> Plan:
        with self.on_cluster(wanted, command) as left:
            return left.plan

    def on_cluster(self, wanted: Wanted = EVERYTHING, command: str = "apply") -> Any:
        transport = cast(Transport, self.hosts)
        return work.on_cluster(self.operation, self.supplies(), transport, command=command, wanted=wanted)

    def apply(self, wanted: Wanted = EVERYTHING) -> Plan:
        with self.on_cluster(wanted) as left:
            work.carry_out(self.operation, left)
        return cast(Plan, left.plan)

    def looking(self) -> None:
        """From now on it only looks."""
        self.operation = replace(self.operation, changes=False)


@pytest.fixture(scope="module")
def clients() -> Clients:
    return Clients()


@pytest.fixture
def world(tmp_path: Path, clients: Clients, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    project = tmp_path / "project"
    for name in ("stacks", "packages", "roles"):
        shutil.copytree(PROJECT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    (project / "Pulumi.yaml").write_text("name: x\n")
    store = DirectoryStore(tmp_path / "store")
    (tmp_path / "store").mkdir()
    with ExitStack() as opened:
        lock = opened.enter_context(Lock.acquire(store, "dev", KEYRING, Holder.of_this_process("apply")))
        journal = Journal.open(store, "dev", KEYRING, lock=lock)
        operation = Operation(
            project=project,
            environment="dev",
            inventory=inventory.load(PROJECT / "tests" / "services" / "inventory.yaml"),
            clients=clients,
            store=store,
            keyring=KEYRING,
            journal=journal,
            secrets=SecretStore(store, KEYRING, journal),
            mirror=cast(Mirror, None),
            progress=Progress(Console(file=StringIO())),
            changes=True,
        )
        operation.secrets.set("orders/token", Secret("a planted secret"))
        made = World(project, operation)

        @contextmanager
        def cluster(operation: Operation, transport: Transport) -> Iterator[Client]:
            yield made.cluster.client()

        @contextmanager
        def hosts(operation: Operation) -> Iterator[FakeHosts]:
            yield made.hosts

        monkeypatch.setattr(work.reach, "cluster", cluster)
        monkeypatch.setattr(work.reach, "hosts", hosts)
        yield made


def subjects(plan: Plan) -> set[str]:
    return {step.subject for step in plan.steps}


def kinds(world: World) -> list[str]:
    return [entry.kind for entry in world.journal.entries()]


# Services


def test_a_plan_says_what_it_was_made_from(world: World) -> None:
    made = world.plan(command="replay")
    assert (made.environment, made.command) == ("dev", "replay")
    assert made.release == world.supplies().release.digest
    assert made.journal_head == world.journal.head.digest
    assert {f"package:{b}" for b in BROKERS} | {"app:/orders", "app:/edge"} <= subjects(made)
    assert world.cluster.apps == {}


def test_what_was_applied_is_on_record_with_its_release_first_and_a_checkpoint_last(world: World) -> None:
    assert world.journal.fold().release is None
    made = world.apply()
    folded = world.journal.fold()
    assert folded.release == made.release
    assert folded.applied["marathon", "app:/edge"] is not None
    assert not folded.in_flight
    recorded = kinds(world)
    assert recorded.index("release") < recorded.index("begun")
    assert recorded[-1] == "checkpoint"
    assert [e.command for e in world.journal.entries() if isinstance(e, ReleaseEntry)] == ["apply"]


def test_a_second_run_has_no_step_and_leaves_no_trace(world: World) -> None:
    world.apply()
    head = world.journal.head
    assert world.apply().steps == ()
    assert world.journal.head == head


def test_no_plan_is_made_while_something_cannot_be_read(world: World) -> None:
    facts = world.hosts.facts

    def silent(host: str, script: str) -> str:
        if host == "private-2":
            raise Unreachable("no route to host", where=host)
        return facts(host, script)

    world.hosts.facts = silent  # type: ignore[method-assign]
    with pytest.raises(Unreachable, match="private-2: no route to host"):
        world.plan()
    with pytest.raises(Unreachable, match="private-2: no route to host"):
        world.apply()
    assert world.cluster.apps == {}


@pytest.mark.parametrize(
    ("wanted", "apps", "others"),
    [
        ({"edge"}, {"app:/edge"}, set()),
        ({"kafka"}, {f"package:{b}" for b in BROKERS}, {"repository:rekindle-kafka"}),
        (
            {"orders"},
            {"app:/orders", *(f"package:{b}" for b in BROKERS)},
            {"repository:rekindle-kafka", "secret_file:/var/lib/rekindle/secrets/orders/token"},
        ),
        (set(), set(), set()),
        ({"nobodys"}, set(), set()),
    ],
)
def test_only_wanted_packages_are_planned_and_all_that_they_need(
    world: World, wanted: set[str], apps: set[str], others: set[str]
) -> None:
    made = world.plan(Wanted(packages=frozenset(wanted)))
    gates = {f"health:{name.partition(':')[2]}" for name in apps}
    assert subjects(made) == apps | gates | others
    needed = {key for step in made.steps for key in step.needs}
    assert needed <= {step.key for step in made.steps}


def test_data_services_start_behind_what_they_need(world: World) -> None:
    world.apply(Wanted(packages=frozenset({"orders"})))
    log = world.cluster.log
    assert all(log.index(f"deploy {b}") < log.index("deploy /orders") for b in BROKERS)
    assert log.index("POST /package/repository/add") < log.index("deploy /kafka-1")
    assert "deploy /edge" not in log


@pytest.mark.parametrize(("wanted", "is_pruned"), [(None, True), ({"edge"}, False), (set(), False)])
def test_what_nobody_declares_goes_only_when_everything_is_wanted(
    world: World, wanted: set[str] | None, is_pruned: bool
) -> None:
    labels = {packages.OWNER_LABEL: "dev/gone"}
    world.cluster.put("/gone", {"id": "/gone", "cmd": "sleep 1", "labels": labels})
    made = world.plan(Wanted(packages=None if wanted is None else frozenset(wanted)))
    assert ("app:/gone" in subjects(made)) is is_pruned


def test_a_secret_that_was_applied_and_is_declared_no_more_goes_from_its_hosts(world: World) -> None:
    world.apply()
    package = world.project / "packages/orders/package.yaml"
    package.write_text(package.read_text().partition("secrets:")[0])
    app = world.project / "packages/orders/app.json.j2"
    app.write_text(app.read_text().replace('{{ secrets["token"] | tojson }}', '"/nowhere"'))
    made = world.plan()
    deleted = [step.target for step in made.steps if step.action == "delete"]
    assert sorted(deleted) == ["private-1", "private-2", "private-3"]


def test_what_acts_on_the_outside_waits_when_it_is_to(world: World) -> None:
    package = world.project / "packages/edge/package.yaml"
    package.write_text(package.read_text() + "\noutbound: true\n")
    made = {step.subject: step.after for step in world.plan(Wanted(suspend_outbound=True)).steps}
    assert made["app:/edge"] is not None
    assert made["app:/edge"]["instances"] == 0
    released = {step.subject: step.after for step in world.plan().steps}
    assert released["app:/edge"] is not None
    assert released["app:/edge"].get("instances", 1) == 1


@pytest.mark.parametrize("known", [frozenset[str](), frozenset({"/kafka-2"})])
def test_data_that_was_there_is_never_begun_with_anew(world: World, known: frozenset[str]) -> None:
    world.apply(Wanted(known=known))
    began = {b: int(world.cluster.apps[b]["env"]["INITIALISE_UNTIL"]) > 0 for b in BROKERS}
    assert began == {b: b not in known for b in BROKERS}
    del world.cluster.apps["/kafka-1"]
    world.apply()
    assert world.cluster.apps["/kafka-1"]["env"]["INITIALISE_UNTIL"] == "0"


@pytest.mark.parametrize(
    ("applied", "held"),
    [
        ({("marathon", "package:/kafka-1"): {"version": "1"}}, {"/kafka-1"}),
        ({("marathon", "package:/kafka-1"): None}, set()),
        ({("marathon", "app:/orders"): {"cmd": "x"}}, set()),
    ],
)
def test_what_is_installed_by_the_journal_holds_data(
    world: World, applied: dict[Key, State | None], held: set[str]
) -> None:
    record(world, applied)
    assert work.held_data(world.operation) == held


def record(world: World, applied: dict[Key, State | None]) -> None:
    """Steps that made these states true, on record."""
    recorder = world.journal.recorder("r", "apply")
    for (target, subject), state in applied.items():
        before = None if state is not None else {"was": "there"}
        with recorder.entry([Step(target=target, subject=subject, before=before, after=state)]):
            pass


# Steps that a killed command left


def begin(world: World, subject: str, state: State) -> None:
    """A step that began, and no word since."""
    world.journal.append(
        Begun(
            target="marathon",
            subject=subject,
            before_digest=None,
            after_digest=digest(state),
            after=dict(state),
            release="r",
            command="apply",
        )
    )


def test_a_step_in_flight_is_on_record_as_it_turned_out(world: World) -> None:
    world.apply()
    edge = world.journal.fold().applied["marathon", "app:/edge"]
    assert edge is not None
    begin(world, "app:/edge", edge)
    begin(world, "app:/orders", {"cmd": "another"})
    world.plan()
    folded = world.journal.fold()
    assert not folded.in_flight
    assert set(folded.failed) == {("marathon", "app:/orders")}


def test_who_only_looks_puts_nothing_on_record(world: World) -> None:
    begin(world, "app:/edge", {"cmd": "x"})
    head = world.journal.head
    world.looking()
    world.plan()
    work.drifted(world.operation)
    assert world.journal.head == head


# Drift


def test_drift_is_the_way_back_to_what_was_applied_and_writes_nothing(world: World) -> None:
    made = world.apply()
    world.cluster.apps["/orders"]["instances"] = 7
    package = world.project / "packages/edge/values.yaml"
    package.write_text(package.read_text().replace("mem: 128", "mem: 256"))  # declared, and not applied: no drift
    head, log = world.journal.head, len(world.cluster.log)
    found = work.drifted(world.operation)
    assert (found.environment, found.command, found.release) == ("dev", "drift", made.release)
    assert found.journal_head == head.digest
    assert [(s.action, s.subject, (s.after or {}).get("instances")) for s in found.steps] == [
        ("update", "app:/orders", 2)
    ]
    assert world.journal.head == head
    assert not [line for line in world.cluster.log[log:] if line.startswith(("PUT", "DELETE", "deploy"))]


def test_what_was_removed_by_hand_is_drift_and_so_is_what_came_back(world: World) -> None:
    world.apply()
    del world.cluster.apps["/edge"]
    record(world, {("marathon", "app:/back"): None})
    world.cluster.put("/back", {"id": "/back", "cmd": "sleep 1"})
    found = {(s.action, s.subject) for s in work.drifted(world.operation).steps}
    assert found == {("create", "app:/edge"), ("delete", "app:/back")}


def test_drift_that_cannot_be_read_is_an_error(world: World) -> None:
    world.apply()

    def silent(host: str, script: str) -> str:
        raise Unreachable("no route to host", where=host)

    world.hosts.facts = silent  # type: ignore[method-assign]
    with pytest.raises(Unreachable, match="no route to host"):
        work.drifted(world.operation)


def test_where_nothing_was_applied_nothing_drifts(world: World) -> None:
    found = work.drifted(world.operation)
    assert (found.release, found.steps) == ("", ())


@pytest.mark.parametrize(
    ("key", "lasts"),
    [
        (("marathon", "app:/a"), True),
        (("marathon", "package:/a"), True),
        (("cosmos", "repository:a"), True),
        (("private-1", "secret_file:/a"), True),
        (("private-9", "secret_file:/a"), False),
        (("private-1", "file:/etc/motd"), False),
        (("/a", "health:/a"), False),
        (("nowhere", "app:/a"), False),
    ],
)
def test_what_services_still_are_to_be(world: World, key: Key, lasts: bool) -> None:
    found = work.lasting({key: {"x": 1}}, world.operation.inventory)
    assert [d.key for d in found] == ([key] if lasts else [])
    assert [d.state for d in found] == ([{"x": 1}] if lasts else [])


# Hosts


class Hosts:
    """A driver of hosts that have what they were given; some do not answer."""

    def __init__(self, dead: Sequence[str] = ()) -> None:
        self.dead, self.facts = dead, dict[Key, State | None]()

    def read(self, target: str, names: Sequence[str]) -> dict[str, State | None]:
        if target in self.dead:
            raise Unreachable("no route to host", where=target)
        return {name: self.facts.get((target, name)) for name in names}

    def write(self, target: str, steps: Sequence[Step]) -> None:
        if any(step.subject.startswith("gate:") for step in steps) and target == "private-3":
            raise CommandFailed("it does not come up", where=target)
        self.facts |= {step.key: step.after for step in steps}


def on_hosts(world: World, driver: Hosts, monkeypatch: pytest.MonkeyPatch) -> work.Work:
    monkeypatch.setattr(
        work.bootstrap, "drivers", lambda transport, rendered, tell: dict.fromkeys(work.bootstrap.steps.KINDS, driver)
    )
    if "dcos/service-account" not in world.operation.secrets.names():
        world.operation.secrets.set("dcos/service-account", Secret(PEM))
    return work.on_hosts(world.operation, world.supplies(), cast(Transport, None))


def test_hosts_become_a_cluster_and_a_second_run_has_nothing_left(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    shrink(world, "master-1", "private-1")
    driver = Hosts()
    left = on_hosts(world, driver, monkeypatch)
    assert (left.plan.environment, left.plan.command) == ("dev", "bootstrap")
    assert left.plan.release == left.supplies.release.digest
    assert left.plan.journal_head == world.journal.head.digest
    assert {step.target for step in left.plan.steps} == {"bootstrap", "master-1", "private-1"}
    work.carry_out(world.operation, left)
    assert world.journal.fold().release == left.plan.release
    assert on_hosts(world, driver, monkeypatch).plan.steps == ()


def test_a_host_that_does_not_answer_has_all_of_its_steps(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(world, "master-1", "private-1")
    driver = Hosts()
    work.carry_out(world.operation, on_hosts(world, driver, monkeypatch))
    driver.dead = ["private-1"]
    left = on_hosts(world, driver, monkeypatch)
    assert {step.target for step in left.plan.steps} == {"private-1"}


def shrink(world: World, *names: str) -> None:
    """The inventory holds these hosts and a bootstrap host."""
    found = world.operation.inventory
    hosts = [host for host in found.hosts if host.name in names]
    serves = hosts[0].model_copy(update={"name": "bootstrap", "role": inventory.Role.BOOTSTRAP, "pool": "bootstrap"})
    world.operation = replace(world.operation, inventory=found.model_copy(update={"hosts": (serves, *hosts)}))


def test_a_host_that_is_not_on_record_is_settled_by_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(world, "master-1")
    begin_on_host = Declared(target="master-1", subject="os:debian-12", state={"x": "1"})
    world.journal.append(
        Begun(
            target=begin_on_host.target,
            subject=begin_on_host.subject,
            before_digest=None,
            after_digest="0",
            after={"x": "1"},
            release="r",
            command="bootstrap",
        )
    )
    on_hosts(world, Hosts(dead=["master-1"]), monkeypatch)
    assert begin_on_host.key in world.journal.fold().in_flight
    on_hosts(world, Hosts(), monkeypatch)
    assert begin_on_host.key not in world.journal.fold().in_flight
