"""A lost environment in this process: its journals on moto's S3, its volumes on moto's EC2, the rest held here.

Pulumi, the cluster and the public name are states that the phases of a replay change. Every change that lasts,
of a journal, a secret, a release, a stack, a cluster or the name, can be cut: before it lands, or after it
landed and before the answer, as `kill -9` and a lost connection do.
"""

import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import yaml
from botocore.client import BaseClient
from botocore.exceptions import ReadTimeoutError
from rich.console import Console

from rekindle import environment as environments
from rekindle import infrastructure, replay
from rekindle.aws.clients import Clients
from rekindle.errors import GateFailed, InputError, Unreachable
from rekindle.infrastructure import Operations, Project, process
from rekindle.inventory import Host, Inventory, Ssh, Stores, SwitchAlarm, Volume
from rekindle.journal.entries import RestorePoint, VolumeCopy
from rekindle.journal.holder import Holder
from rekindle.journal.journal import Journal
from rekindle.journal.keys import open_keyring
from rekindle.journal.lock import Lock
from rekindle.journal.release import Release, Releases
from rekindle.journal.secret_store import SecretStore
from rekindle.journal.store import S3Store
from rekindle.operation import Operation
from rekindle.progress import Progress
from rekindle.replay import Apply, Choices, Request
from rekindle.replay.situation import Answer
from rekindle.secrets import Keyring, KmsEnvelope, Secret

ROOT = Path(__file__).parents[2]
AWAY = "us-west-2"
REGIONS = {"dev": "us-east-1", "dev-dr": AWAY}
NAME = "orders.example.test"
VOLUMES = ("kafka-1", "kafka-2", "kafka-3")
BARRIER = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
SILENT = Answer(is_serving=False, said="no answer: it keeps silent")
MAILER = "version: 1\nkind: app\nabout: Writes to people.\noutbound: true\n"
WRITES = frozenset({"PutObject", "DeleteObject", "CopyObject"})
T = TypeVar("T")


class Killed(BaseException):
    """Stands for kill -9: nothing of the command runs afterwards that could be seen from outside."""


class Way(StrEnum):
    """How a change is cut."""

    BEFORE = "killed before it lands"
    AFTER = "killed after it landed"
    UNANSWERED = "landed, its answer lost"


@dataclass
class Cuts:
    """Counts what is made to last, and cuts the command at one of it."""

    at: int | str | None = None  # the number of the change to cut, from 1, or which one
    way: Way = Way.BEFORE
    made: list[str] = field(default_factory=list)  # what was about to be made, in order
    is_dead: bool = False

    def durable(self, what: str, make: Callable[[], T]) -> T:
        self.require_alive()
        self.made.append(what)
        is_cut = self.at in (len(self.made), what)
        if is_cut and self.way is Way.BEFORE:
            self.die()
        done = make()
        if is_cut and self.way is Way.UNANSWERED:
            raise ReadTimeoutError(endpoint_url=what) if "Object" in what else Unreachable("no answer", where=what)
        if is_cut:
            self.die()
        return done

    def die(self) -> None:
        self.is_dead = True
        raise Killed

    def require_alive(self) -> None:
        if self.is_dead:
            raise Killed


@dataclass
class Stack:
    """What Pulumi made of an environment."""

    volumes: dict[str, str] = field(default_factory=dict)  # ids by name
    hosts: int = 0
    creations: int = 0  # how often an `up` made hosts


@dataclass
class Cluster:
    """What runs on an environment's hosts: packages, and whether they act."""

    is_up: bool = False
    services: dict[str, bool] = field(default_factory=dict)  # False: suspended
    offsets: dict[str, int] = field(default_factory=lambda: {"0": 7})
    known: list[frozenset[str]] = field(default_factory=list)  # of each apply: whose volumes must not be empty
    barriers_asked: int = 0


