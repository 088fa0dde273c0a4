"""What `status` says of an environment: its lock and its marks, from a journal on disk."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from rich.console import Console
from test_planning import BEGUN, MARK, NOON
from test_survey import REPORT

from rekindle.aws.clients import Clients
from rekindle.cli import show
from rekindle.inventory import Inventory, Ssh, Stores, SwitchAlarm, SwitchBucket
from rekindle.journal.entries import Begun, Entry, Failed, Fenced, Pinned, ReleaseEntry, RestorePoint
from rekindle.journal.holder import Holder
from rekindle.journal.journal import Journal
from rekindle.journal.lock import Lock
from rekindle.journal.mirror import Mirror
from rekindle.journal.secret_store import SecretStore
from rekindle.journal.store import DirectoryStore
from rekindle.operation import Operation
from rekindle.progress import Progress
from rekindle.replay.ledger import Ledger
from rekindle.secrets import Keyring
from rekindle.verbs import status

KEYRING = Keyring(b"k" * 32)
INVENTORY = Inventory(environment="dev", region="us-east-1", cluster_name="dev", hosts=(), ssh=Ssh(user="a"))

STORES = Stores(
    region="us-west-2",
    journal_bucket="j",
    mirror_bucket="m",
    artifacts_bucket="a",
    switch=SwitchAlarm(kind="alarm", namespace="n"),
    kms_key_arn="k",
)


def looking(store: DirectoryStore) -> Operation:
    """An operation that only reads."""
    journal, clients = Journal.open(store, "dev", KEYRING), Clients()
    return Operation(
        project=Path(),
        environment="dev",
        inventory=INVENTORY,
        clients=clients,
        store=store,
        keyring=KEYRING,
        journal=journal,
        secrets=SecretStore(store, KEYRING, journal),
        mirror=Mirror(clients, "mirror", "us-west-2"),
        progress=Progress(Console(file=StringIO())),
        changes=False,
    )


def shown(store: DirectoryStore) -> str:
    console = Console(file=StringIO())
    show.status(console, status.of(looking(store)), as_json=False)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_it_says_who_holds_the_lock_while_somebody_does(tmp_path: Path) -> None:
    store, holder = DirectoryStore(tmp_path), Holder.of_this_process("apply")
    assert status.of(looking(store))["lock"] is None
    with Lock.acquire(store, "dev", KEYRING, holder):
        lock = status.of(looking(store))["lock"]
        assert (lock["holder"], lock["process"], lock["command"]) == (holder.name, holder.pid, "apply")
        assert f"holder {holder.name}, process {holder.pid}, command apply" in shown(store)
        assert "to take it --take-lock dev/1" in shown(store)
    assert status.of(looking(store))["lock"] is None
    assert "holder" not in shown(store)


@pytest.mark.parametrize(("entries", "by"), [((), None), ((MARK,), "dev-dr"), ((MARK, Fenced(epoch=1)), None)])
def test_it_is_superseded_until_it_is_fenced(tmp_path: Path, entries: tuple[Entry, ...], by: str | None) -> None:
    store = DirectoryStore(tmp_path)
    with Lock.acquire(store, "dev", KEYRING, Holder.of_this_process("replay")) as lock:
        Journal.open(store, "dev", KEYRING, lock=lock).append(*entries)
    assert status.of(looking(store))["superseded_by"] == by


class Counting(DirectoryStore):
    """Counts what is read."""

    read = 0

    def get(self, key: str) -> bytes:
        self.read += 1
        return super().get(key)


@contextmanager
def writing(store: DirectoryStore) -> Iterator[Journal]:
    with Lock.acquire(store, "dev", KEYRING, Holder.of_this_process("replay")) as lock:
        yield Journal.open(store, "dev", KEYRING, lock=lock)


@pytest.mark.parametrize("is_folded", [False, True], ids=["since the checkpoint", "before it"])
def test_it_says_what_the_last_replay_did_without_reading_the_history(tmp_path: Path, is_folded: bool) -> None:
    store = Counting(tmp_path)
    with writing(store) as journal:
        for number in range(10):
            journal.append(Pinned(host=f"host-{number}", instance_id=None, host_key="ssh-ed25519 AAAA"))
        journal.checkpoint()
        ledger = Ledger.read(journal)
        ledger.begin("dev", BEGUN)
        ledger.finish(REPORT)
        if is_folded:
            journal.checkpoint()
    store.read = 0
    assert status.of(looking(store))["replayed"] == REPORT.document()
    assert store.read <= 6  # the lock, twice; the checkpoint, and the objects after it


def test_of_two_replays_it_tells_the_newer(tmp_path: Path) -> None:
    store = Counting(tmp_path)
    for epoch in (1, 2):
        with writing(store) as journal:
            ledger = Ledger.read(journal)
            ledger.begin("dev", replace(BEGUN, epoch=epoch))
            assert status.of(looking(store))["replayed"] is None
            ledger.finish(replace(REPORT, epoch=epoch))
            journal.checkpoint()
        assert status.of(looking(store))["replayed"]["epoch"] == epoch


POINT = RestorePoint(id="rp-1", release="r", status="complete", consistency="frozen", started=NOON, ended=NOON)


def test_it_says_where_the_journal_stands(tmp_path: Path) -> None:
    step = {"target": "a", "subject": "file:/a", "before_digest": None, "after_digest": None}
    with writing(DirectoryStore(tmp_path)) as journal:
        journal.append(
            ReleaseEntry(release="r1", command="apply", rekindle_version="1"),
            POINT,
            POINT.model_copy(update={"id": "rp-2", "ended": NOON + timedelta(hours=1)}),
            POINT.model_copy(update={"id": "rp-3", "status": "pending", "ended": None}),
            Begun(**step, after={}, release="r", command="apply"),
            Failed(**step, error="why"),
            Begun(**{**step, "subject": "file:/b"}, after={}, release="r", command="apply"),
        )
        head = journal.head
    found = status.of(looking(DirectoryStore(tmp_path)))
    assert found["release"] == "r1"
    assert found["journal"] == {"sequence": 1, "head": head.digest}
    assert found["restore_points"] == {"complete": 2, "all": 3}
    assert found["restore_point"]["id"] == "rp-2"
    age = (datetime.now(UTC) - NOON - timedelta(hours=1)).total_seconds()
    assert found["restore_point"]["age_seconds"] == pytest.approx(age, abs=5)
    assert found["unfinished_steps"] == ["file:/b on a"]
    assert found["failed_steps"] == ["file:/a on a"]
    assert (found["hosts"], found["region"], found["standby"], found["unprotected"]) == (0, "us-east-1", False, False)


@pytest.mark.parametrize(("region", "is_unprotected"), [("us-east-1", True), ("us-west-2", False)])
def test_a_journal_in_the_environment_s_own_region_protects_nothing(
    tmp_path: Path, region: str, is_unprotected: bool
) -> None:
    stores = STORES.model_copy(update={"region": region})
    operation = replace(looking(DirectoryStore(tmp_path)), inventory=INVENTORY.model_copy(update={"stores": stores}))
    assert status.of(operation)["unprotected"] is is_unprotected


@dataclass
class Away:
    """CloudWatch and S3 on the recovery side, which say this of an alarm and of an object."""

    alarm: str | None = None
    is_readable: bool | None = None

    meta = SimpleNamespace(
        config=SimpleNamespace(retries={"total_max_attempts": 1}),
        service_model=SimpleNamespace(service_name="it"),
        region_name="us-west-2",
    )

    def cloudwatch(self, region: str) -> "Away":
        assert region == "us-west-2"
        return self

    unsigned_s3 = cloudwatch  # as the health checkers ask

    def describe_alarms(self, AlarmNames: list[str]) -> dict[str, Any]:
        assert AlarmNames == ["n/dev"]
        if self.alarm is None:
            raise EndpointConnectionError(endpoint_url="https://monitoring")
        return {"MetricAlarms": [{"StateValue": self.alarm}]}

    def head_object(self, Bucket: str, Key: str, **_: Any) -> dict[str, Any]:
        assert (Bucket, Key) == ("s", "dev/active")
        if self.is_readable is None:
            raise EndpointConnectionError(endpoint_url="https://s3")
        if not self.is_readable:
            raise ClientError({"Error": {"Code": "403", "Message": "Forbidden"}}, "HeadObject")
        return {}


BY_BUCKET = SwitchBucket(kind="bucket", name="s")


@pytest.mark.parametrize(
    ("switch", "away", "is_turned", "meaning"),
    [
        (STORES.switch, Away(alarm="ALARM"), True, "the names lead to dev"),
        (STORES.switch, Away(alarm="OK"), False, "the names lead back to qa: turn it again"),
        (STORES.switch, Away(), None, "cannot be read: the names stay where they are (AWS it in us-west-2: no answer"),
        (BY_BUCKET, Away(is_readable=True), True, "the names lead to dev"),
        (BY_BUCKET, Away(is_readable=False), None, "cannot be read: the names lead back until s3://s/dev/active can"),
        (BY_BUCKET, Away(), None, "cannot be read: the names lead back until s3://s/dev/active can"),
    ],
)
def test_it_says_what_the_names_hang_on_once_it_has_taken_over(
    tmp_path: Path, switch: Any, away: Away, is_turned: bool | None, meaning: str
) -> None:
    store = DirectoryStore(tmp_path)
    inventory = INVENTORY.model_copy(update={"stores": STORES.model_copy(update={"switch": switch})})
    looked = replace(looking(store), inventory=inventory, clients=away)  # type: ignore[arg-type]
    assert status.of(looked)["switch"] is None, "before it has taken over"
    with writing(store) as journal:
        ledger = Ledger.read(journal)
        ledger.begin("qa", BEGUN)
        ledger.finish(replace(REPORT, environment="qa"))
        journal.checkpoint()
    looked = replace(looked, journal=Journal.open(store, "dev", KEYRING))
    found = status.of(looked)["switch"]
    assert (found["kind"], found["is_turned"]) == (switch.kind, is_turned)
    assert found["meaning"].startswith(meaning)
    with writing(store) as journal:
        journal.append(MARK)
    looked = replace(looked, journal=Journal.open(store, "dev", KEYRING))
    assert status.of(looked)["switch"] is None, "when it gave them up"
