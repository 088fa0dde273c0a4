"""Opens what a replay works with, from a journal's URL and nothing else."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from rekindle import environment as environments
from rekindle import infrastructure
from rekindle.aws.clients import Clients
from rekindle.errors import CommandFailed, InputError, RekindleError
from rekindle.infrastructure import Project
from rekindle.inventory import Inventory
from rekindle.journal.journal import Journal
from rekindle.journal.keys import known_environments, open_keyring, with_newer
from rekindle.journal.lock import LockId
from rekindle.journal.release import Release, Releases
from rekindle.journal.secret_store import SecretStore
from rekindle.journal.store import Store
from rekindle.operation import Operation, locked, opened_on
from rekindle.parsing import nearest
from rekindle.progress import Progress
from rekindle.replay.ledger import Ledger
from rekindle.replay.location import located
from rekindle.replay.public_name import PublicName
from rekindle.replay.situation import Answer, Choices
from rekindle.replay.survey import Evidence, region_answers
from rekindle.secrets import Keyring

REASON = "replay"
MARK = ".rekindle-release"  # in an unpacked release: its digest


@dataclass(frozen=True, kw_only=True)
class Request:
    """A replay as it is asked for."""

    environment: str  # the lost one
    recovery: str  # the one that stands by
    journal: str  # URL
    folder: Path  # where the release is unpacked; made if it is not there
    progress: Progress
    choices: Choices = field(default_factory=Choices)
    take_lock: frozenset[LockId] = frozenset()
    variables: Mapping[str, str] = field(default_factory=dict)  # of the process
    clients: Clients = field(default_factory=Clients)
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))


@dataclass(frozen=True, kw_only=True)
class Lost:
    """The lost environment, as its journal knows it."""

    store: Store
    keyring: Keyring
    journal: Journal
    release: Release
    region: str | None  # None: the release does not say

    @property
    def secrets(self) -> SecretStore:
        return SecretStore(self.store, self.keyring, self.journal)


@contextmanager
def lost(request: Request, *, changes: bool) -> Iterator[Lost]:
    """The lost environment's journal, verified, and its release, unpacked; with its lock if it `changes` something."""
    place = located(request.journal, request.clients, request.variables)
    _require_known(request, place.store)
    keyring = open_keyring(place.store, request.environment, place.envelope, keep=False)
    with locked(
        place.store, request.environment, keyring, REASON, request.progress, changes=changes, take=request.take_lock
    ) as lock:
        keyring = with_newer(place.store, request.environment, place.envelope, keyring) if lock else keyring
        journal = Journal.open(place.store, request.environment, keyring, lock=lock)
        digest = request.choices.release or journal.fold().release
        if digest is None:
            raise InputError(
                "its journal has no release, so there is nothing to rebuild",
                where=request.environment,
                next_step="Was `rekindle apply` ever run on it, and is this its journal?",
            )
        release = Releases(store=place.store, environment=request.environment, keyring=keyring).load(digest)
        _unpack(release, request.folder)
        yield Lost(
            store=place.store,
            keyring=keyring,
            journal=journal,
            release=release,
            region=_region(request),
        )


@contextmanager
def recovered(request: Request, *, changes: bool) -> Iterator[Operation | None]:
    """An operation on the recovery environment; None if its stack has no outputs."""
    inventory = _standing(request)
    if inventory is None:
        yield None
        return
    with opened_on(
        request.folder,
        inventory,
        REASON,
        request.progress,
        changes=changes,
        take_lock=request.take_lock,
        clients=request.clients,
    ) as operation:
        yield operation


def evidence(request: Request, gone: Lost, operation: Operation | None) -> Evidence:
    """Where the survey looks."""
    inventory = operation.inventory if operation else None
    name = inventory.public_name if inventory else None
    return Evidence(
        environment=request.environment,
        recovery=request.recovery,
        folded=gone.journal.fold(),
        ledger=Ledger.read(operation.journal) if operation else None,
        release=gone.release.digest,
        artifacts=gone.release.artifacts,
        inventory=inventory,
        wanted_volumes=_volumes(request),
        clients=request.clients,
        probe_name=PublicName(name).probe if name else _no_name,
        probe_region=partial(region_answers, gone.region),
        now=request.now,
    )


def _require_known(request: Request, store: Store) -> None:
    """InputError unless this is the place of the environment's journal."""
    known = known_environments(store)
    if request.environment not in known:
        hint = f"; {nearest(request.environment, known)}" if known else ""
        raise InputError(
            f"holds no journal of {request.environment}{hint}",
            where=request.journal,
            next_step="Correct the environment's name, or the place of its journal.",
        )


def _unpack(release: Release, folder: Path) -> None:
    """The release is in the folder, whole; if it is there already it is kept, for it has the replay's settings."""
    mark = folder / MARK
    if mark.exists() and mark.read_text() == release.digest:
        return
    if folder.exists() and any(folder.iterdir()):
        raise InputError(
            "it holds something else than this release", where=str(folder), next_step="Move it away, and run it again."
        )
    aside = folder.with_name(f".{folder.name}.unpacking")
    shutil.rmtree(aside, ignore_errors=True)
    release.unpack(aside)
    (aside / MARK).write_text(release.digest)
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside.rename(folder)


def _standing(request: Request) -> Inventory | None:
    """What stands of the recovery environment; None where there is no such stack, or it has no outputs yet."""
    try:
        return infrastructure.inventory(Project(directory=request.folder), request.recovery)
    except (CommandFailed, InputError) as error:
        request.progress.tell(f"{request.recovery}: {error.what}")
        return None


def _region(request: Request) -> str | None:
    try:
        return environments.load(request.folder, request.environment).region
    except RekindleError:
        return None


def _volumes(request: Request) -> dict[str, int]:
    wanted = environments.load(request.folder, request.recovery)
    return {name: volume.size_gib for name, volume in wanted.volumes.items()}


def _no_name() -> Answer:
    return Answer(is_serving=False, said="it has none")
