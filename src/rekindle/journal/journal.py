"""The journal of one environment: append-only, chained, folded from its last checkpoint."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from rekindle.errors import Refused, RekindleError
from rekindle.journal.chain import Chain, Head, Link
from rekindle.journal.checkpoints import Base, Checkpoints
from rekindle.journal.entries import AnyEntry, Begun, Checkpoint, Entry, Failed, LockTaken, StepEntry, Succeeded
from rekindle.journal.fold import Folded, fold
from rekindle.journal.lock import Lock, Locks, utc_now
from rekindle.journal.naming import journal_key
from rekindle.journal.seal import damaged, digest_of
from rekindle.journal.store import AlreadyExists, Store
from rekindle.plan import Key, State, Step, canonical, digest
from rekindle.secrets import Keyring

TAKEOVERS = 5  # tries to append before a former holder that still writes
LONGEST_ERROR = 2000  # characters kept of a failure


class AnotherWriter(Refused):
    """Someone else appended to the journal since it was read."""


class Journal:
    """What an environment's commands did; without a lock it can only be read."""

    def __init__(
        self,
        chain: Chain,
        *,
        lock: Lock | None,
        retention: timedelta | None,
        clock: Callable[[], datetime],
    ) -> None:
        self._chain = chain
        self._checkpoints = Checkpoints(store=chain.store, environment=chain.environment, keyring=chain.keyring)
        self._locks = Locks(store=chain.store, environment=chain.environment, keyring=chain.keyring)
        self._lock = lock
        self._retention = retention
        self._clock = clock
        self._writing = threading.Lock()
        self._joining = threading.Lock()
        self._batch = _Batch()
        self._broken: BaseException | None = None
        self._base, self._tail = Base(), list[Link]()

    @classmethod
    def open(
        cls,
        store: Store,
        environment: str,
        keyring: Keyring,
        *,
        lock: Lock | None = None,
        retention: timedelta | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> "Journal":
        """Reads the last checkpoint and what follows it; JournalDamaged names the object that is not as it was."""
        chain = Chain(store=store, environment=environment, keyring=keyring)
        journal = cls(chain, lock=lock, retention=retention, clock=clock)
        journal._read()
        if lock and lock.former:
            journal._fence_former(lock.former.holder.name)
        return journal

    @property
    def environment(self) -> str:
        return self._chain.environment

    @property
    def head(self) -> Head:
        return self._tail[-1].head if self._tail else self._base.head

    def append(self, *entries: Entry) -> None:
        """Durable when it returns; entries of all threads waiting at one moment go as one object."""
        with self._joining:
            batch = self._batch
            batch.entries.extend(self._stamped(entry) for entry in entries)
        with self._writing:
            if not batch.is_written:
                self._write(batch)
        if batch.error:
            raise batch.error

    def entries(self, *, since_checkpoint: bool = False) -> Iterator[AnyEntry]:
        """All entries, oldest first, each verified; or those after the last checkpoint, already in memory."""
        for link in list(self._tail) if since_checkpoint else self._history():
            yield from link.entries

    def fold(self) -> Folded:
        """Where the environment stands now; reads nothing."""
        return fold((entry for link in list(self._tail) for entry in link.entries), self._base.folded)

    @property
    def may_append(self) -> bool:
        """Whether it was opened for writing, with the environment's lock."""
        return self._lock is not None

    def checkpoint(self) -> None:
        """Keeps the fold, so that the next command need not read what came before; not twice for the same."""
        if all(isinstance(entry, Checkpoint | LockTaken) for entry in self.entries(since_checkpoint=True)):
            return
        with self._writing:
            base = Base(head=self.head, generation=self._generation(), folded=self.fold())
        key, folded_digest = self._checkpoints.keep(base)
        self.append(Checkpoint(key=key, digest=folded_digest))
        with self._writing:
            self._tail = [link for link in self._tail if link.head.sequence > base.head.sequence]
            self._base = base

    def settle(self, facts: Mapping[Key, State | None]) -> None:
        """Says of steps that a killed command left in flight how they stand, by facts read since."""
        self.append(
            *(
                Succeeded(**subject)
                if facts[key] == begun.after
                else Failed(**subject, error="interrupted; it reads otherwise")
                for key, begun in self.fold().in_flight.items()
                if key in facts
                for subject in [begun.model_dump(include=set(StepEntry.model_fields) - set(Entry.model_fields))]
            )
        )

    def recorder(self, release: str, command: str) -> "StepRecorder":
        """Records steps: begun before they are written, succeeded or failed after."""
        return StepRecorder(journal=self, release=release, command=command)

    def _read(self) -> None:
        """The lock is read first: what it says of the head must hold for a journal read later."""
        newest = self._locks.newest()
        self._base = self._checkpoints.newest()
        self._tail = list(self._chain.read(self._base.head, self._base.generation))
        if newest:
            self._require(newest.head)
        if self._lock:
            self._lock.record(self.head)

    def _require(self, recorded: Head) -> None:
        """The journal must still hold the head that the lock recorded."""
        key = journal_key(self.environment, recorded.sequence)
        if recorded.sequence > self.head.sequence:
            raise damaged(
                key, f"is missing: the tail was cut after {self.head.sequence}, the lock recorded {recorded.sequence}"
            )
        for head in (self._base.head, *(link.head for link in self._tail)):
            if head.sequence == recorded.sequence and head.digest != recorded.digest:
                raise damaged(key, "is not the object that the lock recorded: it was replaced")

    def _fence_former(self, former: str) -> None:
        """Takes the next number, so that whoever held the lock before cannot append any more."""
        for _ in range(TAKEOVERS):
            try:
                self.append(LockTaken(generation=self._generation(), former_holder=former))
                return
            except AnotherWriter:
                self._broken = None
                self._read()
        raise AnotherWriter(
            f"{former} goes on writing", where=f"journal of {self.environment}", next_step="End that command first."
        )

    def _history(self) -> Iterator[Link]:
        """From the first object on; it must run through the checkpoint and to the head known here."""
        known = {link.head.sequence: link.head for link in self._tail} | {self._base.head.sequence: self._base.head}
        last = Head()
        for link in self._chain.read(Head()):
            last = link.head
            if last.sequence > self.head.sequence:
                return
            if known.get(last.sequence, last) != last:
                raise damaged(journal_key(self.environment, last.sequence), "is not the object that was read before")
            yield link
        if last.sequence < self.head.sequence:
            raise damaged(journal_key(self.environment, last.sequence + 1), "is missing")

    def _stamped(self, entry: Entry) -> Any:
        if self._lock is None:
            raise Refused(
                "opened for reading: to append, hold the environment's lock", where=f"journal of {self.environment}"
            )
        holder = self._lock.holder
        return entry.model_copy(update={"at": self._clock(), "command_id": holder.command_id, "holder": holder.name})

    def _write(self, batch: "_Batch") -> None:
        """Writes all that joined so far as one object; who joins later waits for the next."""
        with self._joining:
            self._batch = _Batch()
        batch.is_written = True
        if not batch.entries:
            return
        try:
            self._tail.append(self._appended(batch.entries))
        except BaseException as error:  # whatever it was, nobody who waits may take it for written
            batch.error = self._broken = error

    def _appended(self, entries: Sequence[AnyEntry]) -> Link:
        """The new object; once one could not be written, none follows: whether it arrived is not known."""
        if self._broken:
            raise self._broken
        assert self._lock is not None
        self._lock.check()
        generation = self._generation()
        key, body = self._chain.sealed(self.head, generation, entries)
        try:
            self._chain.store.create(key, body, retain_until=self._retain_until())
        except AlreadyExists as error:
            raise AnotherWriter(
                "another writer appended since this command read the journal",
                where=key,
                next_step="See who holds the lock with `rekindle status`, then run the same command again.",
            ) from error
        head = Head(self.head.sequence + 1, digest_of(body))
        self._lock.record(head)
        return Link(head=head, generation=generation, entries=tuple(entries))

    def _generation(self) -> int:
        return self._lock.generation if self._lock else 0

    def _retain_until(self) -> datetime | None:
        return self._clock() + self._retention if self._retention else None


@dataclass
class _Batch:
    """Entries that wait to go as one object."""

    entries: list[AnyEntry] = field(default_factory=list)
    is_written: bool = False  # or could not be
    error: BaseException | None = None


@dataclass(frozen=True, kw_only=True)
class StepRecorder:
    """The journal as plan.Recorder: each step begun durably before it is written."""

    journal: Journal
    release: str
    command: str

    @contextmanager
    def entry(self, steps: Sequence[Step]) -> Iterator[None]:
        """Begun on entering; succeeded on leaving, failed when left by an exception."""
        self.journal.append(*(self._begun(step) for step in steps))
        try:
            yield
        except Exception as error:
            what = str(error) if isinstance(error, RekindleError) else type(error).__name__
            self.journal.append(*(Failed(**_subject(step), error=what[:LONGEST_ERROR]) for step in steps))
            raise
        self.journal.append(*(Succeeded(**_subject(step)) for step in steps))

    def _begun(self, step: Step) -> Begun:
        return Begun(**_subject(step), after=_plain(step.after), release=self.release, command=self.command)


def _subject(step: Step) -> dict[str, Any]:
    return {
        "target": step.target,
        "subject": step.subject,
        "before_digest": None if step.before is None else digest(step.before),
        "after_digest": None if step.after is None else digest(step.after),
    }


def _plain(state: State | None) -> dict[str, Any] | None:
    """The state as JSON values; TypeError if a secret, or anything else that is none, is in it."""
    return None if state is None else json.loads(canonical(state))
