"""A broker checks whose data its volume holds before it starts, and begins with empty data only for a while."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools" / "kafka"
REFUSED = 78
CLUSTER = "cmVraW5kbGUta2Fma2EtMQ"
IDENTITY = f"version=1\nnode.id=2\ncluster.id={CLUSTER}\n"


def broker(sandbox: Path, *, until: float = 0) -> subprocess.CompletedProcess[str]:
    """Runs it with a `java` that says what it was asked."""
    shutil.copytree(TOOLS / "bin", sandbox / "kafka" / "bin")
    java = sandbox / "jre" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text('#!/bin/sh\necho "java $*"\n')
    java.chmod(0o755)
    settings = {
        "NODE_ID": "2", "CLUSTER_ID": CLUSTER, "VOTERS": "2@kafka-2:9093", "BROKER_NAME": "kafka-2",
        "BROKER_PORT": "9092", "CONTROLLER_PORT": "9093", "REPLICATION": "3", "MIN_INSYNC": "2", "PARTITIONS": "3",
        "RETENTION_HOURS": "-1", "SESSION_TIMEOUT_MS": "4000", "HEAP_MB": "256", "INITIALISE_UNTIL": str(int(until)),
        "MESOS_SANDBOX": str(sandbox),
    }  # fmt: skip
    return subprocess.run(
        [str(sandbox / "kafka/bin/broker")], env={**os.environ, **settings}, capture_output=True, text=True, check=False
    )


def volume(sandbox: Path, identity: str | None) -> None:
    (sandbox / "data" / "kafka").mkdir(parents=True)
    if identity is not None:
        (sandbox / "data" / "kafka" / "meta.properties").write_text(identity)


@pytest.mark.parametrize(
    ("identity", "said"),
    [
        (None, "the volume has no identity"),
        ("", "the volume has no identity"),
        (IDENTITY.replace("node.id=2", "node.id=3"), "holds data of node 3"),
        (IDENTITY.replace(CLUSTER, "another"), f"holds data of cluster another, not {CLUSTER}"),
    ],
)
def test_other_data_or_none_is_refused(tmp_path: Path, identity: str | None, said: str) -> None:
    volume(tmp_path, identity)
    done = broker(tmp_path)
    assert done.returncode == REFUSED
    assert said in done.stderr
    assert "java" not in done.stdout


def test_no_volume_is_refused(tmp_path: Path) -> None:
    done = broker(tmp_path, until=time.time() + 60)
    assert done.returncode == REFUSED
    assert "there is no volume" in done.stderr


def test_its_own_data_is_started_with(tmp_path: Path) -> None:
    volume(tmp_path, IDENTITY)
    done = broker(tmp_path)
    assert done.returncode == 0
    assert "kafka.Kafka" in done.stdout
    assert "format" not in done.stdout


@pytest.mark.parametrize(("ahead", "is_formatted"), [(60, True), (-1, False)])
def test_empty_data_is_begun_with_only_for_a_while(tmp_path: Path, ahead: int, is_formatted: bool) -> None:
    volume(tmp_path, None)
    assert ("StorageTool format" in broker(tmp_path, until=time.time() + ahead).stdout) is is_formatted


def test_acknowledged_means_on_two_brokers_and_no_unclean_leader(tmp_path: Path) -> None:
    volume(tmp_path, IDENTITY)
    broker(tmp_path)
    properties = (tmp_path / "server.properties").read_text()
    for line in ("min.insync.replicas=2", "unclean.leader.election.enable=false", "default.replication.factor=3"):
        assert line in properties.splitlines()
