"""A lost environment on an AWS API of this process: its journal, its copies, and what stands by for it."""

import json
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

from moto.server import DomainDispatcherApplication, create_backend_app
from rich.console import Console
from werkzeug.serving import make_server

from rehearsal import toolchain
from rekindle import replay
from rekindle.aws.clients import Clients
from rekindle.infrastructure import Project, engine
from rekindle.journal.entries import RestorePoint, VolumeCopy
from rekindle.journal.holder import Holder
from rekindle.journal.journal import Journal
from rekindle.journal.keys import open_keyring
from rekindle.journal.lock import Lock
from rekindle.journal.release import Release, Releases
from rekindle.journal.secret_store import SecretStore
from rekindle.journal.store import S3Store
from rekindle.operation import Operation
from rekindle.progress import Progress
from rekindle.replay import Apply, Choices, Request
from rekindle.replay.situation import Answer
from rekindle.secrets import Keyring, KmsEnvelope, Secret

ROOT = Path(__file__).parents[2]
HOME, AWAY = "us-east-1", "us-west-2"
VOLUMES = ("kafka-1", "kafka-2", "kafka-3")
SILENT = Answer(is_serving=False, said="no answer: it keeps silent")
BUCKETS = ("journal", "mirror", "artifacts")
SWITCH = {"kind": "alarm", "namespace": "Rekindle/example"}
BARRIER = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)

PROGRAM = """
import json, pulumi, pulumi_aws as aws
config = pulumi.Config("rekindle")
is_standby = config.get("standby") != "false"
restore = config.get_object("restore") or {}
settings = config.require_object("environment")
stack, volumes = pulumi.get_stack(), []
for name, volume in ({} if is_standby else settings["volumes"]).items():
    urn = f"urn:pulumi:{stack}::{pulumi.get_project()}::aws:ebs/volume:Volume::{name}"
    made = aws.ebs.Volume(name, availability_zone=volume["az"], size=volume["size_gib"],
                          snapshot_id=restore.get(name), tags={"Name": name, "rekindle:urn": urn})
    volumes.append({"name": name, "volume_id": made.id, "az": volume["az"], "size_gib": volume["size_gib"],
                    "service": volume["service"]})
hosts = [] if is_standby else [{"name": "master-1", "role": "master", "pool": "master", "zone": "admin",
                                "az": settings["azs"][0], "private_ip": "10.20.0.5"}]
pulumi.export("inventory", {
    "version": 1, "environment": stack, "region": "us-west-2", "cluster_name": "dev", "hosts": hosts,
    "volumes": volumes, "ssh": {"user": "admin"}, "standby": is_standby,
    "stores": json.loads(STORES),
})
"""


class Killed(BaseException):
    """Stands for kill -9 of the command."""


@dataclass
class Cluster:
    """What the other verbs made true; one call of it may be cut."""

    said: Mapping[str, Any] = field(default_factory=lambda: {"offsets": {"0": 7}})
    calls: list[str] = field(default_factory=list)
    known: frozenset[str] = frozenset()
    cut: str = ""

    def bootstrap(self, operation: Operation) -> None:
        assert operation.inventory.hosts
        self._call("bootstrap")

    def apply(self, operation: Operation, wanted: Apply) -> None:
        self.known = wanted.known
        self._call(f"apply {','.join(sorted(wanted.packages)) if wanted.packages else 'all'}")

    def barriers(self, operation: Operation) -> Mapping[str, Mapping[str, Any]]:
        self._call("barriers")
        return {"kafka": self.said}

    def _call(self, name: str) -> None:
        if self.cut == name:
            raise Killed
        self.calls.append(name)


@dataclass
class LostRegion:
    """dev is lost; dev-dr stands by."""

    folder: Path  # for the directories of operators
    clients: Clients
    key_arn: str
    copies: dict[str, str] = field(default_factory=dict)
    release: str = ""

    @property
    def store(self) -> S3Store:
        return S3Store(self.clients.s3(AWAY), "journal")

    @property
    def journal_url(self) -> str:
        return f"s3://journal?region={AWAY}&key={self.key_arn}"

    def taken_over(self, environment: str) -> list[float]:
        """What was said to the switch of an environment, most of each minute."""
        now = datetime.now(UTC)
        found = self.clients.cloudwatch(AWAY).get_metric_statistics(
            Namespace=SWITCH["namespace"],
            MetricName="TakenOver",
            Dimensions=[{"Name": "Environment", "Value": environment}],
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(minutes=1),
            Period=60,
            Statistics=["Maximum"],
        )
        return [point["Maximum"] for point in found["Datapoints"]]

    def request(self, directory: str = "empty", **choices: Any) -> Request:
        return Request(
            environment="dev",
            recovery="dev-dr",
            journal=self.journal_url,
            folder=self.folder / directory / "release",
            progress=Progress(Console(file=StringIO())),
            choices=Choices(**choices),
            clients=self.clients,
            probe_name=lambda name: SILENT,
        )

    def run(self, cluster: Cluster, directory: str = "empty", **choices: Any) -> replay.ReplayReport:
        return replay.run(self.request(directory, **choices), cluster)

    def keyring(self, environment: str) -> Keyring:
        return open_keyring(self.store, environment, KmsEnvelope(self.clients.kms(AWAY), self.key_arn), keep=True)

    def releases(self, environment: str) -> Releases:
        return Releases(store=self.store, environment=environment, keyring=self.keyring(environment))

    @contextmanager
    def writing(self, environment: str) -> Iterator[tuple[Journal, SecretStore]]:
        keyring = self.keyring(environment)
        with Lock.acquire(self.store, environment, keyring, Holder.of_this_process("test")) as lock:
            journal = Journal.open(self.store, environment, keyring, lock=lock)
            yield journal, SecretStore(self.store, keyring, journal)

    def journal(self, environment: str) -> Journal:
        with self.writing(environment) as (journal, _):
            return journal


