"""A small Pulumi project on an EC2 API that can be slow to answer."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from moto.moto_api._internal.models import moto_api_backend
from slow_api import REGION, SlowApi
from werkzeug.serving import make_server

from rehearsal import toolchain
from rekindle.aws.clients import Clients
from rekindle.infrastructure import Project, engine

PROGRAM = """
import pulumi, pulumi_aws as aws
urn = f"urn:pulumi:{pulumi.get_stack()}::{pulumi.get_project()}::aws:ebs/volume:Volume::kafka-1"
size = pulumi.Config("rekindle").get_int("size") or 4
volume = aws.ebs.Volume("kafka-1", availability_zone="us-west-2a", size=size,
                        tags={"Name": "kafka-1", "rekindle:urn": urn})
pulumi.export("volume", volume.id)
pulumi.export("inventory", {
    "version": 1, "environment": pulumi.get_stack(), "region": "us-west-2", "cluster_name": "dev",
    "hosts": [], "ssh": {"user": "admin"},
})
"""


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowApi]:
    api = SlowApi(seconds=1.0)
    server = make_server("127.0.0.1", 0, api, threaded=True)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_REGION", REGION)
    yield api
    server.shutdown()
    moto_api_backend.reset()


@pytest.fixture
def project(api: SlowApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    folder = tmp_path / "project"
    folder.mkdir()
    (tmp_path / "state").mkdir()
    (folder / "Pulumi.yaml").write_text("name: rekindle\nruntime: python\n")
    (folder / "Pulumi.dev.yaml").write_text(f"config:\n  aws:region: {REGION}\n")
    (folder / "__main__.py").write_text(PROGRAM)
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{tmp_path / 'state'}")
    found = Project(directory=folder, environ=toolchain.environ())
    engine.ask(found, "stack", "init", "dev")
    return found


@pytest.fixture
def volumes(api: SlowApi) -> Callable[[], list[str]]:
    """Names of the volumes that exist."""

    def names() -> list[str]:
        found = boto3.client("ec2", region_name=REGION).describe_volumes()["Volumes"]
        return [tag["Value"] for v in found for tag in v.get("Tags", []) if tag["Key"] == "Name"]

    return names


@pytest.fixture
def clients(api: SlowApi) -> Clients:
    return Clients()
