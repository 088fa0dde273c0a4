"""The real Pulumi CLI and engine against the API: up, no change, one pool's count, a kill, destroy."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from rehearsal import toolchain
from rekindle.inventory import parse

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]
STATE = "rekindle-state"
SEEN = ("same", "read")


@dataclass
class Folder:
    """An operator's folder, and the API it works against."""

    path: Path
    environ: dict[str, str]

    def pulumi(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            ["pulumi", "--non-interactive", "--color=never", *arguments],
            cwd=self.path, env=self.environ, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert done.returncode == code, done.stdout[-6000:] + done.stderr[-2000:]
        return done.stdout

    def up(self, stack: str, *settings: str) -> str:
        pairs = [part for setting in settings for part in ("--config", setting)]
        return self.pulumi("up", "--yes", "--skip-preview", "--stack", stack, *pairs)

    def inventory(self, stack: str) -> Any:
        return parse(json.loads(self.pulumi("stack", "output", "inventory", "--json", "--stack", stack)), where=stack)

    def client(self, service: str, region: str) -> Any:
        return boto3.client(
            service,
            region_name=region,
            endpoint_url=self.environ["AWS_ENDPOINT_URL"],
            aws_access_key_id="rehearsal",
            aws_secret_access_key="rehearsal",
        )

    def adapt(self, stack: str, region: str) -> None:
        """Sets the image, which differs by account."""
        path = self.path / "stacks" / f"Pulumi.{stack}.yaml"
        document = yaml.safe_load(path.read_text())
        image = self.client("ec2", region).register_image(Name="debian", RootDeviceName="/dev/xvda")
        document["config"]["rekindle:environment"]["ami"] = image["ImageId"]
        path.write_text(yaml.safe_dump(document, sort_keys=False))


@pytest.fixture(scope="module")
def api() -> Iterator[str]:
    """A plain moto on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).parent / "moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(command, env={**os.environ, "MOTO_EC2_LOAD_DEFAULT_AMIS": "false"}, **quiet)
    try:
        _await(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def _await(port: int) -> None:
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError("moto did not start")


@pytest.fixture(scope="module")
def folder(api: str, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """The stacks `foundation`, `dev` and `dev-dr`, all up."""
    path = tmp_path_factory.mktemp("platform")
    for name in ("Pulumi.yaml", "stacks"):
        source = ROOT / name
        shutil.copytree(source, path / name) if source.is_dir() else shutil.copy(source, path / name)
    variables = {
        "AWS_ENDPOINT_URL": api,
        "AWS_ACCESS_KEY_ID": "rehearsal",
        "AWS_SECRET_ACCESS_KEY": "rehearsal",
        "AWS_REGION": "us-west-2",
        "PULUMI_HOME": str(path / ".pulumi"),
        "PULUMI_BACKEND_URL": f"s3://{STATE}?region=us-west-2",
    }
    made = Folder(path, toolchain.environ({**os.environ, **variables}))
    place = {"LocationConstraint": "us-west-2"}
    made.client("s3", "us-west-2").create_bucket(Bucket=STATE, CreateBucketConfiguration=place)
    made.adapt("dev", "us-east-1")
    made.adapt("dev-dr", "us-west-2")
    for stack in ("foundation", "dev", "dev-dr"):
        made.pulumi("stack", "init", stack)
        made.up(stack)
    return made


def test_what_stands_is_what_was_asked_for(folder: Folder) -> None:
    dev, standby = folder.inventory("dev"), folder.inventory("dev-dr")
    assert len(dev.hosts) == 7
    assert (standby.hosts, standby.volumes, standby.standby) == ((), (), True)
    running = folder.client("ec2", "us-east-1").describe_instances()["Reservations"]
    assert {r["Instances"][0]["InstanceId"] for r in running} == {host.instance_id for host in dev.hosts}


def test_a_preview_right_after_shows_no_change_and_no_drift(folder: Folder) -> None:
    folder.pulumi("preview", "--expect-no-changes", "--stack", "foundation")
    folder.pulumi("preview", "--refresh", "--expect-no-changes", "--stack", "dev")


def test_drift_is_found_and_mended(folder: Folder) -> None:
    ec2 = folder.client("ec2", "us-east-1")
    vpc = _vpcs_named_dev(ec2)
    ec2.create_tags(Resources=vpc, Tags=[{"Key": "Name", "Value": "somebody's"}])
    said = folder.pulumi("up", "--refresh", "--yes", "--skip-preview", "--stack", "dev")
    assert "1 updated" in said
    assert _vpcs_named_dev(ec2) == vpc


def _vpcs_named_dev(ec2: Any) -> list[str]:
    found = ec2.describe_vpcs(Filters=[{"Name": "tag:Name", "Values": ["dev"]}])["Vpcs"]
    return [vpc["VpcId"] for vpc in found]


def test_a_pools_count_touches_that_pool_alone(folder: Folder) -> None:
    path = folder.path / "stacks" / "Pulumi.dev.yaml"
    text = path.read_text()
    path.write_text(text.replace("count: 3", "count: 4"))
    preview = json.loads(folder.pulumi("preview", "--json", "--stack", "dev"))
    touched = {step["urn"].rpartition("::")[2]: step["op"] for step in preview["steps"] if step["op"] not in SEEN}
    path.write_text(text)
    assert touched == {"dev-private-agent-4": "create"}


def test_a_new_image_replaces_nothing(folder: Folder) -> None:
    path = folder.path / "stacks" / "Pulumi.dev.yaml"
    text = path.read_text()
    image = yaml.safe_load(text)["config"]["rekindle:environment"]["ami"]
    path.write_text(text.replace(image, "ami-0123456789abcdef0"))
    folder.pulumi("preview", "--expect-no-changes", "--stack", "dev")
    path.write_text(text)


def test_a_misspelt_setting_is_named_without_a_traceback(folder: Folder) -> None:
    path = folder.path / "stacks" / "Pulumi.dev.yaml"
    text = path.read_text()
    path.write_text(text.replace("cluster_name:", "clustr_name:"))
    said = folder.pulumi("preview", "--stack", "dev", code=1)
    path.write_text(text)
    assert "clustr_name is not a known key; did you mean cluster_name?" in said
    assert "stacks/Pulumi.dev.yaml" in said
    assert "Traceback" not in said


def test_the_standby_wakes_with_volumes_from_snapshots(folder: Folder) -> None:
    ec2 = folder.client("ec2", "us-west-2")
    volume = ec2.create_volume(AvailabilityZone="us-west-2a", Size=4)["VolumeId"]
    restore = {f"kafka-{n}": ec2.create_snapshot(VolumeId=volume)["SnapshotId"] for n in (1, 2, 3)}
    said = folder.up("dev-dr", "rekindle:standby=false", f"rekindle:restore={json.dumps(restore)}")
    assert "12 created" in said  # seven hosts, three volumes, the bastion's address, the target: no control plane
    awake = folder.inventory("dev-dr")
    volumes = ec2.describe_volumes(VolumeIds=[v.volume_id for v in awake.volumes])["Volumes"]
    assert {v["SnapshotId"] for v in volumes} == set(restore.values())
    folder.pulumi("preview", "--expect-no-changes", "--stack", "dev-dr")


def test_plugins_go_with_an_engine_that_is_killed(folder: Folder) -> None:
    command = ["pulumi", "preview", "--refresh", "--stack", "dev"]
    engine = subprocess.Popen(command, cwd=folder.path, env=folder.environ, stdout=subprocess.PIPE, text=True)
    children: set[str] = set()
    for _ in range(200):
        children = set(Path(f"/proc/{engine.pid}/task/{engine.pid}/children").read_text().split()) | children
        if len(children) > 2:
            break
        time.sleep(0.05)
    engine.send_signal(signal.SIGKILL)
    engine.communicate()
    for _ in range(60):
        if not any(Path(f"/proc/{child}").exists() for child in children):
            break
        time.sleep(0.1)
    assert not [child for child in children if Path(f"/proc/{child}").exists()]
    folder.pulumi("cancel", "--yes", "dev")


def test_destroy_leaves_protected_things_until_told_otherwise(folder: Folder) -> None:
    said = folder.pulumi("destroy", "--yes", "--skip-preview", "--stack", "dev", code=1)
    assert "protected" in said
    folder.pulumi("state", "unprotect", "--all", "--yes", "--stack", "dev")
    folder.pulumi("destroy", "--yes", "--skip-preview", "--stack", "dev")
    ec2 = folder.client("ec2", "us-east-1")
    assert not ec2.describe_vpcs(Filters=[{"Name": "isDefault", "Values": ["false"]}])["Vpcs"]
    assert len(ec2.describe_volumes(Filters=[{"Name": "tag:rekindle:cluster", "Values": ["dev"]}])["Volumes"]) == 3
