"""Restore points against EC2's API, and hosts that hold the state of their mounts."""

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from botocore.exceptions import EndpointConnectionError
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.ec2 import ec2_backends
from moto.moto_api._internal.models import moto_api_backend

from rekindle import backup as backups
from rekindle.aws import compute
from rekindle.aws.clients import Clients
from rekindle.backup import Backup, Group, Orphan, freezing, points
from rekindle.errors import CommandFailed, Incomplete, InputError, Refused, RekindleError, SnapshotLost, Unreachable
from rekindle.inventory import Host, Inventory, Role, Ssh, Stores, SwitchAlarm, Volume
from rekindle.journal.entries import Operation, RestorePoint
from rekindle.journal.holder import Holder
from rekindle.journal.journal import Journal
from rekindle.journal.lock import Lock
from rekindle.journal.release import Artifact
from rekindle.journal.store import DirectoryStore
from rekindle.secrets import Keyring
from rekindle.transport import Result

KEYRING = Keyring(b"k" * 32)
HOME, AWAY = "us-east-1", "us-west-2"
NAMES = ("kafka-1", "kafka-2", "kafka-3")
T = TypeVar("T")


class Killed(BaseException):
    """Stands for kill -9."""


@dataclass
class Agents:
    """Hosts with mounted volumes, as hold.sh and find.sh leave them: what is frozen where, and what went wrong."""

    mounted: dict[str, tuple[str, str]]  # volume id to host and name
    frozen: set[str] = field(default_factory=set)  # mount paths
    states: dict[str, str] = field(default_factory=dict)  # of each freeze
    silent: set[str] = field(default_factory=set)  # hosts that do not answer
    broken: set[str] = field(default_factory=set)  # hosts whose freeze fails
    dropping: set[str] = field(default_factory=set)  # hosts that froze, and of which no answer came
    on_freeze: Callable[[], None] = lambda: None
    history: list[str] = field(default_factory=list)

    def run(self, host: str, command: str, *, timeout: float = 1.0, check: bool = True) -> Result:
        self.reach(host)
        calls = [shlex.split(line) for line in command.partition(freezing.shell("hold.sh"))[2].splitlines()]
        said = [self.obey(host, *words) for words in calls if words]
        if host in self.dropping:
            self.dropping.discard(host)
            raise Unreachable("the connection dropped", where=host)
        return Result(host=host, command=command, exit_code=0, stdout="".join(said), stderr="")

    def reach(self, host: str) -> None:
        if host in self.silent:
            raise Unreachable("no route", where=host)

    def obey(self, host: str, verb: str, known_as: str, device: str, path: str) -> str:
        if verb == "freeze":
            self.freeze(host, known_as, path)
        elif verb == "release":
            self.thaw(known_as, path)
        elif verb in ("frozen", "thawed"):
            return f"rekindle-hold {known_as} {self.states.get(known_as, 'unknown')}\n"
        return ""

    def freeze(self, host: str, known_as: str, path: str) -> None:
        self.states[known_as] = "over: Input/output error" if host in self.broken else "frozen"
        if host not in self.broken:
            self.frozen.add(path)
            self.history.append(f"freeze {path}")
            self.on_freeze()

    def thaw(self, known_as: str, path: str) -> None:
        self.history.append(f"thaw {path}")
        if self.states.get(known_as) == "frozen":
            self.frozen.discard(path)
            self.states[known_as] = "thawed"

    def thaw_by_themselves(self) -> None:
        """Their time is up."""
        self.frozen.clear()
        self.states |= dict.fromkeys(self.states, "over: thawed by the host itself")

    def facts(self, host: str, script: str) -> str:
        self.reach(host)
        looked_for = [shlex.split(line)[1] for line in script.splitlines() if line.startswith("look ")]
        here = [volume for volume in looked_for if self.mounted.get(volume, ("", ""))[0] == host]
        return "".join(
            f"rekindle-volume {volume} leaf 7:{number(volume)}\n"
            f"rekindle-volume {volume} mount 7:{number(volume)} / /volumes/{self.mounted[volume][1]}\n"
            for volume in here
        )

    def each(self, hosts: Iterable[str], call: Callable[[str], T]) -> dict[str, T | RekindleError]:
        found: dict[str, T | RekindleError] = {}
        for host in hosts:
            try:
                found[host] = call(host)
            except RekindleError as error:
                found[host] = error
        return found


