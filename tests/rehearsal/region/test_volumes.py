"""EBS on the stage refuses what EBS refuses, takes its time, and keeps blocks where the API says they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from api_in_process import Clients, as_before
from botocore.exceptions import ClientError
from moto.ec2.models import EC2Backend
from moto.ec2.models.elastic_block_store import Snapshot

from rehearsal.region import cloud
from rehearsal.region.behaviour import volumes

HERE, THERE = "us-west-2", "us-east-1"
AZ = f"{HERE}a"
FAR_KEY = f"arn:aws:kms:{THERE}:123456789012:key/11111111-2222-3333-4444-555555555555"


@dataclass
class Blocks:
    """The volume store: what each device and snapshot holds, by region and id."""

    held: dict[tuple[str, str], str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    def create(self, region: str, volume: str, size: int, snapshot: str | None) -> None:
        self.held[region, volume] = self.held[region, snapshot] if snapshot else ""
        self.sizes[volume] = size

    def snapshot(self, region: str, volume: str, snapshot: str) -> None:
        self.held[region, snapshot] = self.held[region, volume]

    def copy(self, source: str, snapshot: str, region: str, copied: str) -> None:
        self.held[region, copied] = self.held[source, snapshot]

    def delete_volume(self, region: str, volume: str) -> None:
        del self.held[region, volume]

    delete_snapshot = delete_volume

    def resize(self, region: str, volume: str, size: int) -> None:
        self.sizes[volume] = size

    def written_bytes(self, region: str, snapshot: str) -> int:
        return len(self.held[region, snapshot])


@dataclass
class Machines:
    """Disks inside machines; a mounted one is not let go."""

    disks: dict[str, tuple[str, str]] = field(default_factory=dict)
    mounted: set[str] = field(default_factory=set)
    forced: list[str] = field(default_factory=list)

    def attach(self, instance_id: str, region: str, volume: str, device: str) -> None:
        if device != "/dev/sda1":  # with which it was made
            self.disks[volume] = (instance_id, device)

    def detach(self, instance_id: str, region: str, volume: str, device: str, *, force: bool) -> bool:
        if volume in self.mounted and not force:
            return False
        self.forced += [volume] if force else []
        return self.disks.pop(volume, None) is not None or True


@dataclass
class Stage:
    aws: Clients
    blocks: Blocks = field(default_factory=Blocks)
    machines: Machines = field(default_factory=Machines)
    pending: volumes.PendingSnapshots = field(default_factory=volumes.PendingSnapshots)
    lost: set[str] = field(default_factory=set)
    now: float = 0.0

    def go_on(self, seconds: float) -> None:
        self.now += seconds
        self.pending.settle()

    def volume(self, **options: Any) -> str:
        made = self.aws("ec2", HERE).create_volume(**{"AvailabilityZone": AZ, "Size": 4, **options})
        return str(made["VolumeId"])

    def written(self, text: str, **options: Any) -> str:
        """A volume that holds something."""
        made = self.volume(**options)
        self.blocks.held[HERE, made] = text
        return made

    def snapshot(self, volume: str, *, complete: bool = True) -> str:
        made = str(self.aws("ec2", HERE).create_snapshot(VolumeId=volume)["SnapshotId"])
        if complete:
            self.go_on(volumes.SNAPSHOT_SECONDS)
        return made

    def copy(self, snapshot: str, **options: Any) -> str:
        asked = {"SourceSnapshotId": snapshot, "SourceRegion": HERE, **options}
        return str(self.aws("ec2", THERE).copy_snapshot(**asked)["SnapshotId"])

    def state(self, snapshot: str, region: str = HERE) -> str:
        (found,) = self.aws("ec2", region).describe_snapshots(SnapshotIds=[snapshot])["Snapshots"]
        return str(found["State"])

    def host(self, az: str = AZ, state: str = "running") -> str:
        ec2 = self.aws("ec2", HERE)
        image = ec2.register_image(Name=f"image-{len(self.machines.disks)}-{az}-{state}")["ImageId"]
        made = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, Placement={"AvailabilityZone": az})
        number = str(made["Instances"][0]["InstanceId"])
        cloud.ec2(HERE).get_instance(number)._state.name = state
        return number

    def attach(self, volume: str, instance: str, device: str = "/dev/xvdf") -> None:
        self.aws("ec2", HERE).attach_volume(VolumeId=volume, InstanceId=instance, Device=device)

    def attachment(self, volume: str) -> str | None:
        (found,) = self.aws("ec2", HERE).describe_volumes(VolumeIds=[volume])["Volumes"]
        return next((str(one["State"]) for one in found["Attachments"]), None)


@pytest.fixture
def stage(aws: Clients, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    made = Stage(aws)
    monkeypatch.setattr(volumes, "time", SimpleNamespace(monotonic=lambda: made.now))
    with as_before(EC2Backend, Snapshot):
        volumes.install(made.blocks, made.machines, made.pending, made.lost.__contains__)  # type: ignore[arg-type]
        yield made


def refused(code: str) -> Any:
    return pytest.raises(ClientError, match=rf"\({code}\)")


def test_a_snapshot_is_the_volume_as_it_was_at_that_instant(stage: Stage) -> None:
    volume = stage.written("then")
    snapshot = stage.snapshot(volume)
    stage.blocks.held[HERE, volume] = "now"
    restored = stage.volume(SnapshotId=snapshot)
    assert stage.blocks.held[HERE, restored] == "then"
    assert stage.blocks.held[HERE, stage.volume()] == ""


def test_a_snapshot_is_pending_until_its_time_has_come(stage: Stage) -> None:
    snapshot = stage.snapshot(stage.volume(), complete=False)
    assert stage.state(snapshot) == "pending"
    stage.go_on(volumes.SNAPSHOT_SECONDS / 2)
    assert stage.state(snapshot) == "pending"
    stage.go_on(volumes.SNAPSHOT_SECONDS / 2)
    assert stage.state(snapshot) == "completed"


def test_nothing_is_made_from_a_pending_snapshot(stage: Stage) -> None:
    """EC2: IncorrectState, until the snapshot is completed (CreateVolume, CopySnapshot)."""
    snapshot = stage.snapshot(stage.volume(), complete=False)
    with refused("IncorrectState"):
        stage.volume(SnapshotId=snapshot)
    with refused("IncorrectState"):
        stage.copy(snapshot)


def test_a_copy_is_pending_for_longer_the_more_it_holds(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(volumes, "COPY_BYTES_PER_SECOND", 1)
    copied = stage.copy(stage.snapshot(stage.written("seven b")))
    stage.go_on(volumes.COPY_SECONDS + 6)
    assert stage.state(copied, THERE) == "pending"
    stage.go_on(1)
    assert stage.state(copied, THERE) == "completed"
    assert stage.blocks.held[THERE, copied] == "seven b"


@pytest.mark.parametrize(
    ("key", "ends"),
    [
        ("mine", "completed"),
        ("mine by alias", "completed"),
        ("mine by ARN", "completed"),
        ("11111111-2222-3333-4444-555555555555", "error"),
        ("alias/of-nothing", "error"),
        (FAR_KEY, "error"),
    ],
)
def test_a_copy_under_a_key_that_its_region_does_not_have_ends_in_error(stage: Stage, key: str, ends: str) -> None:
    """As on AWS: CopySnapshot validates the key asynchronously (EC2 API reference)."""
    kms = stage.aws("kms", THERE)
    made = kms.create_key()["KeyMetadata"]
    kms.create_alias(AliasName="alias/mine", TargetKeyId=made["KeyId"])
    keys = {"mine": made["KeyId"], "mine by alias": "alias/mine", "mine by ARN": made["Arn"]}
    copied = stage.copy(stage.snapshot(stage.volume(Encrypted=True)), KmsKeyId=keys.get(key, key), Encrypted=True)
    assert stage.state(copied, THERE) == "pending"
    stage.go_on(volumes.COPY_SECONDS + 1)
    assert stage.state(copied, THERE) == ends


def test_an_encrypted_snapshots_copy_is_encrypted_though_no_key_is_named(stage: Stage) -> None:
    copied = stage.copy(stage.snapshot(stage.volume(Encrypted=True)))
    (found,) = stage.aws("ec2", THERE).describe_snapshots(SnapshotIds=[copied])["Snapshots"]
    assert found["KmsKeyId"]
    stage.go_on(volumes.COPY_SECONDS + 1)
    assert stage.state(copied, THERE) == "completed"


def test_nothing_is_copied_out_of_a_lost_region_nor_out_of_one_that_is_not_there(stage: Stage) -> None:
    snapshot = stage.snapshot(stage.volume())
    with refused("InvalidParameterValue"):
        stage.copy(snapshot, SourceRegion="eu-west-1")
    stage.lost.add(HERE)
    with refused("InvalidParameterValue"):
        stage.copy(snapshot)


def test_a_volume_is_no_smaller_than_its_snapshot(stage: Stage) -> None:
    snapshot = stage.snapshot(stage.volume(Size=8))
    with refused("InvalidParameterValue"):
        stage.volume(SnapshotId=snapshot, Size=7)
    asked = {"AvailabilityZone": AZ, "SnapshotId": snapshot}
    assert stage.aws("ec2", HERE).create_volume(**asked)["Size"] == 8
    assert stage.volume(SnapshotId=snapshot, Size=9)


def test_a_snapshot_keeps_the_size_that_its_volume_had(stage: Stage) -> None:
    volume = stage.volume(Size=4)
    snapshot = stage.snapshot(volume)
    stage.aws("ec2", HERE).modify_volume(VolumeId=volume, Size=6)
    (found,) = stage.aws("ec2", HERE).describe_snapshots(SnapshotIds=[snapshot])["Snapshots"]
    assert (found["VolumeSize"], stage.blocks.sizes[volume]) == (4, 6)
    with refused("InvalidParameterValue"):
        stage.aws("ec2", HERE).modify_volume(VolumeId=volume, Size=5)
    assert stage.blocks.sizes[volume] == 6


def test_what_is_deleted_is_gone_from_the_disk(stage: Stage) -> None:
    volume = stage.volume()
    snapshot = stage.snapshot(volume)
    stage.aws("ec2", HERE).delete_snapshot(SnapshotId=snapshot)
    stage.aws("ec2", HERE).delete_volume(VolumeId=volume)
    assert stage.blocks.held == {}


def test_a_running_host_sees_the_disk(stage: Stage) -> None:
    volume, host = stage.volume(), stage.host()
    stage.attach(volume, host)
    assert stage.machines.disks == {volume: (host, "/dev/xvdf")}
    assert stage.attachment(volume) == "attached"


@pytest.mark.parametrize("state", ["stopped", "stopping"])
def test_a_stopped_host_sees_it_when_it_starts(stage: Stage, state: str) -> None:
    volume = stage.volume()
    stage.attach(volume, stage.host(state=state))
    assert stage.machines.disks == {}
    assert stage.attachment(volume) == "attached"


@pytest.mark.parametrize("state", ["pending", "shutting-down", "terminated"])
def test_a_host_that_comes_or_goes_takes_no_volume(stage: Stage, state: str) -> None:
    volume = stage.volume()
    with refused("IncorrectState"):
        stage.attach(volume, stage.host(state=state))
    assert stage.attachment(volume) is None


def test_a_volume_stays_in_its_zone_on_one_host_under_one_name(stage: Stage) -> None:
    one, other, host = stage.volume(), stage.volume(), stage.host()
    with refused(r"InvalidVolume\.ZoneMismatch"):
        stage.attach(one, stage.host(f"{HERE}b"))
    stage.attach(one, host)
    with refused("InvalidParameterValue"):
        stage.attach(other, host)
    with refused("VolumeInUse"):
        stage.attach(one, stage.host(state="stopped"), "/dev/xvdg")
    assert list(stage.machines.disks) == [one]


def test_a_mounted_volume_is_detached_when_it_is_unmounted(stage: Stage) -> None:
    volume = stage.volume()
    stage.attach(volume, stage.host())
    stage.machines.mounted.add(volume)
    stage.aws("ec2", HERE).detach_volume(VolumeId=volume)
    volumes.settle_detaching(stage.machines)
    assert stage.attachment(volume) == "detaching"
    stage.machines.mounted.clear()
    volumes.settle_detaching(stage.machines)
    assert (stage.attachment(volume), stage.machines.disks) == (None, {})


def test_by_force_it_is_detached_at_once(stage: Stage) -> None:
    volume = stage.volume()
    stage.attach(volume, stage.host())
    stage.machines.mounted.add(volume)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(volumes, "parameters", lambda: {"Action": "DetachVolume", "Force": "true"})
        stage.aws("ec2", HERE).detach_volume(VolumeId=volume, Force=True)
    assert (stage.attachment(volume), stage.machines.forced) == (None, [volume])


def test_an_attached_volume_that_nobody_asked_to_detach_stays(stage: Stage) -> None:
    volume = stage.volume()
    stage.attach(volume, stage.host())
    volumes.settle_detaching(stage.machines)
    assert stage.attachment(volume) == "attached"


def test_what_is_not_attached_is_not_detached(stage: Stage) -> None:
    with refused("IncorrectState"):
        stage.aws("ec2", HERE).detach_volume(VolumeId=stage.volume())
