"""Opens what a replay works with, from a journal's URL and nothing else."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rekindle import environment as environments
from rekindle import infrastructure
from rekindle.aws.clients import Clients
from rekindle.environment import Environment
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
from rekindle.replay.folder import Folder
from rekindle.replay.ledger import Ledger
from rekindle.replay.location import located
from rekindle.replay.serving import Prober
from rekindle.replay.situation import Answer, Choices, Identity
from rekindle.replay.survey import Evidence, region_answers
from rekindle.secrets import Keyring

REASON = "replay"


@dataclass(frozen=True, kw_only=True)
class Request:
    """A replay as it is asked for."""

    environment: str  # the lost one
    recovery: str  # the one that stands by
    journal: str  # URL
    folder: Path  # where the release is unpacked; made if it is not there
    only_plan: bool = False  # nothing is left behind, in no folder either
    progress: Progress
    choices: Choices = field(default_factory=Choices)
    take_lock: frozenset[LockId] = frozenset()
    variables: Mapping[str, str] = field(default_factory=dict)  # of the process
    clients: Clients = field(default_factory=Clients)
    probe_name: Callable[[str], Answer] = field(default_factory=Prober)
    probe_region: Callable[[str | None], Answer] = region_answers
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))


@dataclass(frozen=True, kw_only=True)
class Lost:
    """The lost environment, as its journal knows it."""

    store: Store
    keyring: Keyring
    journal: Journal
    release: Release
    folder: Path  # the release, unpacked
    settings: Environment | None  # None: the release holds none that can be read

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
        with _unpacked(request, release) as folder:
            yield Lost(
                store=place.store,
                keyring=keyring,
                journal=journal,
                release=release,
                folder=folder,
                settings=_settings_of_lost(request, folder),
            )


@contextmanager
def recovered(request: Request, gone: Lost, *, changes: bool) -> Iterator[Operation | None]:
    """An operation on the recovery environment; None if its stack has no outputs."""
    inventory = _standing(request, gone.folder)
    if inventory is None:
        yield None
        return
    with opened_on(
        gone.folder,
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
    settings = environments.load(gone.folder, request.recovery)
    name = gone.settings.public_name if gone.settings else inventory and inventory.public_name
    return Evidence(
        environment=request.environment,
        recovery=request.recovery,
        folded=gone.journal.fold(),
        ledger=Ledger.read(operation.journal) if operation else None,
        release=gone.release.digest,
        artifacts=gone.release.artifacts,
        inventory=inventory,
        lost_identity=_identity(gone.settings) if gone.settings else None,
        recovery_identity=_identity(settings),
        wanted_volumes={name: volume.size_gib for name, volume in settings.volumes.items()},
        clients=request.clients,
        probe_name=lambda: request.probe_name(name) if name else None,
        probe_region=lambda: request.probe_region(gone.settings.region if gone.settings else None),
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


@contextmanager
def _unpacked(request: Request, release: Release) -> Iterator[Path]:
    """Where the release is: the request's folder, or for a mere plan one that is gone afterwards."""
    folder = Folder(path=request.folder, release=release, settings=f"stacks/Pulumi.{request.recovery}.yaml")
    if request.only_plan:
        with folder.copied() as copy:
            yield copy.path
        return
    folder.unpack()
    yield folder.path


def _standing(request: Request, folder: Path) -> Inventory | None:
    """What stands of the recovery environment; None where there is no such stack, or it has no outputs yet."""
    try:
        return infrastructure.inventory(Project(directory=folder), request.recovery)
    except (CommandFailed, InputError) as error:
        request.progress.tell(f"{request.recovery}: {error.what}")
        return None


def _settings_of_lost(request: Request, folder: Path) -> Environment | None:
    try:
        return environments.load(folder, request.environment)
    except RekindleError as error:
        request.progress.tell(f"{request.environment}: {error.what}")
        return None


def _identity(settings: Environment) -> Identity:
    return Identity(recovers=settings.recovers, public_name=settings.public_name)