def number(volume: str) -> int:
    """Of its device."""
    return int(volume.removeprefix("vol-"), 16) % 2**20


@dataclass
class Shelf:
    """A mirror that lacks some artifacts."""

    lacking: set[str] = field(default_factory=set)

    def missing(self, artifacts: Iterable[Artifact]) -> list[Artifact]:
        return [a for a in artifacts if a.name in self.lacking]


@dataclass
class World:
    """An environment in EC2, its agents, its journal."""

    clients: Clients
    inventory: Inventory
    agents: Agents
    store: DirectoryStore
    shelf: Shelf = field(default_factory=Shelf)
    acknowledged: int = 5
    clock: datetime = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)

    def now(self) -> datetime:
        self.clock += timedelta(milliseconds=100)
        return self.clock

    def barrier(self) -> Mapping[str, Any]:
        self.agents.history.append("barrier")
        return {"offsets": {"0": self.acknowledged}}

    @contextmanager
    def backup(self, **changed: Any) -> Iterator[Backup]:
        with Lock.acquire(self.store, "dev", KEYRING, Holder.of_this_process("backup")) as lock:
            journal = Journal.open(self.store, "dev", KEYRING, lock=lock)
            artifact = Artifact(name="kafka.tgz", url="", sha256="0" * 64, size=1)
            group = Group(name="kafka", volumes=self.inventory.volumes, barrier=self.barrier)
            made: dict[str, Any] = {
                "inventory": self.inventory,
                "journal": journal,
                "clients": self.clients,
                "hosts": self.agents,
                "mirror": self.shelf,
                "release": "r1",
                "artifacts": (artifact,),
                "groups": (group,),
                "tell": lambda line: None,
                "now": self.now,
            }
            yield Backup(**{**made, **changed})

    def run(self, **changed: Any) -> RestorePoint:
        with self.backup(**changed) as backup:
            return backups.run(backup)

    def points(self) -> list[RestorePoint]:
        return list(Journal.open(self.store, "dev", KEYRING).fold().restore_points.values())

    def snapshots(self, region: str) -> list[compute.Snapshot]:
        return list(compute.snapshots(self.clients.ec2(region), tags={"rekindle:environment": "dev"}))


@pytest.fixture(scope="module")
def clients() -> Iterator[Clients]:
    """One AWS for all tests here: clients are slow to make."""
    with pytest.MonkeyPatch.context() as patched, mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patched.setenv(name, "testing")
        patched.delenv("AWS_ENDPOINT_URL", raising=False)
        yield Clients()


@pytest.fixture(scope="module")
def standing() -> list[Inventory]:
    """The environment, once it is built: building it takes longer than most tests."""
    return []


@pytest.fixture
def world(tmp_path: Path, clients: Clients, standing: list[Inventory]) -> World:
    """An environment of which no snapshot was taken."""
    if not (standing and _stands(standing[0])):
        moto_api_backend.reset()
        standing[:] = [_built(clients)]
    for region in (HOME, AWAY):
        ec2_backends[DEFAULT_ACCOUNT_ID][region].snapshots.clear()
    return World(clients, standing[0], _agents(standing[0]), DirectoryStore(tmp_path))


def _stands(inventory: Inventory) -> bool:
    """Whether no test before took some of it away."""
    kept = ec2_backends[DEFAULT_ACCOUNT_ID][HOME].volumes
    return all(v.volume_id in kept and kept[v.volume_id].attachment for v in inventory.volumes)


def _agents(inventory: Inventory) -> Agents:
    return Agents({v.volume_id: (f"private-agent-{i}", v.name) for i, v in enumerate(inventory.volumes, 1)})


