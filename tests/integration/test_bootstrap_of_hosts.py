"""Bare hosts of the region to a cluster: order, a killed run, failed and half-done installations, a lost host.

The tests are one story and run in their order.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest
from rehearsal_zone import ANYWHERE, Zone

from rehearsal.region.handle import RegionHandle
from rekindle import inventory as inventories
from rekindle.aws import compute
from rekindle.inventory import Host
from rekindle.transport import MemoryPins, Transport

pytestmark = pytest.mark.integration

HERE = Path(__file__).parent
HOSTS = {
    "bastion": ("bastion", "public"),
    "bootstrap": ("bootstrap", "admin"),
    "master-1": ("master", "admin"),
    "private-1": ("private_agent", "private"),
    "private-2": ("private_agent", "private"),
    "public-1": ("public_agent", "public"),
}
READ_ALL = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::small/*"}],
}


class Story:
    """The hosts, and runs of a bootstrap on them."""

    def __init__(self, region: RegionHandle, directory: Path, key: Path, ids: dict[str, str]) -> None:
        self.region, self.directory, self.key, self.ids = region, directory, key, ids

    def run(self, *, kill_at: str | None = None) -> dict[str, Any]:
        """One run's last line; empty for a run that was killed when it printed `kill_at`."""
        process = subprocess.Popen(
            [sys.executable, HERE / "bootstrap_run.py", self.directory / "case.json"],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **self.region.environ()},
        )
        assert process.stdout
        last = ""
        for line in process.stdout:
            last = line
            if kill_at is not None and kill_at in line:
                process.send_signal(signal.SIGKILL)
                break
        process.wait()
        assert kill_at is None or kill_at in last, f"never said {kill_at}"
        return {} if kill_at else dict(json.loads(last))

    def transport(self) -> Transport:
        ec2 = client(self.region, "ec2")

        def console(host: Host) -> str | None:
            return compute.host_key(compute.console_output(ec2, host.instance_id or ""))

        hosts = inventories.load(self.directory / "inventory.json")
        return Transport(hosts, MemoryPins(), self.key, first_key=console)