@contextmanager
def api(monkeypatch: Any) -> Iterator[None]:
    """AWS, for this process and for pulumi."""
    server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_REGION", AWAY)
    yield
    server.shutdown()


def lost_region(folder: Path, monkeypatch: Any) -> LostRegion:
    """dev's journal with a release, a restore point and a secret; dev-dr standing by."""
    clients = Clients()
    key_arn = clients.kms(AWAY).create_key()["KeyMetadata"]["Arn"]
    for bucket in BUCKETS:
        clients.s3(AWAY).create_bucket(
            Bucket=bucket,
            CreateBucketConfiguration={"LocationConstraint": AWAY},
            ObjectLockEnabledForBucket=bucket == "journal",  # as the foundation makes it
        )
    region = LostRegion(folder, clients, key_arn)
    project = _project(folder / "project", key_arn)
    (folder / "state").mkdir()
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{folder / 'state'}")
    for name, value in toolchain.environ().items():
        monkeypatch.setenv(name, value)
    pulumi = Project(directory=project)
    engine.ask(pulumi, "stack", "init", "dev-dr")
    engine.ask(pulumi, "up", "--yes", "--skip-preview", "--stack", "dev-dr")
    region.copies = {name: _copy(clients, key_arn, name) for name in VOLUMES}
    _write_journal(region, project)
    return region


def _project(folder: Path, key_arn: str) -> Path:
    shutil.copytree(ROOT / "packages", folder / "packages")
    (folder / "roles").mkdir()
    (folder / "roles" / "README").write_text("none here\n")
    (folder / "stacks").mkdir()
    (folder / "Pulumi.yaml").write_text("name: rekindle\nruntime: python\nmain: stacks\nstackConfigDir: stacks\n")
    stores = {f"{name}_bucket": name for name in BUCKETS} | {"switch": SWITCH, "region": AWAY, "kms_key_arn": key_arn}
    (folder / "stacks" / "__main__.py").write_text(f"STORES = {json.dumps(json.dumps(stores))}\n{PROGRAM}")
    for stack in ("dev", "dev-dr"):
        shutil.copy(ROOT / "stacks" / f"Pulumi.{stack}.yaml", folder / "stacks")
    return folder


def _copy(clients: Clients, key_arn: str, name: str) -> str:
    ec2 = clients.ec2(HOME)
    volume = ec2.create_volume(AvailabilityZone=f"{HOME}a", Size=4)["VolumeId"]
    snapshot = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    copied: str = clients.ec2(AWAY).copy_snapshot(
        SourceRegion=HOME, SourceSnapshotId=snapshot, Encrypted=True, KmsKeyId=key_arn
    )["SnapshotId"]
    return copied


def _write_journal(region: LostRegion, project: Path) -> None:
    release = Release.of(project)
    with region.writing("dev") as (journal, secrets):
        region.release = region.releases("dev").save(release)
        journal.append(release.entry("apply"), _point(region))
        secrets.set("orders/token", Secret("planted"))
        journal.checkpoint()


def _point(region: LostRegion) -> RestorePoint:
    volumes = tuple(
        VolumeCopy(
            name=name,
            volume_id=f"vol-{name}",
            az=f"{HOME}a",
            size_gib=4,
            service=name,
            snapshot_id="snap-there",
            copy_id=copy,
            copy_region=AWAY,
            state="complete",
        )
        for name, copy in region.copies.items()
    )
    return RestorePoint(
        id="rp-1",
        release=region.release,
        status="complete",
        consistency="frozen",
        barrier={"kafka": {"at": BARRIER.isoformat(), "said": {"offsets": {"0": 7}}}},
        volumes=volumes,
        started=BARRIER,
        ended=BARRIER + timedelta(minutes=1),
    )
