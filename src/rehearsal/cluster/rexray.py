"""External volumes as REX-Ray 0.11.4 mounts them: EBS volumes found by name, attached, formatted once, mounted."""

from __future__ import annotations

import asyncio
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rehearsal.cluster.ec2 import Ec2, Ec2Error, Volume
from rehearsal.cluster.mesos.runner import run

DEVICES = tuple(f"/dev/xvd{letter}" for letter in "fghijklmnop")
DEFAULT_SIZE = 16
ROOT_PATH = "data"  # libstorage's linux.volume.rootpath
ATTACH_SECONDS = 120.0
POLL_SECONDS = 0.3


class VolumeFailed(Exception):
    """A volume cannot be used; says which and why."""


@dataclass(frozen=True, kw_only=True)
class RexrayConfig:
    """What `rexray_config` says about creating and taking volumes."""

    service: str = "vfs"
    create_disabled: bool = False
    create_implicit: bool = True
    preempt: bool = False


def configuration(document: dict[str, Any]) -> RexrayConfig:
    """The settings in force from the cluster's `rexray_config`."""
    operations = _at(document, "libstorage", "integration", "volume", "operations")
    create = {**_at(document, "rexray", "volume", "create"), **_at(operations, "create")}
    service = _at(document, "rexray").get("service") or _at(document, "libstorage").get("service") or "vfs"
    return RexrayConfig(
        service=str(service),
        create_disabled=bool(create.get("disable", False)),
        create_implicit=bool(create.get("implicit", True)),
        preempt=bool(_at(operations, "mount").get("preempt", False)),
    )


def _at(document: dict[str, Any], *names: str) -> dict[str, Any]:
    for name in names:
        found = document.get(name)
        document = found if isinstance(found, dict) else {}
    return document


class Rexray:
    """The volumes of one agent. A volume is mounted once and counted for each task that uses it."""

    def __init__(self, ec2: Ec2, config: RexrayConfig, mounts: Path) -> None:
        self._ec2 = ec2
        self._config = config
        self._mounts = mounts
        self._lock = asyncio.Lock()

    async def mount(self, name: str, options: dict[str, str], size: int | None) -> Path:
        """The directory that holds the volume's data, once it is attached and mounted here."""
        async with self._lock:
            if self._config.service != "ebs":
                raise VolumeFailed(f"volume {name}: REX-Ray's service is {self._config.service!r}, not 'ebs'")
            try:
                return await self._mount(name, options, size)
            except Ec2Error as error:
                raise VolumeFailed(f"volume {name}: {error}") from error

    async def unmount(self, name: str) -> None:
        """Unmount and detach; the volume is then free for another agent."""
        async with self._lock:
            point = self._mounts / name
            if point.is_mount():
                code, output = await run("umount", str(point))
                if code != 0:
                    raise VolumeFailed(f"volume {name}: {output}")
            try:
                await self._detach(name)
            except Ec2Error as error:
                raise VolumeFailed(f"volume {name}: {error}") from error

    async def _mount(self, name: str, options: dict[str, str], size: int | None) -> Path:
        point = self._mounts / name
        if not point.is_mount():
            volume = await self._find(name) or await self._create(name, options, size)
            device = await self._attach(name, volume)
            await _format(device, options.get("dvdi/newfstype", "ext4"), options.get("dvdi/overwritefs") == "true")
            point.mkdir(parents=True, exist_ok=True)
            code, output = await run("mount", device, str(point))
            if code != 0:
                raise VolumeFailed(f"volume {name}: mount {device}: {output}")
        data = point / ROOT_PATH
        data.mkdir(mode=0o755, exist_ok=True)
        return data

    async def _find(self, name: str) -> Volume | None:
        zone = (await self._ec2.identity()).availability_zone
        found = await self._ec2.volumes({"tag:Name": name, "availability-zone": zone})
        return next((volume for volume in found if volume.state not in {"deleting", "deleted"}), None)

    async def _create(self, name: str, options: dict[str, str], size: int | None) -> Volume:
        zone = (await self._ec2.identity()).availability_zone
        if self._config.create_disabled or not self._config.create_implicit:
            raise VolumeFailed(f"volume {name} does not exist in {zone}, and creating volumes is disabled")
        kind = options.get("dvdi/volumetype", "gp2")
        volume_id = await self._ec2.create(name, size or DEFAULT_SIZE, kind)
        return await self._until(volume_id, lambda volume: volume.state == "available", "available")

    async def _attach(self, name: str, volume: Volume) -> str:
        instance = (await self._ec2.identity()).instance_id
        if volume.instance_id and volume.instance_id != instance:
            if not self._config.preempt:
                raise VolumeFailed(f"volume {name} ({volume.id}) is attached to {volume.instance_id}")
            raise VolumeFailed(f"volume {name}: preempt is not built in the rehearsal cluster")
        if not volume.instance_id:
            await self._ec2.attach(volume.id, await self._free_device())
        attached = await self._until(volume.id, lambda seen: seen.attachment_state == "attached", "attached")
        await _device_appears(attached.device)
        return attached.device

    async def _free_device(self) -> str:
        taken = await self._ec2.devices()
        free = [device for device in DEVICES if device not in taken]
        if not free:
            raise VolumeFailed("no free device name between xvdf and xvdp on this instance")
        return free[0]

    async def _detach(self, name: str) -> None:
        instance = (await self._ec2.identity()).instance_id
        volume = await self._find(name)
        if volume is None or volume.instance_id != instance:
            return
        await self._ec2.detach(volume.id)
        await self._until(volume.id, lambda seen: seen.state == "available", "available")

    async def _until(self, volume_id: str, condition: Any, word: str) -> Volume:
        deadline = asyncio.get_running_loop().time() + ATTACH_SECONDS
        while True:
            found = await self._ec2.volumes({"volume-id": volume_id})
            if found and condition(found[0]):
                return found[0]
            if asyncio.get_running_loop().time() > deadline:
                raise VolumeFailed(f"volume {volume_id} did not become {word} in {ATTACH_SECONDS:.0f} s")
            await asyncio.sleep(POLL_SECONDS)


async def _device_appears(device: str) -> None:
    deadline = asyncio.get_running_loop().time() + ATTACH_SECONDS
    while not _is_block_device(Path(device)):
        if asyncio.get_running_loop().time() > deadline:
            raise VolumeFailed(f"{device} did not appear in {ATTACH_SECONDS:.0f} s")
        await asyncio.sleep(POLL_SECONDS)


def _is_block_device(path: Path) -> bool:
    try:
        return stat.S_ISBLK(path.stat().st_mode)
    except OSError:
        return False


async def _format(device: str, kind: str, overwrite: bool) -> None:
    """Make a filesystem when the device has none: a filled device is never touched unless told to."""
    code, output = await run("blkid", "-p", "-o", "value", "-s", "TYPE", device)
    if code == 0 and output and not overwrite:
        return
    if code not in {0, 2}:
        raise VolumeFailed(f"blkid {device}: {output}")
    code, output = await run(f"mkfs.{kind}", "-q", "-F", device)
    if code != 0:
        raise VolumeFailed(f"mkfs.{kind} {device}: {output}")