def client(region: RegionHandle, service: str, region_name: str = "us-east-1") -> Any:
    """A client with the operator's credentials."""
    variables = region.environ(region_name)
    return boto3.client(
        service,
        region_name=region_name,
        endpoint_url=variables["AWS_ENDPOINT_URL"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
    )


@pytest.fixture(scope="module")
def story(region: RegionHandle, login_key: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    aws = partial(client, region)
    directory = tmp_path_factory.mktemp("bootstrap")
    with region.inside_internet():
        zone = Zone(aws, login_key, cidr="10.60")
        ids = _hosts(zone)
        zone.wait_for("running", *ids.values())
        _write_case(directory, zone, ids, _published(aws), login_key)
    yield Story(region, directory, login_key, ids)
    with region.inside_internet():
        zone.delete()


def _hosts(zone: Zone) -> dict[str, str]:
    group = zone.group("inside", (22, {"IpRanges": ANYWHERE}))
    zone.ec2.authorize_security_group_ingress(
        GroupId=group, IpPermissions=[{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}]
    )
    return {
        name: zone.run(zone.public if where == "public" else zone.private, group, public=where == "public")
        for name, (_, where) in HOSTS.items()
    }


def _published(aws: Callable[..., Any]) -> dict[str, str]:
    body = (HERE / "small_installer.sh").read_bytes()
    s3 = aws("s3")
    s3.create_bucket(Bucket="small")
    s3.put_bucket_policy(Bucket="small", Policy=json.dumps(READ_ALL))
    s3.put_object(Bucket="small", Key="dcos_generate_config.sh", Body=body)
    url = f"{s3.meta.endpoint_url}/small/dcos_generate_config.sh"
    return {"url": url, "sha256": hashlib.sha256(body).hexdigest()}


def _write_case(directory: Path, zone: Zone, ids: dict[str, str], installer: dict[str, str], key: Path) -> None:
    hosts = []
    for name, (role, where) in HOSTS.items():
        made = zone.instance(ids[name])
        hosts.append(
            {
                "name": name, "role": role, "pool": "data" if role == "private_agent" else role, "zone": where,
                "az": "us-east-1b", "private_ip": made["PrivateIpAddress"], "public_ip": made.get("PublicIpAddress"),
                "instance_id": ids[name], "attributes": {"zone": "us-east-1b"} if "agent" in role else {},
            }
        )  # fmt: skip
    document = {"version": 1, "environment": "t", "region": "us-east-1", "cluster_name": "t", "hosts": hosts}
    document["ssh"] = {"user": "admin", "bastion": "bastion"}
    (directory / "inventory.json").write_text(json.dumps(document))
    case = {"inventory": str(directory / "inventory.json"), "key": str(key), "roles": str(HERE.parents[1] / "roles")}
    (directory / "case.json").write_text(json.dumps({**case, **installer}))


@pytest.fixture
def inside(region: RegionHandle, story: Story) -> Iterator[Story]:
    with region.inside_internet():
        yield story


def test_a_killed_run_goes_on_and_what_failed_is_named(inside: Story) -> None:
    inside.run(kill_at="bootstrap: genconf")
    with inside.transport() as transport:
        transport.run("public-1", "touch /preflight-fails")
        transport.run("private-2", "touch /dies-half-way")
    inside.run(kill_at="master-1: install-dcos: step")
    ended = inside.run()
    assert not any(step.startswith(("bootstrap ", "bastion ")) for step in ended["steps"]), "done before the kill"
    with inside.transport() as transport:
        steps = transport.run("master-1", "journalctl -q -o cat | grep -cx 'step 1'").stdout
    assert int(steps) == 1, "installed once: the next run found the installer at work, or done"
    assert ended["error"].startswith("Incomplete")
    assert "public-1: install-dcos exited with 3" in ended["error"]
    assert "Checking port 80 is free: FAIL" in ended["error"]
    assert "private-2: install-dcos exited with 9" in ended["error"]


def test_the_next_run_does_what_is_left_and_never_cleans_a_half_installed_host(inside: Story) -> None:
    with inside.transport() as transport:
        transport.run("public-1", "rm /preflight-fails")
        transport.run("private-2", "rm /dies-half-way")
    ended = inside.run()
    assert {step.split()[0] for step in ended["steps"]} == {"public-1", "private-2", "master-1"}
    assert "private-2: DC/OS is half-installed" in ended["error"]
    assert "Re-image" in ended["error"]
    assert "public-1" not in ended["error"]


def test_the_metadata_service_answers_root_alone_where_volumes_are(inside: Story) -> None:
    asking = "curl -s -m 3 -o /dev/null -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' \
http://169.254.169.254/latest/api/token"
    with inside.transport() as transport:
        assert transport.run("private-1", asking, check=False).exit_code == 0
        assert transport.run("private-1", f'su -s /bin/sh nobody -c "{asking}"', check=False).exit_code != 0
        script = transport.run("bootstrap", "cat /srv/dcos/genconf/ip-detect").stdout
        for user in ("root", "nobody"):
            found = transport.run("private-1", ["su", "-s", "/bin/sh", user], stdin=script).stdout
            assert found == f"{transport.inventory.host('private-1').private_ip}\n", f"as {user} sees it"


def test_a_long_command_survives_its_connection(inside: Story) -> None:
    with inside.transport() as transport:
        said: list[str] = []

        def cut(line: str) -> None:
            said.append(line)
            if len(said) == 2:
                transport._connections._slots["private-1"].connection.transport.close()

        command = "for i in 1 2 3; do echo part $i; sleep 1; done; exit 5"
        ended = transport.long_run("private-1", "survivor", command, 30, cut)
        assert ended.exit_code == 5
        assert ended.stdout.split() == ["part", "1", "part", "2", "part", "3"]


def test_a_lost_host_is_named_and_changes_nothing_for_the_others(inside: Story) -> None:
    inside.region.fail_host(inside.ids["private-2"])
    ended = inside.run()
    assert "private-2 (10.60.2." in ended["error"]
    assert "via bastion bastion" in ended["error"]
    assert {step.split()[0] for step in ended["steps"]} <= {"private-2", "master-1"}


def test_a_run_on_a_whole_cluster_changes_nothing_and_is_quick(inside: Story) -> None:
    path = inside.directory / "inventory.json"
    document = json.loads(path.read_text())
    document["hosts"] = [h for h in document["hosts"] if h["name"] != "private-2"]
    path.write_text(json.dumps(document))
    inside.run()
    ended = inside.run()
    assert (ended["steps"], ended["error"]) == ([], None)
    assert ended["seconds"] < 6, "one round trip for each host, in parallel"
