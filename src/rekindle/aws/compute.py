"""EC2 instances, their volumes, snapshots, and consoles."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from rekindle.aws.clients import Client

Tags = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Instance:
    """An EC2 instance."""

    instance_id: str
    state: str  # pending, running, shutting-down, terminated, stopping, stopped
    az: str
    private_ip: str | None
    public_ip: str | None
    tags: Tags


@dataclass(frozen=True, kw_only=True)
class VolumeFacts:
    """An EBS volume."""

    volume_id: str
    state: str  # creating, available, in-use, deleting, deleted, error
    az: str
    size_gib: int
    snapshot_id: str | None
    attached_to: str | None  # instance id
    device: str | None  # "/dev/xvdf"
    tags: Tags


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """An EBS snapshot."""

    snapshot_id: str
    volume_id: str
    state: str  # pending, completed, error
    progress: int  # percent
    size_gib: int
    started: datetime
    encrypted: bool
    tags: Tags


def instances(client: Client, *, ids: Sequence[str] = (), tags: Tags | None = None) -> tuple[Instance, ...]:
    """Instances by id or by tags; one that is not there is not among them."""
    raise NotImplementedError


def wait_for_instances(
    client: Client,
    ids: Sequence[str],
    *,
    state: str = "running",
    timeout: float = 600,
    progress: Callable[[Sequence[Instance]], None] | None = None,
) -> tuple[Instance, ...]:
    """Returns when all are in this state; GateFailed names those that are not."""
    raise NotImplementedError


def volumes(client: Client, *, ids: Sequence[str] = (), tags: Tags | None = None) -> tuple[VolumeFacts, ...]:
    """Volumes by id or by tags."""
    raise NotImplementedError


def snapshots(client: Client, *, ids: Sequence[str] = (), tags: Tags | None = None) -> tuple[Snapshot, ...]:
    """Our own snapshots by id or by tags; one that is not there is not among them."""
    raise NotImplementedError


def create_snapshots(client: Client, tags: Mapping[str, Tags], *, description: str) -> dict[str, str]:
    """Starts one of each volume at once (`tags` by volume id), and gives snapshot ids by volume id."""
    raise NotImplementedError


def copy_snapshot(
    client: Client, snapshot_id: str, source_region: str, *, kms_key_arn: str, tags: Tags, description: str
) -> str:
    """Starts a copy into the client's region under a key of that region, and gives its id."""
    raise NotImplementedError


def wait_for_snapshots(
    client: Client,
    ids: Sequence[str],
    *,
    timeout: float = 3600,
    progress: Callable[[Sequence[Snapshot]], None] | None = None,
) -> tuple[Snapshot, ...]:
    """Returns when all are completed; CommandFailed if one ends in error or is gone, GateFailed when time is up."""
    raise NotImplementedError


def console_output(client: Client, instance_id: str) -> str:
    """What the instance printed; empty while EC2 has nothing yet."""
    raise NotImplementedError


def host_key(console: str) -> str | None:
    """The ED25519 key that cloud-init printed last, as "ssh-ed25519 AAAA…"; None while it is not there."""
    raise NotImplementedError


def wait_for_host_key(client: Client, instance_id: str, *, timeout: float = 600) -> str:
    """The key from the console; GateFailed when time is up."""
    raise NotImplementedError