def _built(clients: Clients) -> Inventory:
    ec2 = clients.ec2(HOME)
    hosts, volumes = [], []
    image = ec2.register_image(Name="debian", RootDeviceName="/dev/xvda")["ImageId"]
    for number, name in enumerate(NAMES, 1):
        az = f"{HOME}{'abc'[number - 1]}"
        placed = {"AvailabilityZone": az}
        made = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, Placement=placed)["Instances"][0]
        volume = ec2.create_volume(AvailabilityZone=az, Size=4)["VolumeId"]
        ec2.attach_volume(VolumeId=volume, InstanceId=made["InstanceId"], Device="/dev/xvdf")
        hosts.append(
            Host(
                name=f"private-agent-{number}",
                role=Role.PRIVATE_AGENT,
                pool="private-agent",
                zone="private",
                az=az,
                private_ip=f"10.0.0.{number}",  # type: ignore[arg-type]
                instance_id=made["InstanceId"],
            )
        )
        volumes.append(Volume(name=name, volume_id=volume, az=az, size_gib=4, service=name))
    key = clients.kms(AWAY).create_key()["KeyMetadata"]["Arn"]
    stores = Stores(
        region=AWAY,
        journal_bucket="journal",
        mirror_bucket="mirror",
        artifacts_bucket="artifacts",
        switch=SwitchAlarm(kind="alarm", namespace="Rekindle/example"),
        kms_key_arn=key,
    )
    return Inventory(
        environment="dev",
        region=HOME,
        cluster_name="dev",
        hosts=tuple(hosts),
        volumes=tuple(volumes),
        ssh=Ssh(user="admin"),
        stores=stores,
    )


def test_a_backup_is_complete_when_all_its_copies_are(world: World) -> None:
    told: list[str] = []
    point = world.run(tell=told.append)
    assert told == [
        "kafka: snapshots of kafka-1, kafka-2, kafka-3",
        "snapshots: 3 of 3 (100 %)",
        "copies: 3 of 3 (100 %)",
    ]
    assert point.status == "complete"
    assert point.consistency == points.FROZEN
    assert point.release == "r1"
    assert {v.state for v in point.volumes} == {"complete"}
    copies = {s.snapshot_id: s for s in world.snapshots(AWAY)}
    assert {copies[v.copy_id].tags["Name"] for v in point.volumes if v.copy_id} == set(NAMES)
    assert point.size_bytes == 12 * 2**30
    assert world.points() == [world.points()[-1]]


def test_the_barrier_is_noted_before_anything_is_frozen_and_all_is_thawed_after(world: World) -> None:
    point = world.run()
    history = world.agents.history
    assert history[0] == "barrier"
    assert [h.split()[0] for h in history] == ["barrier", *["freeze"] * 3, *["thaw"] * 3]
    assert not world.agents.frozen
    assert point.barrier["kafka"]["said"] == {"offsets": {"0": 5}}  # type: ignore[index, call-overload]
    assert points.barrier_at(point) < point.ended  # type: ignore[operator]


