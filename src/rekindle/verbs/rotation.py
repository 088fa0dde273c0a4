"""Another version of an environment's data key, and everything under it from then on.

Two operations, each with the lock: the first makes the key and appends nothing after it, the second is opened
under it. Killed anywhere, both may be run again: they go on.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from rekindle.journal import entries, keys
from rekindle.operation import Operation
from rekindle.plan import State, Step
from rekindle.secrets import Secret

NAME = "rotate key"  # of the operation in the journal
COMMAND = "secret rotate-key"
FILES = "secret_file:"


@dataclass(frozen=True, kw_only=True)
class Rotated:
    """What came under the new key."""

    version: int
    secrets: int  # encrypted anew by this run
    files: int  # secret files on hosts, named anew by this run


def make_key(operation: Operation) -> int:
    """The version that a rotation goes to; its key is kept, and seals whatever is written after this operation."""
    begun = operation.journal.fold().operations.get(NAME)
    version = int(str(begun.details["version"])) if begun else operation.keyring.version + 1
    if begun is None:
        operation.journal.append(entries.Operation(name=NAME, phase="begun", details={"version": version}))
    if operation.keyring.version < version:
        keys.replaced(
            operation.store,
            operation.environment,
            operation.envelope,
            operation.keyring,
            first=operation.journal.head.sequence + 1,
        )
    return version


def move_under_it(operation: Operation) -> Rotated:
    """Secrets are encrypted under the newest key, and what the journal says of secret files is said by its digests."""
    secrets, steps = operation.secrets.renew(), list(_renamed(operation))
    journal, version = operation.journal, operation.keyring.version
    if steps:
        with journal.recorder(journal.fold().release or "", COMMAND).entry(steps):
            pass  # the files are as they were: their digests are by another key
    if NAME in journal.fold().operations:
        journal.append(entries.Operation(name=NAME, phase="ended", details={"version": version}))
    journal.checkpoint()
    return Rotated(version=version, secrets=secrets, files=len(steps))


def _renamed(operation: Operation) -> Iterator[Step]:
    """What was last applied of secret files, with the same value's digest by the newest key."""
    values = [operation.secrets.get(name) for name in operation.secrets.names()]
    newest = {digest: operation.keyring.digest(value) for value in values for digest in _former(operation, value)}
    for (target, subject), state in operation.journal.fold().applied.items():
        digest = newest.get(str(state["digest"])) if state and subject.startswith(FILES) else None
        if state and digest:
            after: State = {**state, "digest": digest}
            yield Step(target=target, subject=subject, before=state, after=after)


def _former(operation: Operation, value: Secret) -> Iterator[str]:
    """The value's digests by the earlier versions of the key."""
    for version in range(1, operation.keyring.version):
        if keyring := operation.keyring.of(version):
            yield keyring.digest(value)
