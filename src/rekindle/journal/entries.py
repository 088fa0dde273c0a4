"""What a journal says, one fact for each entry."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from rekindle.journal.content import Moment, Number
from rekindle.plan import Key

UNSTAMPED = datetime(1970, 1, 1, tzinfo=UTC)


class Frozen(BaseModel):
    """A value of the journal: immutable, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Entry(Frozen):
    """When and by whom; the journal fills these in as it appends."""

    at: Moment = UNSTAMPED  # UTC
    command_id: str = ""  # of the running command
    holder: str = ""  # user@host


class ReleaseEntry(Entry):
    """A command began to work from this release."""

    kind: Literal["release"] = "release"
    release: str  # digest of the bundle
    command: str  # "apply"
    rekindle_version: str
    commit: str | None = None
    dirty: bool = False


class StepEntry(Entry):
    """Something about one subject."""

    target: str
    subject: str
    before_digest: str | None  # None: absent
    after_digest: str | None

    @property
    def key(self) -> Key:
        return self.target, self.subject


class Begun(StepEntry):
    """A step is about to be written."""

    kind: Literal["begun"] = "begun"
    after: dict[str, JsonValue] | None  # what will be true; holds no secret
    release: str
    command: str


class Succeeded(StepEntry):
    """A step was written, and reads as it should."""

    kind: Literal["succeeded"] = "succeeded"


class Failed(StepEntry):
    """A step was not written, not wholly, or reads otherwise."""

    kind: Literal["failed"] = "failed"
    error: str


class Checkpoint(Entry):
    """All entries before this object, folded, are kept under `key`."""

    kind: Literal["checkpoint"] = "checkpoint"
    key: str
    digest: str  # of the folded state


class Pinned(Entry):
    """This host shows this key, as its console said."""

    kind: Literal["pinned"] = "pinned"
    host: str
    instance_id: str | None
    host_key: str  # "ssh-ed25519 AAAA…"


class VolumeCopy(Frozen):
    """One volume of a restore point: its snapshot, and the copy on the recovery side."""

    name: str
    volume_id: str
    az: str
    size_gib: int
    service: str = ""
    snapshot_id: str | None = None
    copy_id: str | None = None
    copy_region: str | None = None
    state: Literal["pending", "snapshotted", "copying", "complete", "failed"] = "pending"


class RestorePoint(Entry):
    """A group of snapshots; a later entry of the same id replaces an earlier one."""

    kind: Literal["restore_point"] = "restore_point"
    id: str
    release: str  # in force when it was taken
    status: Literal["pending", "complete", "failed"]
    consistency: str  # "frozen", "crash"
    barrier: dict[str, JsonValue] = Field(default_factory=dict)  # what was acknowledged before it
    volumes: tuple[VolumeCopy, ...] = ()
    started: Moment
    ended: Moment | None = None
    size_bytes: int | None = None


class SupersededBy(Entry):
    """A recovery environment took this one's place."""

    kind: Literal["superseded_by"] = "superseded_by"
    environment: str
    epoch: Number


class Fenced(Entry):
    """Proven unable to serve or to write since it was superseded."""

    kind: Literal["fenced"] = "fenced"
    epoch: Number
    evidence: str = ""


class SecretSet(Entry):
    """A secret has a new version; its value is elsewhere, encrypted."""

    kind: Literal["secret_set"] = "secret_set"
    name: str
    version: Number
    digest: str  # keyed


REPLAY = "replay"  # the operation that built an environment; its phases are named "replay: hosts"


class Operation(Entry):
    """Work that is not made of steps (Pulumi, a backup, a roll of masters) began or ended."""

    kind: Literal["operation"] = "operation"
    name: str  # "pulumi up"; one of a name is in flight at a time
    phase: Literal["begun", "ended"]
    details: dict[str, JsonValue] = Field(default_factory=dict)  # pid, boot id, exit code, …

    @property
    def is_of_a_replay(self) -> bool:
        return self.name == REPLAY or self.name.startswith(f"{REPLAY}: ")


class LockTaken(Entry):
    """The lock passed on without having been released; the former holder cannot append any more."""

    kind: Literal["lock_taken"] = "lock_taken"
    generation: Number
    former_holder: str


AnyEntry: TypeAlias = Annotated[
    ReleaseEntry
    | Begun
    | Succeeded
    | Failed
    | Checkpoint
    | Pinned
    | RestorePoint
    | SupersededBy
    | Fenced
    | SecretSet
    | Operation
    | LockTaken,
    Field(discriminator="kind"),
]


def document(entry: Entry) -> dict[str, Any]:
    """An entry as JSON values."""
    return entry.model_dump(mode="json")
