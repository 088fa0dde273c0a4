"""The journal of one environment: append-only, chained, folded from its last checkpoint."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from rekindle.journal.chain import Head
from rekindle.journal.entries import AnyEntry, Entry
from rekindle.journal.fold import Folded
from rekindle.journal.lock import Lock
from rekindle.journal.store import Store
from rekindle.plan import Recorder
from rekindle.secrets import Keyring


class Journal:
    """What an environment's commands did; without a lock it can only be read."""

    @classmethod
    def open(
        cls,
        store: Store,
        environment: str,
        keyring: Keyring,
        *,
        lock: Lock | None = None,
        retention: timedelta | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> "Journal":
        """Reads the last checkpoint and what follows it; JournalDamaged names the object that is not as it was."""
        raise NotImplementedError

    @property
    def head(self) -> Head:
        raise NotImplementedError

    def append(self, *entries: Entry) -> None:
        """Durable when it returns; entries of all threads waiting at one moment go as one object."""
        raise NotImplementedError

    def entries(self, *, since_checkpoint: bool = False) -> Iterator[AnyEntry]:
        """All entries, oldest first, each verified; or those after the last checkpoint, already in memory."""
        raise NotImplementedError

    def fold(self) -> Folded:
        """Where the environment stands now; reads nothing."""
        raise NotImplementedError

    def checkpoint(self) -> None:
        """Keeps the fold, so that the next command need not read what came before."""
        raise NotImplementedError

    def recorder(self, release: str, command: str) -> Recorder:
        """Records steps: begun before they are written, succeeded or failed after."""
        raise NotImplementedError