@dataclass
class Disaster:
    """dev and dev-dr; whichever is lost, the other can be built in its place."""

    folder: Path  # for the directories of operators
    clients: Clients
    key_arn: str = ""
    release: str = ""
    copies: dict[str, str] = field(default_factory=dict)
    stacks: dict[str, Stack] = field(default_factory=lambda: {"dev-dr": Stack()})
    clusters: dict[str, Cluster] = field(default_factory=dict)
    name_leads_to: list[str] = field(default_factory=lambda: ["dev"])  # the newest last
    cuts: Cuts = field(default_factory=Cuts)
    seen: list[tuple[str, dict[str, Any]]] = field(default_factory=list)  # what was so when a phase made something
    answer: Answer = SILENT
    name_answers: bool = True  # once it leads to the recovery environment
    volumes_from: Callable[[str, str | None], str | None] = lambda name, snapshot: snapshot
    commands: int = 0
    asked: list[str | None] = field(default_factory=list)  # names and regions, whether they still serve
    violations: list[str] = field(default_factory=list)  # what no cut may bring about
    looks: bool = False  # whether what is so is kept as phases go on

    # what an operator does

    def run(self, directory: str = "night", *, lost: str = "dev", to: str = "dev-dr", **choices: Any) -> Any:
        return replay.run(self.request(directory, lost=lost, to=to, **choices), Verbs(self))

    def plan(self, directory: str = "night", *, lost: str = "dev", to: str = "dev-dr", **choices: Any) -> Any:
        request = self.request(directory, lost=lost, to=to, **choices)
        return replay.plan(Request(**{**vars(request), "only_plan": True}))

    def request(self, directory: str, *, lost: str, to: str, **choices: Any) -> Request:
        self.commands += 1
        return Request(
            environment=lost,
            recovery=to,
            journal=f"s3://journal?region={AWAY}&key={self.key_arn}",
            folder=self.folder / directory / "release",
            progress=Progress(Console(file=StringIO())),
            choices=Choices(**choices),
            clients=self.clients,
            probe_name=lambda name: self.asked.append(name) or self.answer,
            probe_region=lambda region: self.asked.append(region) or SILENT,
        )

    # what stands

    @property
    def store(self) -> S3Store:
        return S3Store(self.clients.s3(AWAY), "journal")

    def keyring(self, environment: str, *, keep: bool = False) -> Keyring:
        return open_keyring(self.store, environment, KmsEnvelope(self.clients.kms(AWAY), self.key_arn), keep=keep)

    @contextmanager
    def writing(self, environment: str) -> Iterator[tuple[Journal, SecretStore]]:
        keyring = self.keyring(environment, keep=True)
        with Lock.acquire(self.store, environment, keyring, self.holder("test")) as lock:
            journal = Journal.open(self.store, environment, keyring, lock=lock)
            yield journal, SecretStore(self.store, keyring, journal)

    def reading(self, environment: str) -> Journal:
        return Journal.open(self.store, environment, self.keyring(environment))

    def releases(self, environment: str) -> Releases:
        return Releases(store=self.store, environment=environment, keyring=self.keyring(environment))

    def secrets(self, environment: str) -> dict[str, str]:
        kept = SecretStore(self.store, self.keyring(environment), self.reading(environment))
        return {name: kept.get(name).reveal() for name in kept.names()}

    def inventory(self, environment: str) -> Inventory:
        stack, region = self.stacks[environment], REGIONS[environment]
        hosts = tuple(
            Host(
                name=f"master-{number + 1}",
                role="master",
                pool="master",
                zone="admin",
                az=f"{region}a",
                private_ip=f"10.20.0.{number + 5}",
            )
            for number in range(stack.hosts)
        )
        volumes = tuple(
            Volume(name=name, volume_id=id, az=f"{region}a", size_gib=4, service=name)
            for name, id in stack.volumes.items()
        )
        return Inventory(
            environment=environment,
            region=region,
            cluster_name="dev",
            hosts=hosts,
            volumes=volumes,
            ssh=Ssh(user="admin"),
            stores=Stores(
                region=AWAY,
                kms_key_arn=self.key_arn,
                **{f"{name}_bucket": name for name in ("journal", "mirror", "artifacts")},
                switch=SwitchAlarm(kind="alarm", namespace="Rekindle/example"),
            ),
            public_name=NAME,
            load_balancer=f"{environment}.elb.example",
            standby=stack.hosts == 0,
        )

    def holder(self, reason: str) -> Holder:
        """A process that has ended by the time the next command looks."""
        return Holder(
            name="op@night",
            place="elsewhere",
            pid=self.commands,
            started=1,
            reason=reason,
            command_id=str(self.commands),
        )

    def look(self, what: str) -> None:
        """Keeps what is so as a phase begins to make something."""
        if not self.looks:
            return
        mark = self.reading("dev").fold().mark_in_force
        cluster = self.clusters.get("dev-dr", Cluster())
        self.seen.append(
            (
                what,
                {
                    "marked": mark is not None and mark.environment == "dev-dr",
                    "stands": self.stacks["dev-dr"].hosts > 0,
                    "secrets": self.secrets("dev-dr") == self.secrets("dev"),
                    "up": cluster.is_up,
                    "services": dict(cluster.services),
                    "checked": cluster.barriers_asked > 0,
                    "leads": self.name_leads_to[-1],
                },
            )
        )

    # Pulumi, as far as a replay drives it

    def outputs(self, project: Project, stack: str) -> Inventory:
        self.cuts.require_alive()
        if stack not in self.stacks:
            raise InputError("the stack has no output `inventory`", where=f"stack {stack}")
        return self.inventory(stack)

    def configure(self, project: Project, stack: str, config: Mapping[str, str]) -> None:
        self.cuts.durable(f"settings of {stack}", lambda: self._configure(project, stack, config))

    def up(
        self,
        project: Project,
        stack: str,
        operations: Operations,
        find: Any,
        tell: Any,
        *,
        config: Mapping[str, str] | None = None,
    ) -> Inventory:
        self.look("up")
        for left in operations.unfinished():
            operations.ended(left, "interrupted")
        self.configure(project, stack, config or {})
        engine = process.of(1)
        operations.began(engine, "pulumi up")
        self.cuts.durable(f"pulumi up {stack}", lambda: self._up(project, stack))
        operations.ended(engine, "succeeded")
        return self.inventory(stack)

    def _configure(self, project: Project, stack: str, config: Mapping[str, str]) -> None:
        file = project.directory / "stacks" / f"Pulumi.{stack}.yaml"
        document = yaml.safe_load(file.read_text())
        document["config"].update(config)
        file.write_text(yaml.safe_dump(document))

    def _up(self, project: Project, stack: str) -> None:
        wanted, made = environments.load(project.directory, stack), self.stacks[stack]
        if wanted.standby:
            return
        if self.reading("dev" if stack == "dev-dr" else "dev-dr").fold().mark_in_force is None:
            self.violations.append(f"hosts of {stack} before the other was marked")
        made.creations += made.hosts == 0
        made.hosts = 1
        for name in wanted.volumes.keys() - made.volumes.keys():
            snapshot = self.volumes_from(name, wanted.restore.get(name))
            made.volumes[name] = self.volume(name, snapshot, REGIONS[stack])

    def destroy(self, environment: str) -> None:
        """Its hosts and volumes are gone, and it stands by again."""
        for volume in self.stacks[environment].volumes.values():
            self.clients.ec2(REGIONS[environment]).delete_volume(VolumeId=volume)
        self.stacks[environment] = Stack(creations=self.stacks[environment].creations)
        self.clusters.pop(environment, None)

    def volume(self, name: str, snapshot: str | None, region: str = AWAY) -> str:
        tags = {"ResourceType": "volume", "Tags": [{"Key": "Name", "Value": name}]}
        source = {"SnapshotId": snapshot} if snapshot else {}
        made: str = self.clients.ec2(region).create_volume(
            AvailabilityZone=f"{region}a", Size=4, TagSpecifications=[tags], **source
        )["VolumeId"]
        return made

    # the public name

    def switch(self, clients: Clients, stores: Stores, environment: str, recovery: str) -> None:
        self.look("switch")
        self.cuts.durable(f"switch to {recovery}", lambda: self._switch(recovery))

    def _switch(self, recovery: str) -> None:
        if self.clusters[recovery].services.get("orders") is None:
            self.violations.append(f"the name leads to {recovery} before its services are there")
        if self.name_leads_to[-1] != recovery:
            self.name_leads_to.append(recovery)

    def await_switched(self, name: Any, inventory: Inventory, tell: Any, turn: Any) -> None:
        self.cuts.require_alive()
        assert turn.args[-1] == inventory.environment, "turned again, it leads here too"
        assert (name.name, self.name_leads_to[-1]) == (NAME, inventory.environment)
        if not self.name_answers:
            raise GateFailed("it does not answer")
        self.look("answers")


