"""What a verb works with: who may open it, what it holds while it is open, and what looking leaves behind."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws
from rich.console import Console

from rekindle import operation as operations
from rekindle.aws.clients import Clients
from rekindle.errors import InputError, LockHeld, Refused, Superseded, Unreachable
from rekindle.inventory import Inventory
from rekindle.inventory import load as load_inventory
from rekindle.journal.entries import Entry, Fenced, SupersededBy
from rekindle.journal.holder import Holder
from rekindle.journal.journal import Journal
from rekindle.journal.keys import open_keyring
from rekindle.journal.lock import Held, Lock, LockId, Locks
from rekindle.journal.store import S3Store
from rekindle.operation import opened, opened_on, read_inventory, stores_of
from rekindle.progress import Progress
from rekindle.secrets import KmsEnvelope, Secret
from rekindle.verbs import rotation

REGION = "us-west-2"
LOST = SupersededBy(environment="dev-dr", epoch=1)
ELSEWHERE = replace(Holder.of_this_process("apply"), name="ada@elsewhere", place="another machine")


@dataclass
class World:
    """An account with the foundation's bucket and key, and the inventory of dev."""

    clients: Clients
    folder: Path
    key_arn: str
    told: StringIO

    def inventory(self, environment: str = "dev", **more: Any) -> Path:
        stores = {f"{name}_bucket": name for name in ("journal", "mirror", "artifacts")}
        switch = {"kind": "alarm", "namespace": "Rekindle/example"}
        document = {
            "version": 1,
            "environment": environment,
            "region": "us-east-1",
            "cluster_name": "dev",
            "hosts": [],
            "ssh": {"user": "admin"},
            "stores": {
                **stores,
                "switch": switch,
                "region": REGION,
                "kms_key_arn": self.key_arn,
            },
        } | more
        file = self.folder / f"{environment}.json"
        file.write_text(json.dumps({key: value for key, value in document.items() if value is not None}))
        return file

    def open(self, reason: str = "apply", *, changes: bool = True, file: Path | None = None, **more: Any) -> Any:
        file = file or self.inventory()
        return opened(self.folder, "dev", reason, self.progress, changes=changes, inventory_file=file, **more)

    def write(self, *entries: Entry) -> None:
        inventory = load_inventory(self.inventory())
        with opened_on(
            self.folder, inventory, "test", self.progress, changes=True, take_lock=(), clients=self.clients
        ) as found:
            found.journal.append(*entries)

    @property
    def progress(self) -> Progress:
        return Progress(Console(file=self.told))

    @property
    def store(self) -> S3Store:
        return S3Store(self.clients.s3(REGION), "journal")

    @property
    def locks(self) -> Locks:
        keyring = open_keyring(self.store, "dev", KmsEnvelope(self.clients.kms(REGION), self.key_arn), keep=True)
        return Locks(store=self.store, environment="dev", keyring=keyring)

    def held_elsewhere(self) -> Lock:
        return Lock.acquire(self.store, "dev", self.locks.keyring, ELSEWHERE)

    def objects(self) -> set[str]:
        return set(self.store.list(""))


@pytest.fixture(scope="module")
def clients() -> Iterator[Clients]:
    """One set for all tests here: clients are slow to make."""
    with pytest.MonkeyPatch.context() as patched:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patched.setenv(name, "testing")
        for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
            patched.delenv(name, raising=False)
        made = Clients()
        patched.setattr(operations, "Clients", lambda: made)
        yield made


@pytest.fixture
def world(tmp_path: Path, clients: Clients) -> Iterator[World]:
    with mock_aws():  # a new account
        clients.s3(REGION).create_bucket(
            Bucket="journal", CreateBucketConfiguration={"LocationConstraint": REGION}, ObjectLockEnabledForBucket=True
        )
        key_arn = clients.kms(REGION).create_key()["KeyMetadata"]["Arn"]
        yield World(clients, tmp_path, key_arn, StringIO())


def test_what_changes_something_holds_the_lock_and_may_write(world: World) -> None:
    with world.open("backup") as op:
        held = world.locks.newest()
        assert held
        assert (held.released, held.holder.reason) == (False, "backup")
        op.secrets.set("orders/token", Secret("value"))
        assert op.journal.head.sequence == 1
    held = world.locks.newest()
    assert held
    assert held.released


def test_what_looks_leaves_nothing_behind(world: World) -> None:
    with world.open(changes=False) as op:
        assert not op.changes
        with pytest.raises(Refused, match="opened for reading"):
            op.journal.append(LOST)
    assert world.objects() == set()


def test_what_looks_does_not_wait_for_who_changes(world: World) -> None:
    world.held_elsewhere()
    with world.open(changes=False) as op:
        assert op.journal.head.sequence == 0


def test_the_lock_is_given_back_after_an_error(world: World) -> None:
    with pytest.raises(Unreachable), world.open():
        raise Unreachable("no answer")
    held = world.locks.newest()
    assert held
    assert held.released


def test_a_lock_that_is_held_is_waited_for_and_the_words_to_take_it_are_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.held_elsewhere()

    def acquire(*args: Any, waiting: Callable[[Held, float], None], take: Any, **more: Any) -> Lock:
        held = world.locks.newest()
        assert held
        assert not take
        waiting(held, 42)
        raise LockHeld("held")

    monkeypatch.setattr(Lock, "acquire", acquire)
    with pytest.raises(LockHeld), world.open():
        pass
    told = world.told.getvalue().replace("\n", " ")
    for words in ("dev is locked by ada@elsewhere for apply", "ends in 42 s", "--take-lock dev/1"):
        assert words in told


