"""EBS as strict as AWS, and with real blocks behind it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend
from moto.ec2.models.elastic_block_store import Snapshot

from rehearsal.region import cloud
from rehearsal.region.behaviour.replacing import replaces
from rehearsal.region.request import parameters
from rehearsal.region.stage import REGIONS
from rehearsal.volumes.store import VolumeStore

SNAPSHOT_SECONDS = 0.5
COPY_SECONDS = 1.5
COPY_BYTES_PER_SECOND = 200_000_000
"""How long the stage lets snapshots be pending: long enough that nobody can forget to wait."""


class Disks(Protocol):
    """Disks inside running machines."""

    def attach(self, instance_id: str, region: str, volume: str, device: str) -> None: ...

    def detach(self, instance_id: str, region: str, volume: str, device: str, *, force: bool) -> bool:
        """False while the guest still has it mounted."""
        ...


@dataclass
class _Pending:
    snapshot: Any
    due: float
    outcome: str


class PendingSnapshots:
    """Snapshots that complete when their time has come."""

    def __init__(self) -> None:
        self._waiting: list[_Pending] = []
        self._lock = threading.Lock()

    def add(self, snapshot: Any, seconds: float, outcome: str = "completed") -> None:
        snapshot.status = "pending"
        with self._lock:
            self._waiting.append(_Pending(snapshot, time.monotonic() + seconds, outcome))

    def settle(self) -> None:
        """Completes those whose time has come."""
        now = time.monotonic()
        with self._lock:
            for pending in self._waiting:
                if pending.due <= now:
                    pending.snapshot.status = pending.outcome
            self._waiting = [p for p in self._waiting if p.due > now]


def install(store: VolumeStore, disks: Disks, pending: PendingSnapshots, is_down: Callable[[str], bool]) -> None:
    _volumes(store)
    _attachments(disks)
    _snapshots(store, pending)
    _copies(store, pending, is_down)


def _volumes(store: VolumeStore) -> None:
    @replaces(EC2Backend, "create_volume")
    def create(
        original: Callable[..., Any], self: Any, size: Any, zone_name: str, snapshot_id: str | None = None, **rest: Any
    ) -> Any:
        if snapshot_id:
            snapshot = self.get_snapshot(snapshot_id)
            _require_completed(snapshot)
            size = size or snapshot.volume_size
            if int(size) < snapshot.volume_size:
                raise EC2ClientError("InvalidParameterValue", f"{size}: smaller than snapshot {snapshot_id}")
        volume = original(self, size, zone_name, snapshot_id=snapshot_id, **rest)
        store.create(self.region_name, volume.id, int(volume.size), snapshot_id)
        return volume

    @replaces(EC2Backend, "delete_volume")
    def delete(original: Callable[..., Any], self: Any, volume_id: str) -> Any:
        deleted = original(self, volume_id)
        store.delete_volume(self.region_name, volume_id)
        return deleted

    @replaces(EC2Backend, "modify_volume")
    def modify(
        original: Callable[..., Any], self: Any, volume_id: str, target_size: Any = None, *rest: Any, **named: Any
    ) -> Any:
        volume = self.get_volume(volume_id)
        if target_size and int(target_size) < int(volume.size):
            raise EC2ClientError("InvalidParameterValue", "New size cannot be smaller than existing size")
        changed = original(self, volume_id, target_size, *rest, **named)
        if target_size:
            store.resize(self.region_name, volume_id, int(target_size))
        return changed


def _require_completed(snapshot: Any) -> None:
    if snapshot.status != "completed":
        raise EC2ClientError("IncorrectState", f"Snapshot is in invalid state - {snapshot.status}")


def _attachments(disks: Disks) -> None:
    @replaces(EC2Backend, "attach_volume")
    def attach(
        original: Callable[..., Any],
        self: Any,
        volume_id: str,
        instance_id: str,
        device_path: str,
        *rest: Any,
        **named: Any,
    ) -> Any:
        volume, instance = self.get_volume(volume_id), self.get_instance(instance_id)
        if parameters().get("Action") != "RunInstances":
            _require_attachable(volume, instance, device_path)
        attachment = original(self, volume_id, instance_id, device_path, *rest, **named)
        if instance.state == "running":
            disks.attach(instance_id, self.region_name, volume_id, device_path)
        return attachment

    finish = EC2Backend.detach_volume

    @replaces(EC2Backend, "detach_volume")
    def detach(
        original: Callable[..., Any], self: Any, volume_id: str, instance_id: str | None, device_path: str | None
    ) -> Any:
        attachment = self.get_volume(volume_id).attachment
        if attachment is None:
            raise EC2ClientError("IncorrectState", f"Volume '{volume_id}' is in the 'available' state.")
        instance_id = instance_id or attachment.instance.id
        force = parameters().get("Force") == "true"
        if not disks.detach(instance_id, self.region_name, volume_id, attachment.device, force=force):
            attachment.status = "detaching"
            return attachment
        return finish(self, volume_id, instance_id, device_path or attachment.device)


def settle_detaching(disks: Disks) -> None:
    """Volumes whose detaching waited for an unmount, and for which it came."""
    for region in REGIONS:
        backend = cloud.ec2(region)
        for volume in list(backend.volumes.values()):
            attachment = volume.attachment
            if attachment is not None and attachment.status == "detaching":
                backend.detach_volume(volume.id, attachment.instance.id, attachment.device)


def _require_attachable(volume: Any, instance: Any, device: str) -> None:
    if volume.attachment is not None:
        raise EC2ClientError("VolumeInUse", f"{volume.id} is already attached to an instance")
    if volume.availability_zone != instance.availability_zone:
        raise EC2ClientError(
            "InvalidVolume.ZoneMismatch",
            f"The volume '{volume.id}' is not in the same availability zone as instance '{instance.id}'",
        )
    if instance.state not in {"running", "stopped", "stopping"}:
        raise EC2ClientError("IncorrectState", f"Instance '{instance.id}' is not 'running'.")
    if device in instance.block_device_mapping:
        raise EC2ClientError(
            "InvalidParameterValue",
            f"Invalid value '{device}' for unixDevice. Attachment point {device} is already in use",
        )


def _snapshots(store: VolumeStore, pending: PendingSnapshots) -> None:
    @replaces(EC2Backend, "create_snapshot")
    def create(original: Callable[..., Any], self: Any, volume_id: str, *rest: Any, **named: Any) -> Any:
        snapshot = original(self, volume_id, *rest, **named)
        snapshot.kms_key_id = snapshot.volume.kms_key_id
        _fix_size(snapshot, snapshot.volume.size)
        store.snapshot(self.region_name, volume_id, snapshot.id)
        pending.add(snapshot, SNAPSHOT_SECONDS)
        return snapshot

    @replaces(EC2Backend, "delete_snapshot")
    def delete(original: Callable[..., Any], self: Any, snapshot_id: str) -> Any:
        deleted = original(self, snapshot_id)
        store.delete_snapshot(self.region_name, snapshot_id)
        return deleted

    Snapshot.volume_size = property(lambda self: self._fixed_size)  # type: ignore[method-assign, assignment]
    Snapshot.progress = property(lambda self: "100%" if self.status == "completed" else "37%")  # type: ignore[method-assign, assignment]


def _fix_size(snapshot: Any, size: Any) -> None:
    """A snapshot keeps the size that its volume had."""
    snapshot._fixed_size = int(size)


def _copies(store: VolumeStore, pending: PendingSnapshots, is_down: Callable[[str], bool]) -> None:
    @replaces(EC2Backend, "copy_snapshot")
    def copy(
        original: Callable[..., Any],
        self: Any,
        source_snapshot_id: str,
        source_region: str,
        description: str,
        kms_key_id: str | None,
    ) -> Any:
        if source_region not in REGIONS or is_down(source_region):
            raise EC2ClientError(
                "InvalidParameterValue", f"Value ({source_region}) for parameter sourceRegion is invalid."
            )
        source = cloud.ec2(source_region).get_snapshot(source_snapshot_id)
        _require_completed(source)
        if source.encrypted and not kms_key_id:
            kms_key_id = self.default_kms_key_id or self._create_default_encryption_key()
        copied = original(self, source_snapshot_id, source_region, description, kms_key_id)
        _fix_size(copied, source.volume_size)
        store.copy(source_region, source_snapshot_id, self.region_name, copied.id)
        seconds = COPY_SECONDS + store.written_bytes(self.region_name, copied.id) / COPY_BYTES_PER_SECOND
        pending.add(copied, seconds, "completed" if _key_is_here(self, kms_key_id) else "error")
        return copied


def _key_is_here(backend: Any, key: str | None) -> bool:
    """A copy under a key that its region does not have ends in error, as on AWS, and not at once."""
    if key is None:
        return True
    if key.startswith("arn:") and f":{backend.region_name}:" not in key:
        return False
    keys = cloud.kms(backend.region_name)
    return bool(keys.get_key_id(key) in keys.keys or keys.get_key_id_from_alias(key))
