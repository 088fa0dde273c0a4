"""The journal of one environment: append-only, chained, folded from its last checkpoint."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tenacity import Retrying, retry_if_exception_type, wait_random_exponential

from rekindle.errors import Refused, RekindleError, Unreachable
from rekindle.journal.chain import START, Chain, Head, Link
from rekindle.journal.checkpoints import Base, Checkpoints
from rekindle.journal.clock import utc_now
from rekindle.journal.entries import AnyEntry, Begun, Checkpoint, Entry, Failed, LockTaken, StepEntry, Succeeded
from rekindle.journal.fold import Folded, fold_objects
from rekindle.journal.lock import LEASE_SECONDS, Held, Lock, Locks
from rekindle.journal.naming import journal_key, lock_key
from rekindle.journal.seal import damaged, digest_of
from rekindle.journal.store import AlreadyExists, Store, create_or_own
from rekindle.plan import Key, State, Step, canonical, digest
from rekindle.secrets import Keyring

TAKEOVERS = 100  # tries to append before a former holder that still writes; it stops when it next renews
LONGEST_ERROR = 2000  # characters kept of a failure
PATIENCE = timedelta(seconds=LEASE_SECONDS)  # with a store that does not answer an append; the lease ends it sooner
LONGEST_PAUSE = 5  # seconds between two tries


class AnotherWriter(Refused):
    """Someone else appended to the journal since it was read."""


class Journal:
    """What an environment's commands did; without a lock it can only be read."""

    def __init__(
        self,
        chain: Chain,
        *,
        lock: Lock | None,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None],
    ) -> None:
        self._chain = chain
        self._checkpoints = Checkpoints(store=chain.store, environment=chain.environment, keyring=chain.keyring)
        self._locks = Locks(store=chain.store, environment=chain.environment, keyring=chain.keyring)
        self._lock = lock
        self._clock = clock
        self._sleep = sleep
        self._writing = threading.Lock()
        self._joining = threading.Lock()
        self._batch = _Batch()
        self._overtaken: AnotherWriter | None = None
        self._unsettled: _Object | None = None  # sent, and whether it arrived is not known
        self._view = _View()

    @classmethod
    def open(
        cls,
        store: Store,
        environment: str,
        keyring: Keyring,
        *,
        lock: Lock | None = None,
        clock: Callable[[], datetime] = utc_now,
        sleep: Callable[[float], None] = time.sleep,
    ) -> "Journal":
        """Reads the last checkpoint and what follows it; JournalDamaged names the object that is not as it was.

        LockHeld if another took `lock` over since: what it appends must not be followed by anything of ours.
        """
        chain = Chain(store=store, environment=environment, keyring=keyring)
        journal = cls(chain, lock=lock, clock=clock, sleep=sleep)
        journal._read()
        if lock and lock.former:
            journal._fence_former(lock.former.holder.name)
        return journal

    @property
    def environment(self) -> str:
        return self._chain.environment

    @property
    def head(self) -> Head:
        return self._view.head

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

    def entries(self) -> Iterator[AnyEntry]:
        """All entries, oldest first, each verified: reads the whole history."""
        for link in self._history():
            yield from link.entries

    def fold(self) -> Folded:
        """Where the environment stands now; reads nothing."""
        return self._folded(self._view)

    @property
    def may_append(self) -> bool:
        """Whether it was opened for writing, with the environment's lock."""
        return self._lock is not None

    def checkpoint(self) -> None:
        """Keeps the fold, so that the next command need not read what came before; not twice for the same."""
        self._held().check()
        view = self._view
        if all(isinstance(entry, Checkpoint | LockTaken) for link in view.tail for entry in link.entries):
            return
        base = Base(head=view.head, generation=view.generation, folded=self._folded(view))
        key, folded_digest = self._checkpoints.keep(base)
        self.append(Checkpoint(key=key, digest=folded_digest))
        with self._writing:
            self._view = self._view.on(base)

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
        base = self._checkpoints.newest()
        self._view = _View(base, tuple(self._chain.read(base.head, base.generation)))
        if newest:
            self._require(newest.head)
        self._require_lock(newest)

    def _read_on(self) -> None:
        """What others appended since."""
        newest = self._locks.newest()
        self._view = self._view.and_then(*self._chain.read(self._view.head, self._view.generation))
        self._require_lock(newest)

    def _require(self, recorded: Head) -> None:
        """The journal must still hold the head that the lock recorded."""
        key = journal_key(self.environment, recorded.sequence)
        if recorded.sequence > self.head.sequence:
            raise damaged(
                key, f"is missing: the tail was cut after {self.head.sequence}, the lock recorded {recorded.sequence}"
            )
        for head in (self._view.base.head, *(link.head for link in self._view.tail)):
            if head.sequence == recorded.sequence and head.digest != recorded.digest:
                raise damaged(key, "is not the object that the lock recorded: it was replaced")

    def _require_lock(self, newest: Held | None) -> None:
        """Each lock under which the journal was written is there; and ours, if we have one, is the newest."""
        generation = self._view.generation
        if generation > (newest.generation if newest else 0):
            newest = self._locks.newest()  # taken since the first look, by who appended in between
        if generation > (newest.generation if newest else 0):
            raise damaged(lock_key(self.environment, generation), "is missing, though the journal was written under it")
        if self._lock:
            self._lock.require_newest(newest)
            self._lock.record(self.head)

    def _fence_former(self, former: str) -> None:
        """Takes the next number, so that whoever held the lock before cannot append any more."""
        for _ in range(TAKEOVERS):
            try:
                self.append(LockTaken(generation=self._held().generation, former_holder=former))
                return
            except AnotherWriter:
                self._overtaken = None
                self._read_on()
        raise AnotherWriter(
            f"{former} goes on writing", where=f"journal of {self.environment}", next_step="End that command first."
        )

    def _history(self) -> Iterator[Link]:
        """From the first object on; it must run through the checkpoint and to the head known here."""
        view = self._view
        known = {link.head.sequence: link.head for link in view.tail} | {view.base.head.sequence: view.base.head}
        last = START
        for link in self._chain.read(START):
            last = link.head
            if last.sequence > view.head.sequence:
                return
            if known.get(last.sequence, last) != last:
                raise damaged(journal_key(self.environment, last.sequence), "is not the object that was read before")
            yield link
        if last.sequence < view.head.sequence:
            raise damaged(journal_key(self.environment, last.sequence + 1), "is missing")

    def _folded(self, view: "_View") -> Folded:
        objects = ((journal_key(self.environment, link.head.sequence), link.entries) for link in view.tail)
        return fold_objects(objects, view.base.folded)

    def _held(self) -> Lock:
        """The lock; Refused without one."""
        if self._lock is None:
            raise Refused(
                "opened for reading: to append, hold the environment's lock", where=f"journal of {self.environment}"
            )
        return self._lock

    def _stamped(self, entry: Entry) -> Any:
        holder = self._held().holder
        return entry.model_copy(update={"at": self._clock(), "command_id": holder.command_id, "holder": holder.name})

    def _write(self, batch: "_Batch") -> None:
        """Writes all that joined so far as one object; who joins later waits for the next."""
        with self._joining:
            self._batch = _Batch()
        batch.is_written = True
        if not batch.entries:
            return
        try:
            self._settle()
            self._send(self._object(batch.entries))
        except BaseException as error:  # whatever it was, nobody who waits may take it for written
            batch.error = error

    def _settle(self) -> None:
        """It is known what became of the object sent before: nothing else may be sent under its number."""
        if self._overtaken:
            raise self._overtaken
        if self._unsettled:
            self._send(self._unsettled)

    def _object(self, entries: Sequence[AnyEntry]) -> "_Object":
        """The object that follows the head."""
        generation = self._held().generation
        key, body = self._chain.sealed(self.head, generation, entries)
        head = Head(self.head.sequence + 1, digest_of(body))
        return _Object(key, body, Link(head=head, generation=generation, entries=tuple(entries)))

    def _send(self, sent: "_Object") -> None:
        """It is there; AnotherWriter if its number is another's.

        A store that does not answer is sent the same bytes again, while the lease lasts: whichever try arrives,
        it is this object.
        """
        for attempt in self._patience():
            with attempt:
                self._held().check()
                self._unsettled = sent
                self._create(sent)
        self._unsettled = None
        self._view = self._view.and_then(sent.link)
        self._held().record(sent.link.head)

    def _create(self, sent: "_Object") -> None:
        try:
            create_or_own(self._chain.store, sent.key, sent.body)
        except AlreadyExists as error:
            self._unsettled = None
            self._overtaken = AnotherWriter(
                "another writer appended since this command read the journal",
                where=sent.key,
                next_step="See who holds the lock with `rekindle status`, then run the same command again.",
            )
            raise self._overtaken from error

    def _patience(self) -> Retrying:
        end = self._clock() + PATIENCE
        return Retrying(
            retry=retry_if_exception_type(Unreachable),
            stop=lambda state: self._clock() >= end,
            wait=wait_random_exponential(multiplier=0.5, max=LONGEST_PAUSE),
            sleep=self._sleep,
            reraise=True,
        )


@dataclass(frozen=True)
class _View:
    """The journal as far as it is known: a checkpoint, and what follows it."""

    base: Base = field(default_factory=Base)
    tail: tuple[Link, ...] = ()

    @property
    def head(self) -> Head:
        return self.tail[-1].head if self.tail else self.base.head

    @property
    def generation(self) -> int:
        """Of the lock under which the newest object was written."""
        return self.tail[-1].generation if self.tail else self.base.generation

    def and_then(self, *links: Link) -> "_View":
        return _View(self.base, (*self.tail, *links))

    def on(self, base: Base) -> "_View":
        """The same on a newer checkpoint."""
        return _View(base, tuple(link for link in self.tail if link.head.sequence > base.head.sequence))


@dataclass(frozen=True)
class _Object:
    """An object of the journal as it is sent."""

    key: str
    body: bytes
    link: Link


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
