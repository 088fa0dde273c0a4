"""A data key is replaced, whatever is killed on the way, and what the old one seals afterwards is refused."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from io import StringIO
from itertools import count
from pathlib import Path
from typing import cast

import pytest
from rich.console import Console
from typer.testing import CliRunner

import rekindle.secrets
from rekindle.aws.clients import Clients
from rekindle.cli import app
from rekindle.errors import JournalDamaged
from rekindle.inventory import parse
from rekindle.journal.chain import Chain
from rekindle.journal.checkpoints import Base, Checkpoints
from rekindle.journal.entries import Operation as Recorded
from rekindle.journal.entries import Pinned, ReleaseEntry
from rekindle.journal.holder import Holder
from rekindle.journal.journal import Journal
from rekindle.journal.keys import open_keyring, with_newer
from rekindle.journal.lock import Lock
from rekindle.journal.mirror import Mirror
from rekindle.journal.secret_store import SecretStore
from rekindle.journal.store import AlreadyExists, Missing, Store
from rekindle.operation import Operation
from rekindle.plan import Step
from rekindle.progress import Progress
from rekindle.secrets import Keyring, PassphraseEnvelope, Secret
from rekindle.verbs import rotation

INVENTORY = {"environment": "dev", "region": None, "cluster_name": "dev", "hosts": [], "ssh": {"user": "admin"}}
FILE = ("agent-1", "secret_file:/run/token")
ENVELOPE = PassphraseEnvelope(Secret("open sesame"))
SECRETS = {"orders/token": "one", "orders/other": "two"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rekindle.secrets, "SCRYPT", {"n": 2**4, "r": 8, "p": 1})
    monkeypatch.setattr(Operation, "envelope", ENVELOPE)


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Memory:
    """A store at whose n-th write the process dies, before or after it."""

    objects: dict[str, bytes] = field(default_factory=dict)
    at: int = 0
    after: bool = False
    writes: int = 0

    def create(self, key: str, body: bytes, *, retain_until: datetime | None = None) -> None:
        is_cut = not key.startswith("lock/") and self._is_last()  # locks are another room's
        if is_cut and not self.after:
            raise Killed
        if key in self.objects:
            raise AlreadyExists(key)
        self.objects[key] = body
        if is_cut:
            raise Killed

    def _is_last(self) -> bool:
        self.writes += 1
        return self.writes == self.at

    def get(self, key: str) -> bytes:
        if key not in self.objects:
            raise Missing(key)
        return self.objects[key]

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        return iter(sorted(key for key in self.objects if key.startswith(prefix) and key > after))


@contextmanager
def opened(store: Store, keyring: Keyring | None = None) -> Iterator[Operation]:
    """As a verb opens it: the keys, then the lock, then what became of the keys meanwhile."""
    keyring = keyring or open_keyring(store, "dev", ENVELOPE, keep=True)
    with Lock.acquire(store, "dev", keyring, Holder.of_this_process("test")) as lock:
        keyring = with_newer(store, "dev", ENVELOPE, keyring)
        journal = Journal.open(store, "dev", keyring, lock=lock)
        yield Operation(
            project=Path(),
            environment="dev",
            inventory=parse(INVENTORY, where="test"),
            clients=cast(Clients, None),
            store=store,
            keyring=keyring,
            journal=journal,
            secrets=SecretStore(store, keyring, journal),
            mirror=cast(Mirror, None),
            progress=Progress(Console(file=StringIO())),
            changes=True,
        )


def applied(store: Store) -> None:
    """Secrets, one of them in a file on a host, and another that is no longer declared anywhere."""
    with opened(store) as op:
        for name, value in SECRETS.items():
            op.secrets.set(name, Secret(value))
        op.journal.append(ReleaseEntry(release="r", command="apply", rekindle_version="1"))
        state = {"digest": op.keyring.digest(Secret("one")), "mode": "0400", "owner": "nobody"}
        unknown = {**state, "digest": op.keyring.digest(Secret("gone"))}
        steps = [
            Step(target=FILE[0], subject=FILE[1], before=None, after=state),
            Step(target=FILE[0], subject="secret_file:/run/old", before=None, after=unknown),
            Step(target=FILE[0], subject="file:/etc/motd", before=None, after={"digest": state["digest"]}),
            Step(target=FILE[0], subject="secret_file:/run/removed", before=state, after=None),
        ]
        with op.journal.recorder("r", "apply").entry(steps):
            pass
        op.journal.checkpoint()


def rotate(store: Store) -> rotation.Rotated:
    with opened(store) as op:
        rotation.make_key(op)
    with opened(store) as op:
        return rotation.move_under_it(op)


def looking(store: Store) -> tuple[Keyring, Journal]:
    keyring = open_keyring(store, "dev", ENVELOPE, keep=False)
    return keyring, Journal.open(store, "dev", keyring)


def assert_rotated(store: Store, version: int = 2) -> None:
    keyring, journal = looking(store)
    folded, secrets = journal.fold(), SecretStore(store, keyring, journal)
    assert keyring.version == version
    assert folded.operations == {}
    assert {name: secrets.get(name).reveal() for name in secrets.names()} == SECRETS
    assert {name: entry.digest for name, entry in folded.secrets.items()} == {
        name: keyring.digest(Secret(value)) for name, value in SECRETS.items()
    }
    assert folded.applied[FILE] == {"digest": keyring.digest(Secret("one")), "mode": "0400", "owner": "nobody"}
    assert folded.release == "r"


def test_everything_is_under_the_new_key() -> None:
    store = Memory()
    applied(store)
    before = looking(store)[1].fold().applied
    assert rotate(store) == rotation.Rotated(version=2, secrets=2, files=1)
    assert_rotated(store)
    assert b'"sealed_by":2,' in store.get(next(store.list("checkpoints/dev/")))
    after = looking(store)[1].fold().applied
    assert {key for key in before if before[key] != after[key]} == {FILE}
    assert rotate(store) == rotation.Rotated(version=3, secrets=2, files=1)


def test_it_is_on_record_when_it_begins_and_when_it_ended() -> None:
    store = Memory()
    with opened(store) as op:
        assert rotation.make_key(op) == 2
    assert looking(store)[1].fold().operations["rotate key"].details == {"version": 2}
    with opened(store) as op:
        assert rotation.make_key(op) == 2  # goes on, and makes no other
        rotation.move_under_it(op)
    said = [entry for entry in looking(store)[1].entries() if isinstance(entry, Recorded)]
    assert [(entry.phase, entry.details) for entry in said] == [("begun", {"version": 2}), ("ended", {"version": 2})]


def test_an_environment_without_secrets_has_a_new_key_too() -> None:
    store = Memory()
    assert rotate(store) == rotation.Rotated(version=2, secrets=0, files=0)
    assert looking(store)[1].fold().operations == {}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_any_write_it_goes_on(after: bool) -> None:
    for at in count(1):
        store = Memory()
        applied(store)
        cut = Memory(store.objects, at, after)
        try:
            rotate(cut)
        except Killed:
            keyring, journal = looking(store)  # another command, in between, finds all
            assert {n: SecretStore(store, keyring, journal).get(n).reveal() for n in SECRETS} == SECRETS
            is_over = (keyring.version, dict(journal.fold().operations)) == (2, {})
            with opened(store) as op:  # and may go on writing
                op.journal.append(Pinned(host="a", instance_id=None, host_key="k"))
            version = rotate(store).version
            assert version == (3 if is_over else 2)
            assert_rotated(store, version)
        else:
            assert at > 8  # each write was cut once
            return


def test_a_command_that_waited_for_the_lock_goes_on_under_the_new_key() -> None:
    store = Memory()
    applied(store)
    waiting = open_keyring(store, "dev", ENVELOPE, keep=True)
    with opened(store) as op:
        rotation.make_key(op)
    with opened(store, waiting) as op:
        op.journal.append(Pinned(host="a", instance_id=None, host_key="k"))
    assert looking(store)[1].fold().pins["a"].host_key == "k"


@pytest.mark.parametrize("what", ["journal", "checkpoint"])
def test_what_the_old_key_seals_afterwards_is_refused(what: str) -> None:
    """Somebody has it, and may write to the store."""
    store = Memory()
    applied(store)
    stolen, _ = looking(store)
    rotate(store)
    head = looking(store)[1].head
    if what == "journal":
        chain = Chain(store=store, environment="dev", keyring=stolen)
        store.create(*chain.sealed(head, 99, [Pinned(host="evil", instance_id=None, host_key="k")]))
    else:
        Checkpoints(store=store, environment="dev", keyring=stolen).keep(Base(head=head, generation=99))
    with pytest.raises(JournalDamaged, match="sealed by version 1 of the environment's key after that was replaced"):
        looking(store)


def test_the_command_line_says_what_came_under_the_new_key(monkeypatch: pytest.MonkeyPatch) -> None:
    store, asked = Memory(), []
    applied(store)

    @contextmanager
    def operation(environment: str, reason: str, *, changes: bool, take_lock: object = None) -> Iterator[Operation]:
        asked.append((environment, reason, changes, take_lock))
        with opened(store) as op:
            yield op

    monkeypatch.setattr(import_module("rekindle.cli.main"), "operation", operation)
    done = CliRunner().invoke(app, ["secret", "rotate-key", "dev", "--take-lock", "dev/7"])
    assert done.exit_code == 0, done.output
    assert "dev is under version 2 of its key: 2 secrets encrypted anew, 1 secret files" in done.output
    assert [(env, changes, bool(take)) for env, _, changes, take in asked] == [
        ("dev", True, True),
        ("dev", True, False),
    ]
    assert_rotated(store)
