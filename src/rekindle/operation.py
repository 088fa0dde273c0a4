"""What a verb works with, opened once: an environment's inventory, stores, keys, lock and journal."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rekindle import infrastructure
from rekindle.aws.clients import Clients
from rekindle.errors import InputError
from rekindle.inventory import Inventory, Stores
from rekindle.inventory import load as load_inventory
from rekindle.journal.journal import Journal
from rekindle.journal.keys import open_keyring, with_newer
from rekindle.journal.lock import Held, Holder, Lock, LockId
from rekindle.journal.mirror import Memory, Mirror
from rekindle.journal.release import Releases
from rekindle.journal.secret_store import SecretStore
from rekindle.journal.store import S3Store, Store
from rekindle.progress import Progress
from rekindle.secrets import Envelope, Keyring, KmsEnvelope


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One run of one verb on one environment."""

    project: Path  # the folder of Pulumi.yaml, stacks/, roles/ and packages/
    environment: str
    inventory: Inventory
    clients: Clients
    store: Store
    keyring: Keyring
    journal: Journal
    secrets: SecretStore
    mirror: Mirror
    progress: Progress
    changes: bool  # False: only looks, without the lock

    @property
    def envelope(self) -> Envelope:
        """What opens the environment's keys: the foundation's KMS key and no other."""
        return envelope_of(self.stores, self.clients)

    @property
    def releases(self) -> Releases:
        return Releases(store=self.store, environment=self.environment, keyring=self.keyring)

    @property
    def stores(self) -> Stores:
        """The buckets and keys of the foundation."""
        return stores_of(self.inventory)


@contextmanager
def opened(
    project: Path,
    environment: str,
    reason: str,
    progress: Progress,
    *,
    changes: bool,
    take_lock: Collection[LockId] = (),
    inventory_file: Path | None = None,
) -> Iterator[Operation]:
    """An operation on an environment that stands; holds its lock when it `changes` something.

    Superseded when a recovery environment took its place; LockHeld when another holder lives.
    """
    inventory = read_inventory(project, environment, inventory_file)
    with opened_on(
        project, inventory, reason, progress, changes=changes, take_lock=take_lock, clients=Clients()
    ) as operation:
        if changes:
            operation.journal.fold().require_in_force(environment)
        yield operation


@contextmanager
def opened_on(
    project: Path,
    inventory: Inventory,
    reason: str,
    progress: Progress,
    *,
    changes: bool,
    take_lock: Collection[LockId],
    clients: Clients,
) -> Iterator[Operation]:
    """An operation on an inventory that was read already, superseded or not."""
    stores = stores_of(inventory)
    store = S3Store(clients.s3(stores.region), stores.journal_bucket)
    envelope = envelope_of(stores, clients)
    keyring = open_keyring(store, inventory.environment, envelope, keep=changes)
    with locked(store, inventory.environment, keyring, reason, progress, changes=changes, take=take_lock) as lock:
        keyring = with_newer(store, inventory.environment, envelope, keyring) if lock else keyring
        journal = Journal.open(store, inventory.environment, keyring, lock=lock)
        yield Operation(
            project=project,
            environment=inventory.environment,
            inventory=inventory,
            clients=clients,
            store=store,
            keyring=keyring,
            journal=journal,
            secrets=SecretStore(store, keyring, journal),
            mirror=Mirror(
                clients,
                stores.mirror_bucket,
                stores.region,
                Memory(environment=inventory.environment, keyring=keyring, may_add=changes),
            ),
            progress=progress,
            changes=changes,
        )


def read_inventory(project: Path, environment: str, file: Path | None) -> Inventory:
    """The inventory of a file, or of the environment's stack; InputError if it is another environment's."""
    if file is None:
        return infrastructure.inventory(infrastructure.Project(directory=project), environment)
    inventory = load_inventory(file)
    if inventory.environment != environment:
        raise InputError(f"this is the inventory of {inventory.environment}, not of {environment}", where=str(file))
    return inventory


def stores_of(inventory: Inventory) -> Stores:
    """The foundation's buckets and keys; InputError for an inventory without them."""
    if inventory.stores is None:
        raise InputError(
            "it names no stores, and without a journal nothing may be changed",
            where=f"inventory of {inventory.environment}",
            next_step="Name the foundation's buckets and key under `stores:`.",
        )
    return inventory.stores


def envelope_of(stores: Stores, clients: Clients) -> Envelope:
    return KmsEnvelope(clients.kms(stores.region), stores.kms_key_arn)


@contextmanager
def locked(
    store: Store,
    environment: str,
    keyring: Keyring,
    reason: str,
    progress: Progress,
    *,
    changes: bool,
    take: Collection[LockId],
) -> Iterator[Lock | None]:
    """Holds the environment's lock for what `changes` something, and none for what only looks."""
    if not changes:
        yield None
        return

    def waiting(held: Held, left: float) -> None:
        who = f"{held.holder.name} for {held.holder.reason}"
        words = LockId(environment, held.generation).words
        progress.tell(
            f"{environment} is locked by {who}: its lease ends in {left:.0f} s; sooner, if it is dead: {words}"
        )

    holder = Holder.of_this_process(reason)
    with Lock.acquire(store, environment, keyring, holder, take=take, waiting=waiting) as lock:
        yield lock