def test_the_lock_that_was_shown_is_taken(world: World) -> None:
    theirs = world.held_elsewhere()
    with world.open(take_lock={LockId("dev", 1)}) as op:
        assert [entry.kind for entry in op.journal.entries()] == ["lock_taken"]
    with pytest.raises(LockHeld):
        theirs.renew()


def test_a_lock_newer_than_the_one_that_was_shown_is_not_taken(world: World) -> None:
    world.held_elsewhere().release()
    world.held_elsewhere()
    with pytest.raises(LockHeld, match="has passed on since"), world.open(take_lock={LockId("dev", 1)}):
        pass


@pytest.mark.parametrize(
    ("entries", "changes", "is_refused"),
    [
        ((), True, False),
        ((LOST,), True, True),
        ((LOST,), False, False),
        ((LOST, Fenced(epoch=1)), True, False),
    ],
)
def test_nothing_is_changed_on_what_was_superseded(
    world: World, entries: tuple[Entry, ...], changes: bool, is_refused: bool
) -> None:
    world.write(*entries)
    if is_refused:
        with pytest.raises(Superseded, match="by dev-dr, epoch 1"), world.open(changes=changes):
            pass
    else:
        with world.open(changes=changes):
            pass


def test_a_replay_opens_what_was_superseded(world: World) -> None:
    """It goes back to it; what it may do there is its own to judge."""
    world.write(LOST)
    with opened_on(
        world.folder,
        load_inventory(world.inventory()),
        "replay",
        world.progress,
        changes=True,
        take_lock=(),
        clients=world.clients,
    ) as op:
        assert op.journal.fold().mark_in_force == op.journal.fold().superseded


def test_it_works_with_the_stores_of_its_inventory(world: World) -> None:
    with world.open(changes=False) as op:
        assert (op.environment, op.project, op.changes) == ("dev", world.folder, False)
        assert op.stores == op.inventory.stores
        assert op.stores.journal_bucket == "journal"


@pytest.mark.parametrize("changes", [True, False])
def test_the_inventory_of_another_environment_is_refused(world: World, changes: bool) -> None:
    file = world.inventory("qa")
    with (
        pytest.raises(InputError, match="this is the inventory of qa, not of dev") as caught,
        world.open(changes=changes, file=file),
    ):
        pass
    assert caught.value.where == str(file)
    assert world.objects() == set()


def test_an_inventory_without_stores_is_refused(world: World) -> None:
    file = world.inventory(stores=None)
    with pytest.raises(InputError, match="it names no stores") as caught, world.open(file=file):
        pass
    assert (caught.value.where, bool(caught.value.next_step)) == ("inventory of dev", True)
    with pytest.raises(InputError):
        stores_of(load_inventory(file))


def test_without_a_file_the_inventory_is_that_of_the_stack(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Path, str]] = []

    def inventory(project: Any, environment: str) -> Inventory:
        asked.append((project.directory, environment))
        return load_inventory(world.inventory())

    monkeypatch.setattr("rekindle.infrastructure.inventory", inventory)
    assert read_inventory(world.folder, "dev", None).environment == "dev"
    assert asked == [(world.folder, "dev")]


def test_the_journal_is_written_under_the_lock_that_is_held(world: World) -> None:
    with world.open() as op:
        op.journal.append(LOST)
        assert isinstance(op.journal, Journal)
        [entry] = op.journal.entries()
        held = world.locks.newest()
        assert held
        assert entry.command_id == held.holder.command_id


def test_what_is_written_is_retained(world: World) -> None:
    with world.open() as op:
        op.journal.append(LOST)
        op.journal.checkpoint()
    for key in world.objects():
        assert world.clients.s3(REGION).head_object(Bucket="journal", Key=key)["ObjectLockMode"] == "GOVERNANCE", key
    assert {key.partition("/")[0] for key in world.objects()} == {"keys", "lock", "journal", "checkpoints"}


@pytest.mark.parametrize("changes", [True, False])
def test_a_key_made_while_the_lock_was_waited_for_is_in_force(
    world: World, monkeypatch: pytest.MonkeyPatch, changes: bool
) -> None:
    with world.open() as found:
        former = found.keyring
        rotation.make_key(found)
    monkeypatch.setattr(operations, "open_keyring", lambda *place, keep: former)
    with world.open(changes=changes) as found:
        assert found.keyring.version == (2 if changes else 1)
        assert found.releases.keyring is found.keyring
    monkeypatch.undo()
    with world.open(changes=False) as found:
        assert found.keyring.version == 2


def test_only_the_foundations_key_opens_an_environment(world: World) -> None:
    with world.open():
        pass
    other = replace(world, key_arn=world.clients.kms(REGION).create_key()["KeyMetadata"]["Arn"])
    with pytest.raises(InputError, match=f"not under {other.key_arn}"), other.open():
        pass


@pytest.mark.parametrize("changes", [True, False])
def test_what_only_looks_remembers_nothing_of_urls(world: World, changes: bool, tmp_path: Path) -> None:
    s3 = world.clients.s3(REGION)
    for bucket in ("mirror", "upstream"):
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket="upstream", Key="a.tgz", Body=b"x")
    with world.open(changes=changes) as found:
        found.mirror.ensure("s3://upstream/a.tgz")
    kept = {item["Key"].split("/")[0] for item in s3.list_objects_v2(Bucket="mirror")["Contents"]}
    assert kept == ({"sha256", "urls"} if changes else {"sha256"})
