"""Whatever is killed, `down` leaves nothing; a stage of its own, beside the other tests' region."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from rehearsal_zone import Zone

from rehearsal.region.errors import NotUp
from rehearsal.region.handle import RegionHandle
from rehearsal.region.stage import Stage

pytestmark = pytest.mark.integration
STAGE = Stage(name="rkgone")


@pytest.fixture
def stage() -> Iterator[RegionHandle]:
    handle = RegionHandle(STAGE)
    handle.down()
    yield handle
    handle.down()


def traces() -> list[str]:
    """All that this machine still has of the stage."""
    listed = subprocess.run(["losetup", "--noheadings", "--output", "BACK-FILE"], capture_output=True, text=True).stdout
    mounts = Path("/proc/self/mounts").read_text()
    found = [line for line in (listed + mounts).splitlines() if "rehearsal-rkgone" in line]
    found += [str(p) for d in ("/run", "/run/netns", "/etc/netns", "/var/tmp") for p in Path(d).glob("*rkgone*")]
    found += [str(p) for p in Path("/sys/fs/cgroup").glob("*/rekindle-rehearsal-rkgone")]
    return found + _processes()


def _processes() -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if b"REHEARSAL_NAME=rkgone" in entry.read_bytes():
                found.append(str(entry))
        except OSError:
            continue
    return found


def _client(handle: RegionHandle) -> Callable[..., Any]:
    variables = handle.environ()

    def client(service: str, region: str = "us-east-1") -> Any:
        return boto3.client(
            service,
            region_name=region,
            endpoint_url=variables["AWS_ENDPOINT_URL"],
            aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        )

    return client


def _use(handle: RegionHandle, key: Path) -> None:
    """A host with a mounted volume."""
    with handle.inside_internet():
        zone = Zone(_client(handle), key)
        host = zone.run(zone.public, zone.bastion_group, public=True)
        zone.wait_for("running", host)
        volume = zone.ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
        zone.ec2.attach_volume(VolumeId=volume, InstanceId=host, Device="/dev/xvdf")
        zone.ssh(host, "sudo mkfs.ext4 -q /dev/xvdf && sudo mount /dev/xvdf /mnt && sudo touch /mnt/file")


@pytest.mark.parametrize("kill", [False, True], ids=["in order", "after kill -9"])
def test_nothing_is_left(stage: RegionHandle, login_key: Path, kill: bool) -> None:
    stage.up()
    _use(stage, login_key)
    assert traces()
    if kill:
        pid = stage.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        time.sleep(0.2)
        with pytest.raises(NotUp):
            stage.require_up()
    stage.down()
    assert traces() == []


def test_up_cleans_what_a_killed_region_left(stage: RegionHandle) -> None:
    stage.up()
    first = stage.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    time.sleep(0.2)
    stage.up()
    assert stage.pid not in {None, first}