def test_snapshots_start_while_all_is_frozen(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[set[str]] = []
    real = compute.create_snapshots
    monkeypatch.setattr(
        compute, "create_snapshots", lambda *a, **k: seen.append(set(world.agents.frozen)) or real(*a, **k)
    )
    world.run()
    assert seen == [{f"/volumes/{name}" for name in NAMES}]


def test_a_host_that_fails_among_three_fails_the_restore_point_and_leaves_nothing_frozen(world: World) -> None:
    world.agents.broken = {"private-agent-2"}
    with pytest.raises(CommandFailed, match="private-agent-2"):
        world.run()
    assert not world.agents.frozen
    assert [p.status for p in world.points()] == ["failed"]
    assert world.snapshots(HOME) == []


def test_a_silent_host_fails_the_restore_point(world: World) -> None:
    world.agents.silent = {"private-agent-3"}
    with pytest.raises(Unreachable):
        world.run()
    assert [p.status for p in world.points()] == ["failed"]


def test_a_timer_that_came_first_fails_the_restore_point(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real = compute.create_snapshots

    def slow(*arguments: Any, **named: Any) -> Any:
        world.agents.thaw_by_themselves()
        return real(*arguments, **named)

    monkeypatch.setattr(compute, "create_snapshots", slow)
    with pytest.raises(CommandFailed, match="not frozen any more"):
        world.run()
    assert [p.status for p in world.points()] == ["failed"]


def test_a_volume_that_moved_meanwhile_fails_the_restore_point(world: World) -> None:
    ec2, volume = world.clients.ec2(HOME), world.inventory.volumes[0].volume_id
    world.agents.on_freeze = lambda: _detached(ec2, volume)
    with pytest.raises(CommandFailed, match="kafka-1 moved"):
        world.run()
    assert not world.agents.frozen


def _detached(ec2: Any, volume: str) -> None:
    for attachment in ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["Attachments"]:
        ec2.detach_volume(VolumeId=volume, InstanceId=attachment["InstanceId"])


def test_an_unattached_volume_is_saved_as_it_lies(world: World) -> None:
    _detached(world.clients.ec2(HOME), world.inventory.volumes[0].volume_id)
    assert world.run().status == "complete"
    assert "freeze /volumes/kafka-1" not in world.agents.history


def test_a_missing_artifact_keeps_it_pending_and_the_next_backup_completes_it(world: World) -> None:
    world.shelf.lacking = {"kafka.tgz"}
    with pytest.raises(Incomplete, match=r"kafka\.tgz"):
        world.run()
    assert [p.status for p in world.points()] == ["pending"]
    world.shelf.lacking = set()
    world.run()
    assert [p.status for p in world.points()] == ["complete", "complete"]


CUTS = ("create_snapshots", "wait_for_snapshots", "copy_snapshot")


@pytest.mark.parametrize("call", CUTS)
@pytest.mark.parametrize("side", ["before", "after"])
def test_killed_anywhere_the_next_backup_finishes_or_gives_up(
    world: World, monkeypatch: pytest.MonkeyPatch, call: str, side: str
) -> None:
    real = getattr(compute, call)

    def cut(*arguments: Any, **named: Any) -> Any:
        if side == "after":
            real(*arguments, **named)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(compute, call, cut)
        with pytest.raises(Killed):
            world.run()
    first = world.points()[0]
    assert first.status == "pending"
    second = world.run()
    assert second.status == "complete"
    expected = "failed" if call == "create_snapshots" else "complete"
    assert world.points()[0].status == expected
    copies = [s for s in world.snapshots(AWAY) if s.tags["rekindle:restore-point"] == first.id]
    assert len(copies) == (0 if expected == "failed" else 3)


def test_a_snapshot_that_is_lost_fails_its_restore_point_and_stops_no_later_backup(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compute, "LOOKS_UNTIL_SEEN", 0)
    with monkeypatch.context() as patched:
        patched.setattr(compute, "wait_for_snapshots", _killed)
        with pytest.raises(Killed):
            world.run()
    ec2 = world.clients.ec2(HOME)
    ec2.delete_snapshot(SnapshotId=world.snapshots(HOME)[0].snapshot_id)
    assert world.run().status == "complete"
    assert [p.status for p in world.points()] == ["failed", "complete"]


def test_what_a_killed_backup_froze_is_thawed_by_the_next_before_its_timer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_between_freeze_and_thaw(world, monkeypatch)
    assert world.agents.frozen
    with pytest.raises(Unreachable):
        world.run(groups=(Group(name="kafka", volumes=(), barrier=_unreachable),))
    assert not world.agents.frozen


def _unreachable() -> Mapping[str, Any]:
    raise Unreachable("no answer")


def kill_between_freeze_and_thaw(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As kill -9 does: even what would thaw after a failure does not run."""
    with monkeypatch.context() as patched:
        patched.setattr(compute, "create_snapshots", _killed)
        patched.setattr("rekindle.backup.take._thaw_quietly", lambda *_: None)
        with pytest.raises(Killed):
            world.run()


def _killed(*_: Any, **__: Any) -> Any:
    raise Killed


def test_without_the_freeze_it_is_said_to_be_worth_less(world: World) -> None:
    point = world.run(is_frozen=False)
    assert point.consistency == points.CRASH
    assert not any(h.startswith("freeze") for h in world.agents.history)


def test_a_plan_names_what_would_be_done_and_changes_nothing(world: World) -> None:
    world.shelf.lacking = {"kafka.tgz"}
    with world.backup() as backup:
        plan = backups.plan(backup)
    assert [v.name for v in plan.volumes] == list(NAMES)
    assert {m.host for m in plan.mounts} == {f"private-agent-{n}" for n in (1, 2, 3)}
    assert plan.barriers == ("kafka",)
    assert plan.missing_artifacts == ("kafka.tgz",)
    assert not plan.is_unprotected
    assert not world.snapshots(HOME)
    assert not world.points()


def test_in_its_own_recovery_region_snapshots_are_their_own_copies(world: World) -> None:
    stores = world.inventory.stores
    assert stores
    world.inventory = world.inventory.model_copy(update={"stores": stores.model_copy(update={"region": HOME})})
    with world.backup() as backup:
        assert backups.plan(backup).is_unprotected
    point = world.run()
    assert all(v.copy_id == v.snapshot_id for v in point.volumes)


def test_volumes_of_no_group_are_saved_service_by_service(world: World) -> None:
    with world.backup(groups=()) as backup:
        assert replace(backup).groups == ()
        assert backups.run(backup).status == "complete"
    assert [h.split()[0] for h in world.agents.history] == ["freeze", "thaw"] * 3


def test_the_latest_complete_restore_point_is_the_one_to_restore(world: World) -> None:
    world.run()
    newest = world.run()
    world.agents.broken = {"private-agent-1"}
    with pytest.raises(CommandFailed):
        world.run()
    latest = points.latest(Journal.open(world.store, "dev", KEYRING).fold())
    assert latest
    assert latest.id == newest.id


def failing_after(real: Callable[..., Any], change: Callable[[Any], None]) -> Callable[..., Any]:
    """What it does, and what becomes of it at once."""

    def called(*arguments: Any, **named: Any) -> Any:
        made = real(*arguments, **named)
        change(made)
        return made

    return called


def in_error(region: str) -> Callable[[Any], None]:
    """These snapshots, as EC2 shows them, ended in error."""

    def end(made: Any) -> None:
        kept = ec2_backends[DEFAULT_ACCOUNT_ID][region].snapshots
        for snapshot_id in [made] if isinstance(made, str) else made.values():
            kept[snapshot_id].status = "error"

    return end


def test_a_copy_that_fails_is_not_complete(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(compute, "copy_snapshot", failing_after(compute.copy_snapshot, in_error(AWAY)))
        with pytest.raises(SnapshotLost):
            world.run()
        assert [p.status for p in world.points()] == ["pending"]
        told: list[str] = []
        with pytest.raises(SnapshotLost):
            world.run(tell=told.append)
        assert any("cannot be finished" in line for line in told)
    assert world.run().status == "complete"
    assert [p.status for p in world.points()] == ["complete"] * 3, "copied anew from what is whole"


def test_a_snapshot_that_fails_is_never_copied(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute, "create_snapshots", failing_after(compute.create_snapshots, in_error(HOME)))
    with pytest.raises(SnapshotLost):
        world.run()
    assert [p.status for p in world.points()] == ["failed"]
    assert not world.snapshots(AWAY)


def test_copies_are_made_under_the_recovery_sides_key_with_their_tags(world: World) -> None:
    asked: list[dict[str, Any]] = []
    events = world.clients.ec2_once(AWAY).meta.events
    events.register("provide-client-params.ec2.CopySnapshot", lambda params, **_: asked.append(params), "seen")
    try:
        point = world.run()
    finally:
        events.unregister("provide-client-params.ec2.CopySnapshot", unique_id="seen")
    stores = world.inventory.stores
    assert stores
    assert [(a["KmsKeyId"], a["Encrypted"], a["SourceRegion"]) for a in asked] == [(stores.kms_key_arn, True, HOME)] * 3
    assert {a["SourceSnapshotId"] for a in asked} == {v.snapshot_id for v in point.volumes}
    expected = {
        (name, "dev", point.id, "dev", name)  # Name, environment, restore point, cluster, service
        for name in NAMES
    }
    keys = ("Name", "rekindle:environment", "rekindle:restore-point", "cluster", "rekindle:service")
    for region in (HOME, AWAY):
        assert {tuple(s.tags[key] for key in keys) for s in world.snapshots(region)} == expected


def test_each_volume_has_its_own_snapshot_and_copy(world: World) -> None:
    point = world.run()
    at_home = {s.snapshot_id: s.volume_id for s in world.snapshots(HOME)}
    assert {at_home[v.snapshot_id or ""] for v in point.volumes} == {v.volume_id for v in world.inventory.volumes}
    assert all(at_home[v.snapshot_id or ""] == v.volume_id for v in point.volumes)
    away = {s.snapshot_id: s.tags["Name"] for s in world.snapshots(AWAY)}
    assert [(away[v.copy_id or ""], v.copy_region) for v in point.volumes] == [(v.name, AWAY) for v in point.volumes]
    assert point.ended
    assert point.ended > point.started


def groups(world: World, *consistencies: bool) -> tuple[Group, ...]:
    """One for each volume that has a say; the others are in none."""
    return tuple(
        Group(name=volume.name, volumes=(volume,), is_frozen=is_frozen)
        for volume, is_frozen in zip(world.inventory.volumes, consistencies, strict=False)
    )


@pytest.mark.parametrize(
    ("consistencies", "frozen", "is_said"),
    [
        ((), NAMES, points.FROZEN),
        ((True, True, True), NAMES, points.FROZEN),
        ((True, False, True), ("kafka-1", "kafka-3"), points.CRASH),
        ((False, False, False), (), points.CRASH),
        ((False,), ("kafka-2", "kafka-3"), points.CRASH),
        ((True,), NAMES, points.FROZEN),
    ],
)
def test_a_point_is_frozen_only_if_all_of_it_is(
    world: World, consistencies: tuple[bool, ...], frozen: tuple[str, ...], is_said: str
) -> None:
    point = world.run(groups=groups(world, *consistencies))
    assert point.consistency == is_said
    assert world.agents.history == [f"{verb} /volumes/{name}" for name in frozen for verb in ("freeze", "thaw")]
    assert world.points()[0].consistency == is_said


@pytest.mark.parametrize("consistency", [True, False])
def test_an_attached_volume_without_a_mount_fails_what_is_to_be_frozen(world: World, consistency: bool) -> None:
    world.agents.mounted.pop(world.inventory.volumes[1].volume_id)
    chosen = groups(world, True, consistency, True)
    with world.backup(groups=chosen) as backup:
        if consistency:
            with pytest.raises(CommandFailed, match=r"kafka-2 \(vol-\w+\) is attached to i-\w+ \(private-agent-2\)"):
                backups.run(backup)
            with pytest.raises(CommandFailed, match="kafka-2"):
                backups.plan(backup)
        else:
            assert backups.run(backup).consistency == points.CRASH
            assert {m.volume for m in backups.plan(backup).mounts} == {"kafka-1", "kafka-3"}
    assert [p.status for p in world.points()] == ["failed" if consistency else "complete"]


def test_an_instance_that_is_no_host_of_the_inventory_fails_it(world: World) -> None:
    world.inventory = world.inventory.model_copy(update={"hosts": world.inventory.hosts[:2]})
    with pytest.raises(CommandFailed, match=r"kafka-3 .* which is no host of the inventory"):
        world.run()
    assert [p.status for p in world.points()] == ["failed"]
    assert not world.agents.frozen


def test_a_volume_that_is_gone_is_named(world: World) -> None:
    _detached(world.clients.ec2(HOME), world.inventory.volumes[0].volume_id)
    world.clients.ec2(HOME).delete_volume(VolumeId=world.inventory.volumes[0].volume_id)
    with pytest.raises(InputError, match=r"kafka-1 \(vol-\w+\) does not exist"):
        world.run()


def test_one_that_is_attached_while_snapshots_are_taken_fails_it(world: World) -> None:
    ec2, volume = world.clients.ec2(HOME), world.inventory.volumes[0].volume_id
    instance = world.inventory.hosts[0].instance_id
    _detached(ec2, volume)
    world.agents.on_freeze = lambda: (
        ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["Attachments"]
        or ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device="/dev/xvdf")
    )
    with pytest.raises(CommandFailed, match="kafka-1 moved"):
        world.run()
    assert [p.status for p in world.points()] == ["failed"]


def test_the_barriers_moment_is_before_it_is_asked(world: World) -> None:
    asked: list[datetime] = []

    def barrier() -> Mapping[str, Any]:
        asked.append(world.now())
        return {"offsets": {}}

    volumes = world.inventory.volumes
    first = Group(name="a", volumes=volumes[:1], barrier=barrier)
    second = Group(name="b", volumes=volumes[1:], barrier=barrier)
    point = world.run(groups=(first, second))
    moments = [datetime.fromisoformat(str(point.barrier[name]["at"])) for name in "ab"]  # type: ignore[index, call-overload]
    assert [at < when for at, when in zip(moments, asked, strict=True)] == [True, True]
    assert points.barrier_at(point) == min(moments)
    assert points.barrier_at(point) > point.started


def test_a_barrier_that_does_not_answer_fails_the_point_before_anything_is_frozen(world: World) -> None:
    with pytest.raises(Unreachable):
        world.run(groups=(Group(name="kafka", volumes=world.inventory.volumes, barrier=_unreachable),))
    assert [p.status for p in world.points()] == ["failed"]
    assert world.agents.history == []
    assert not world.snapshots(HOME)


def test_some_snapshots_that_are_refused_fail_the_point_and_leave_nothing_frozen(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = world.inventory.volumes[1].volume_id
    events = world.clients.ec2_once(HOME).meta.events

    def refuse(params: dict[str, Any], **_: Any) -> None:
        if params["VolumeId"] == refused:
            params["VolumeId"] = "vol-00000000000000000"

    events.register("provide-client-params.ec2.CreateSnapshot", refuse, "refused")
    try:
        with pytest.raises(CommandFailed, match="vol-00000000000000000"):
            world.run()
    finally:
        events.unregister("provide-client-params.ec2.CreateSnapshot", unique_id="refused")
    assert not world.agents.frozen
    assert [p.status for p in world.points()] == ["failed"]
    assert "vol-00000000000000000" in str(ended(world)["error"])
    assert len(world.snapshots(HOME)) == 2


def ended(world: World) -> Mapping[str, Any]:
    """What the journal says of how the last backup ended."""
    entries = Journal.open(world.store, "dev", KEYRING).entries()
    return [e for e in entries if isinstance(e, Operation) and e.phase == "ended"][-1].details


def test_a_lost_answer_makes_no_second_snapshot_or_copy(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = Lost()
    for region, name in ((HOME, "CreateSnapshot"), (AWAY, "CopySnapshot")):
        world.clients.ec2_once(region).meta.events.register(f"after-call.ec2.{name}", lost, "lost")
    monkeypatch.setattr(compute, "FIRST_LOOK", 0)
    try:
        point = world.run()
    finally:
        for region, name in ((HOME, "CreateSnapshot"), (AWAY, "CopySnapshot")):
            world.clients.ec2_once(region).meta.events.unregister(f"after-call.ec2.{name}", unique_id="lost")
    assert {s.snapshot_id for s in world.snapshots(HOME)} == {v.snapshot_id for v in point.volumes}
    assert {s.snapshot_id for s in world.snapshots(AWAY)} == {v.copy_id for v in point.volumes}
    assert lost.answers == 6


@dataclass
class Lost:
    """Loses each answer."""

    answers: int = 0

    def __call__(self, **_: Any) -> None:
        self.answers += 1
        raise EndpointConnectionError(endpoint_url="https://ec2")


def test_ctrl_c_leaves_nothing_frozen(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute, "create_snapshots", _killed)
    with pytest.raises(Killed):
        world.run()
    assert not world.agents.frozen
    assert [p.status for p in world.points()] == ["pending"]


def test_a_host_that_froze_but_whose_answer_was_lost_is_thawed(world: World) -> None:
    world.agents.dropping = {"private-agent-2"}
    with pytest.raises(Unreachable):
        world.run()
    assert not world.agents.frozen
    assert [p.status for p in world.points()] == ["failed"]
    assert not world.snapshots(HOME)


def test_a_host_that_is_gone_at_the_thaw_fails_it_and_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_: Any) -> None:
        world.agents.silent = {"private-agent-2"}

    monkeypatch.setattr(compute, "create_snapshots", failing_after(compute.create_snapshots, gone))
    with pytest.raises(Unreachable):
        world.run()
    assert world.agents.frozen == {"/volumes/kafka-2"}
    assert [p.status for p in world.points()] == ["failed"]


def test_what_is_not_reached_after_a_failure_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: Any, **__: Any) -> None:
        world.agents.silent = {"private-agent-1"}
        raise CommandFailed("refused")

    monkeypatch.setattr(compute, "create_snapshots", gone)
    told: list[str] = []
    with pytest.raises(CommandFailed, match="refused"):
        world.run(tell=told.append)
    assert world.agents.frozen == {"/volumes/kafka-1"}
    assert any("private-agent-1 is not reached; it thaws kafka-1 by itself" in line for line in told)


def test_a_killed_backup_is_given_up_though_its_hosts_are_silent(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    kill_between_freeze_and_thaw(world, monkeypatch)
    world.agents.silent = {"private-agent-1"}
    told: list[str] = []
    with pytest.raises(Unreachable):
        world.run(tell=told.append)
    assert [p.status for p in world.points()] == ["failed", "failed"]
    assert any("thawed by its hosts themselves" in line for line in told)


def test_a_killed_wait_for_copies_has_them_on_record(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real = compute.wait_for_snapshots
    with monkeypatch.context() as patched:
        patched.setattr(
            compute,
            "wait_for_snapshots",
            lambda client, *a, **k: _killed() if client.meta.region_name == AWAY else real(client, *a, **k),
        )
        with pytest.raises(Killed):
            world.run()
    (point,) = world.points()
    assert {v.copy_id for v in point.volumes} == {s.snapshot_id for s in world.snapshots(AWAY)}
    assert {(v.state, v.copy_region) for v in point.volumes} == {("copying", AWAY)}
    world.run()
    assert {v.copy_id for v in world.points()[0].volumes} == {v.copy_id for v in point.volumes}


def test_what_has_no_region_or_stores_has_no_backup(world: World) -> None:
    for changed in ({"region": None}, {"stores": None}):
        with world.backup(inventory=world.inventory.model_copy(update=changed)) as backup, pytest.raises(InputError):
            backups.plan(backup)


def test_a_plan_names_what_is_to_be_finished(world: World) -> None:
    world.shelf.lacking = {"kafka.tgz"}
    with pytest.raises(Incomplete):
        world.run()
    (left,) = world.points()
    with world.backup() as backup:
        plan = backups.plan(backup)
    assert plan.to_finish == (left.id,)
    assert (plan.environment, plan.release, plan.recovery_region) == ("dev", "r1", AWAY)


def test_a_snapshot_that_no_point_names_is_told_and_deleted_only_if_its_point_failed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.agents.broken = {"private-agent-2"}
    with pytest.raises(CommandFailed):
        world.run()
    world.agents.broken = set()
    whole = world.run()
    (failed,) = (p.id for p in world.points() if p.status == "failed")
    stray = {
        "failed": made(world, HOME, "dev", failed),
        "failed away": made(world, AWAY, "dev", failed),
        "unknown": made(world, HOME, "dev", "rp-of-nobody"),
        "without": made(world, HOME, "dev", None),
        "twice": made(world, AWAY, "dev", whole.id),
        "another's": made(world, HOME, "poc", failed),
    }
    before = ids(world)
    world.run()
    assert before <= ids(world), "they are young"
    world.clock = datetime.now(UTC) + timedelta(days=2)
    with world.backup() as backup:
        orphans = {o.snapshot_id: o for o in backups.plan(backup).orphans}
    assert set(orphans) == {i for name, i in stray.items() if name != "another's"}
    assert {i for i, o in orphans.items() if o.is_of_failed} == {stray["failed"], stray["failed away"]}
    assert orphans[stray["twice"]] == Orphan(
        snapshot_id=stray["twice"], region=AWAY, size_gib=4, point=whole.id, is_of_failed=False
    )
    told: list[str] = []
    world.shelf.lacking = {"kafka.tgz"}
    with pytest.raises(Incomplete):
        world.run(tell=told.append)
    assert before <= ids(world), "the new point is not complete"
    world.shelf.lacking = set()
    world.run(tell=told.append)
    assert before - ids(world) == {stray["failed"], stray["failed away"]}
    assert f"no restore point names 1 snapshots in {AWAY} (4 GiB): {stray['twice']}" in told
    whole_ones = [v for p in world.points() if p.status == "complete" for v in p.volumes]
    assert {name for v in whole_ones for name in (v.snapshot_id, v.copy_id)} <= ids(world)


def made(world: World, region: str, environment: str, point: str | None) -> str:
    ec2 = world.clients.ec2(region)
    volume = ec2.create_volume(AvailabilityZone=f"{region}a", Size=4)["VolumeId"]
    tags = {"rekindle:environment": environment} | ({"rekindle:restore-point": point} if point else {})
    return compute.create_snapshots(ec2, {volume: tags}, description="")[volume]


def ids(world: World) -> set[str]:
    return {s.snapshot_id for region in (HOME, AWAY) for s in compute.snapshots(world.clients.ec2(region))}


def test_snapshots_of_a_pending_point_are_nobodys_orphans(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(compute, "create_snapshots", failing_after(compute.create_snapshots, _killed))
        with pytest.raises(Killed):
            world.run()
    world.clock = datetime.now(UTC) + timedelta(days=2)
    with world.backup() as backup:
        assert backups.plan(backup).orphans == ()
    world.run()
    assert len(world.snapshots(HOME)) == 3, "those of the point that was given up are gone"


def test_what_cannot_be_tidied_is_told_and_the_point_is_complete(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> None:
        raise Refused("UnauthorizedOperation", where="AWS ec2")

    monkeypatch.setattr(compute, "delete_snapshot", refused)
    world.agents.broken = {"private-agent-1"}
    with pytest.raises(CommandFailed):
        world.run()
    world.agents.broken = set()
    made(world, HOME, "dev", world.points()[0].id)
    world.clock = datetime.now(UTC) + timedelta(days=2)
    told: list[str] = []
    assert world.run(tell=told.append).status == "complete"
    assert any("UnauthorizedOperation" in line for line in told)