@dataclass
class Verbs:
    """The other verbs: each changes a cluster's state, once its hosts stand."""

    world: Disaster

    def bootstrap(self, operation: Operation) -> None:
        self.world.look("bootstrap")
        assert operation.inventory.hosts
        self.world.cuts.durable("bootstrap", lambda: self._bootstrap(operation.environment))

    def apply(self, operation: Operation, wanted: Apply) -> None:
        self.world.look(f"apply {'some' if wanted.packages is not None else 'all'}")
        assert operation.journal.fold().release == self.world.release
        self.world.cuts.durable("apply", lambda: self._apply(operation, wanted))

    def barriers(self, operation: Operation) -> Mapping[str, Mapping[str, Any]]:
        self.world.cuts.require_alive()
        self.world.look("barriers")
        cluster = self.world.clusters[operation.environment]
        cluster.barriers_asked += 1
        return {"kafka": {"offsets": dict(cluster.offsets)}}

    def _bootstrap(self, environment: str) -> None:
        self.world.clusters.setdefault(environment, Cluster()).is_up = True

    def _apply(self, operation: Operation, wanted: Apply) -> None:
        cluster = self.world.clusters[operation.environment]
        assert cluster.is_up
        cluster.known.append(wanted.known)
        for name in wanted.packages if wanted.packages is not None else ("edge", "kafka", "mailer", "orders"):
            cluster.services[name] = not (name == "mailer" and wanted.suspend_outbound)
        if cluster.services.get("mailer") and self.world.name_leads_to[-1] != operation.environment:
            self.world.violations.append("mail was written while the name led elsewhere")


