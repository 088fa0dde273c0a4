"""What `status` says of an environment: its lock and its marks, from a journal on disk."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from test_planning import MARK

from rekindle.aws.clients import Clients
from rekindle.cli import show
from rekindle.inventory import Inventory, Ssh
from rekindle.journal.entries import Entry, Fenced
from rekindle.journal.holder import Holder
from rekindle.journal.journal import Journal
from rekindle.journal.lock import Lock
from rekindle.journal.mirror import Mirror
from rekindle.journal.secret_store import SecretStore
from rekindle.journal.store import DirectoryStore
from rekindle.operation import Operation
from rekindle.progress import Progress
from rekindle.secrets import Keyring
from rekindle.verbs import status

KEYRING = Keyring(b"k" * 32)
INVENTORY = Inventory(environment="dev", region="us-east-1", cluster_name="dev", hosts=(), ssh=Ssh(user="a"))


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
    assert status.of(looking(store))["lock"] is None
    assert "holder" not in shown(store)


@pytest.mark.parametrize(("entries", "by"), [((), None), ((MARK,), "dev-dr"), ((MARK, Fenced(epoch=1)), None)])
def test_it_is_superseded_until_it_is_fenced(tmp_path: Path, entries: tuple[Entry, ...], by: str | None) -> None:
    store = DirectoryStore(tmp_path)
    with Lock.acquire(store, "dev", KEYRING, Holder.of_this_process("replay")) as lock:
        Journal.open(store, "dev", KEYRING, lock=lock).append(*entries)
    assert status.of(looking(store))["superseded_by"] == by
