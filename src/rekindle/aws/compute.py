"""EC2 instances, their volumes, snapshots, and consoles."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any, TypeVar

from tenacity import (
    RetryError,
    Retrying,
    retry_if_exception_type,
    retry_if_result,
    stop_after_attempt,
    stop_after_delay,
    wait_exponential,
)

from rekindle.aws.clients import Client
from rekindle.aws.errors import is_code, translated
from rekindle.errors import CommandFailed, GateFailed, Refused, SnapshotLost, Unreachable

Tags = Mapping[str, str]
Sleep = Callable[[float], None]
T = TypeVar("T")

PARALLEL = 16
FIRST_LOOK = 0.5  # seconds between the first looks; doubled up to
SLOWEST_LOOK = 15.0
STARTS = 5  # of one snapshot: within a quarter of a minute, for its file system is frozen
LOOKS_UNTIL_SEEN = 7  # half a minute: EC2's API is eventually consistent, and may not show at once what it just made
HOST_KEYS = re.compile(
    r"BEGIN SSH HOST KEY KEYS(.*?)END SSH HOST KEY KEYS", re.DOTALL
)  # cloud-init, cc_keys_to_console
ED25519 = re.compile(r"ssh-ed25519 AAAA[0-9A-Za-z+/]+=*")


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


def instances(client: Client, *, ids: Sequence[str] | None = None, tags: Tags | None = None) -> tuple[Instance, ...]:
    """Instances by id or by tags; one that is not there is not among them."""
    reservations = _all(client, "describe_instances", "Reservations", "instance-id", ids, tags)
    return tuple(_instance(item) for reservation in reservations for item in reservation["Instances"])


def wait_for_instances(
    client: Client,
    ids: Sequence[str],
    *,
    state: str = "running",
    timeout: float = 600,
    progress: Callable[[Sequence[Instance]], None] | None = None,
    sleep: Sleep = time.sleep,
) -> tuple[Instance, ...]:
    """Returns when all are in this state; GateFailed names those that are not."""

    def left(found: Sequence[Instance]) -> set[str]:
        return set(ids) - {item.instance_id for item in found if item.state == state}

    return _wait(
        lambda: _shown(instances(client, ids=ids), progress),
        lambda found: bool(left(found)),
        lambda found: f"not {state} after {timeout:.0f} s: {', '.join(sorted(left(found)))}",
        timeout,
        sleep,
    )


def volumes(client: Client, *, ids: Sequence[str] | None = None, tags: Tags | None = None) -> tuple[VolumeFacts, ...]:
    """Volumes by id or by tags; one that is not there is not among them."""
    return tuple(_volume(item) for item in _all(client, "describe_volumes", "Volumes", "volume-id", ids, tags))


def snapshots(client: Client, *, ids: Sequence[str] | None = None, tags: Tags | None = None) -> tuple[Snapshot, ...]:
    """Our own snapshots by id or by tags; one that is not there is not among them."""
    found = _all(client, "describe_snapshots", "Snapshots", "snapshot-id", ids, tags, OwnerIds=["self"])
    return tuple(_snapshot(item) for item in found)


def create_snapshots(
    client: Client, tags: Mapping[str, Tags], *, description: str, sleep: Sleep = time.sleep
) -> dict[str, str]:
    """Starts one of each volume at once (`tags` by volume id), and gives snapshot ids by volume id.

    The client sends each request once (`Clients.ec2_once`): EC2 takes no token that would make a second one
    harmless, so after an answer that was lost the snapshot is looked for by its tags.
    """

    def start(volume_id: str) -> str:
        return _started_once(
            lambda: client.create_snapshot(
                VolumeId=volume_id, Description=description, TagSpecifications=_tag_specifications(tags[volume_id])
            ),
            lambda: [s for s in _tagged(client, tags[volume_id]) if s.volume_id == volume_id],
            client,
            sleep,
        )

    with ThreadPoolExecutor(max_workers=PARALLEL) as pool:
        return dict(zip(tags, pool.map(start, tags), strict=True))


def copy_snapshot(
    client: Client,
    snapshot_id: str,
    source_region: str,
    *,
    kms_key_arn: str,
    tags: Tags,
    description: str,
    sleep: Sleep = time.sleep,
) -> str:
    """Starts a copy into the client's region under a key of that region, and gives its id.

    The client sends each request once, and a lost answer is settled, as with `create_snapshots`.
    """
    return _started_once(
        lambda: client.copy_snapshot(
            SourceSnapshotId=snapshot_id,
            SourceRegion=source_region,
            Encrypted=True,
            KmsKeyId=kms_key_arn,
            Description=description,
            TagSpecifications=_tag_specifications(tags),
        ),
        lambda: _tagged(client, tags),
        client,
        sleep,
    )


def delete_snapshot(client: Client, snapshot_id: str) -> None:
    """It is gone; so it may have been before."""
    try:
        with translated(client):
            client.delete_snapshot(SnapshotId=snapshot_id)
    except CommandFailed as error:
        if not is_code(error, "InvalidSnapshot.NotFound"):
            raise


def wait_for_snapshots(
    client: Client,
    ids: Sequence[str],
    *,
    timeout: float = 3600,
    progress: Callable[[Sequence[Snapshot]], None] | None = None,
    sleep: Sleep = time.sleep,
) -> tuple[Snapshot, ...]:
    """Returns when all are completed; SnapshotLost if one ends in error or is gone, GateFailed when time is up."""
    looks = count(1)

    def look() -> tuple[Snapshot, ...]:
        found = snapshots(client, ids=ids)
        _refuse_lost(client, ids, found, is_settled=next(looks) > LOOKS_UNTIL_SEEN)
        return _shown(found, progress)

    def pending(found: Sequence[Snapshot]) -> list[str]:
        progresses = {item.snapshot_id: item.progress for item in found}
        completed = {item.snapshot_id for item in found if item.state == "completed"}
        return [f"{name} ({progresses.get(name, 0)} %)" for name in ids if name not in completed]

    return _wait(
        look,
        lambda found: bool(pending(found)),
        lambda found: f"not completed after {timeout:.0f} s: {', '.join(pending(found))}",
        timeout,
        sleep,
    )


def console_output(client: Client, instance_id: str) -> str:
    """What the instance printed up to now; empty while EC2 has nothing yet.

    Without `Latest` EC2 gives what it kept minutes ago; only instances on Nitro have the latest.
    """
    try:
        with translated(client):
            return str(client.get_console_output(InstanceId=instance_id, Latest=True).get("Output", ""))
    except CommandFailed as error:
        if not is_code(error, "UnsupportedOperation"):
            raise
    with translated(client):
        return str(client.get_console_output(InstanceId=instance_id).get("Output", ""))


def host_key(console: str, where: str = "host key") -> str | None:
    """The ED25519 key that cloud-init printed, as "ssh-ed25519 AAAA…"; None while it is not there.

    cloud-init prints an instance's keys once (cc_keys_to_console, per instance), and whoever may write to
    the console later can print a block of its own: Refused if two different keys are shown.
    """
    keys = {key for block in HOST_KEYS.findall(console) for key in ED25519.findall(block)}
    if len(keys) > 1:
        raise Refused(
            "the console shows several different SSH host keys, so that none can be trusted",
            where=where,
            next_step="Compare them on the host itself, through another way in. A process there may have printed one; "
            "if keys were made anew on purpose, replace the instance.",
        )
    return next(iter(keys), None)


def wait_for_host_key(client: Client, instance_id: str, *, timeout: float = 600, sleep: Sleep = time.sleep) -> str:
    """The key from the console; GateFailed when time is up."""
    found = _wait(
        lambda: host_key(console_output(client, instance_id)),
        lambda key: key is None,
        lambda _: f"the console of {instance_id} shows no SSH host key after {timeout:.0f} s",
        timeout,
        sleep,
    )
    return str(found)


def _all(
    client: Client,
    operation: str,
    result: str,
    id_filter: str,
    ids: Sequence[str] | None,
    tags: Tags | None,
    **more: Any,
) -> list[dict[str, Any]]:
    """All pages of a description; by filters, because ids that are not there are an error and filters are not."""
    filters = [{"Name": f"tag:{name}", "Values": [value]} for name, value in (tags or {}).items()]
    if ids is not None:
        if not ids:  # a filter without values is refused, and none would find everything
            return []
        filters.append({"Name": id_filter, "Values": list(ids)})
    with translated(client):
        pages = client.get_paginator(operation).paginate(Filters=filters, **more)
        return [item for page in pages for item in page[result]]


def _tagged(client: Client, tags: Tags) -> Sequence[Snapshot]:
    """Snapshots with all of these tags; none without tags, which would find those of everybody."""
    return snapshots(client, tags=tags) if tags else ()


def _started_once(
    start: Callable[[], Any], started: Callable[[], Sequence[Snapshot]], client: Client, sleep: Sleep
) -> str:
    """The id of what is started, once: what an answer that was lost may have started is looked for first."""
    answers = count()

    def attempt() -> str:
        if next(answers):
            for found in started():
                if found.state != "error":
                    return found.snapshot_id
        with translated(client):
            return str(start()["SnapshotId"])

    retrying = Retrying(
        retry=retry_if_exception_type(Unreachable),
        stop=stop_after_attempt(STARTS),
        wait=wait_exponential(multiplier=FIRST_LOOK),
        sleep=sleep,
        reraise=True,
    )
    return retrying(attempt)


def _refuse_lost(client: Client, ids: Sequence[str], found: Sequence[Snapshot], *, is_settled: bool) -> None:
    """SnapshotLost for what is in error, and for what is not there once EC2 must have come to know it."""
    lost = {item.snapshot_id for item in found if item.state == "error"}
    if is_settled:
        lost |= {*ids} - {item.snapshot_id for item in found}
    if lost:
        raise SnapshotLost(
            f"failed or gone: {', '.join(sorted(lost))}",
            where=f"snapshots in {client.meta.region_name}",
            next_step="Take a new restore point with `rekindle backup`.",
        )


def _wait(
    look: Callable[[], T], is_open: Callable[[T], bool], too_late: Callable[[T], str], timeout: float, sleep: Sleep
) -> T:
    """Looks ever more slowly until nothing is open any more; GateFailed when time is up."""
    retrying = Retrying(
        retry=retry_if_result(is_open),
        stop=stop_after_delay(timeout),
        wait=wait_exponential(multiplier=FIRST_LOOK, max=SLOWEST_LOOK),
        sleep=sleep,
    )
    try:
        return retrying(look)
    except RetryError as error:
        last: T = error.last_attempt.result()
        raise GateFailed(
            too_late(last), where="AWS", next_step="Run the same command again to go on waiting."
        ) from error


def _shown(found: tuple[T, ...], progress: Callable[[Sequence[T]], None] | None) -> tuple[T, ...]:
    if progress:
        progress(found)
    return found


def _instance(item: dict[str, Any]) -> Instance:
    return Instance(
        instance_id=item["InstanceId"],
        state=item["State"]["Name"],
        az=item["Placement"]["AvailabilityZone"],
        private_ip=item.get("PrivateIpAddress") or None,
        public_ip=item.get("PublicIpAddress") or None,
        tags=_tags(item),
    )


def _volume(item: dict[str, Any]) -> VolumeFacts:
    attachment: dict[str, Any] = next(iter(item.get("Attachments", ())), {})
    return VolumeFacts(
        volume_id=item["VolumeId"],
        state=item["State"],
        az=item["AvailabilityZone"],
        size_gib=item["Size"],
        snapshot_id=item.get("SnapshotId") or None,
        attached_to=attachment.get("InstanceId"),
        device=attachment.get("Device"),
        tags=_tags(item),
    )


def _snapshot(item: dict[str, Any]) -> Snapshot:
    return Snapshot(
        snapshot_id=item["SnapshotId"],
        volume_id=item["VolumeId"],
        state=item["State"],
        progress=int(str(item.get("Progress") or "0").rstrip("%") or 0),
        size_gib=item["VolumeSize"],
        started=item["StartTime"],
        encrypted=bool(item.get("Encrypted")),
        tags=_tags(item),
    )


def _tags(item: dict[str, Any]) -> Tags:
    return {tag["Key"]: tag["Value"] for tag in item.get("Tags", ())}


def _tag_specifications(tags: Tags) -> list[dict[str, Any]]:
    if not tags:
        return []
    return [{"ResourceType": "snapshot", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}]