@contextmanager
def disaster(
    folder: Path, clients: Clients, alter: Callable[[Path], None] = lambda project: None
) -> Iterator[Disaster]:
    """dev is lost with a release, a restore point and a secret in its journal; dev-dr stands by. Inside mock_aws.

    What was released may be altered before.
    """
    world = Disaster(folder, clients)
    world.key_arn = clients.kms(AWAY).create_key()["KeyMetadata"]["Arn"]
    for bucket in ("journal", "mirror"):
        clients.s3(AWAY).create_bucket(
            Bucket=bucket,
            CreateBucketConfiguration={"LocationConstraint": AWAY},
            ObjectLockEnabledForBucket=bucket == "journal",
        )
    call = BaseClient._make_api_call

    def called(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
        world.cuts.require_alive()
        if operation not in WRITES:
            return call(client, operation, parameters)
        return world.cuts.durable(
            f"{operation} {_kind(str(parameters.get('Key')))}", lambda: call(client, operation, parameters)
        )

    with ExitStack() as patched:
        for target, name, fake in (
            (infrastructure, "inventory", world.outputs),
            (infrastructure, "configure", world.configure),
            (infrastructure, "up", world.up),
            (sys.modules["rekindle.replay.run"], "switch", world.switch),
            (sys.modules["rekindle.replay.run"], "await_switched", world.await_switched),
            (Holder, "of_this_process", world.holder),
            (Holder, "is_alive", lambda holder: holder.pid == world.commands),
            (BaseClient, "_make_api_call", called),
        ):
            patched.enter_context(patch.object(target, name, fake))
        project = declare(folder / "project")
        alter(project)
        _write_journal(world, project)
        yield world


def declare(folder: Path) -> Path:
    """The repository's own packages and settings, and one service more that acts on the outside."""
    shutil.copytree(ROOT / "packages", folder / "packages")
    (folder / "packages" / "mailer").mkdir()
    (folder / "packages" / "mailer" / "package.yaml").write_text(MAILER)
    (folder / "packages" / "mailer" / "app.json.j2").write_text("{}")
    (folder / "roles").mkdir()
    (folder / "roles" / "README").write_text("none here\n")
    (folder / "stacks").mkdir()
    (folder / "stacks" / "__main__.py").write_text("# the program\n")
    (folder / "Pulumi.yaml").write_text("name: rekindle\nruntime: python\nmain: stacks\nstackConfigDir: stacks\n")
    for stack in ("dev", "dev-dr"):
        shutil.copy(ROOT / "stacks" / f"Pulumi.{stack}.yaml", folder / "stacks")
    return folder


def point_of(world: Disaster, id: str = "rp-1") -> RestorePoint:
    """A complete restore point of all volumes."""
    return RestorePoint(
        id=id,
        release=world.release,
        status="complete",
        consistency="frozen",
        barrier={"kafka": {"at": BARRIER.isoformat(), "said": {"offsets": {"0": 7}}}},
        volumes=tuple(
            VolumeCopy(
                name=name,
                volume_id=f"vol-{name}",
                az="us-east-1a",
                size_gib=4,
                service=name,
                snapshot_id="snap-there",
                copy_id=copy,
                copy_region=AWAY,
                state="complete",
            )
            for name, copy in world.copies.items()
        ),
        started=BARRIER,
        ended=BARRIER + timedelta(minutes=1),
    )


def _write_journal(world: Disaster, project: Path) -> None:
    ec2 = world.clients.ec2(AWAY)
    for name in VOLUMES:
        source = ec2.create_volume(AvailabilityZone=f"{AWAY}a", Size=4)["VolumeId"]
        world.copies[name] = ec2.create_snapshot(VolumeId=source)["SnapshotId"]
        ec2.delete_volume(VolumeId=source)
    release = Release.of(project)
    with world.writing("dev") as (journal, secrets):
        world.release = world.releases("dev").save(release)
        journal.append(release.entry("apply"), point_of(world))
        secrets.set("orders/token", Secret("planted"))
        journal.checkpoint()
    world.cuts = Cuts()


def _kind(key: str) -> str:
    """ "journal of dev-dr", "lock of dev", "secret of dev-dr", "release": which object a key names."""
    parts = key.split("/")
    return f"{parts[0]} {parts[1]}" if len(parts) > 2 else parts[0]
