"""What is so before a replay: read once, judged by pure functions."""

from dataclasses import dataclass
from datetime import datetime

from pydantic import AwareDatetime

from rekindle.inventory import Stores
from rekindle.journal.entries import RestorePoint, SupersededBy


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How something that may be lost answered a probe."""

    is_serving: bool
    said: str  # "answered 200", "no answer: timed out"
    is_known: bool = True  # False: whether it serves cannot be told from here


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Whom an environment stands by for, and the name that its clients use, as its settings in the release say."""

    recovers: str | None
    public_name: str


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What the person who replays decided."""

    accept_loss: frozenset[str] = frozenset()  # names of volumes, of artifacts, or `restore-point`
    override_serving: bool = False  # go on though the old environment may still serve
    release: str | None = None  # None: the last one
    restore_point: str | None = None  # None: the latest that is complete
    failed_since: datetime | None = None  # the first failed probe, where somebody knows it


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A replay that began before and goes on."""

    epoch: int
    release: str
    restore_point: str | None
    restores: dict[str, str]  # snapshot ids by volume name
    started: AwareDatetime
    failed_since: AwareDatetime | None
    accepted: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Situation:
    """All that deciding about a replay takes."""

    environment: str  # the lost one
    recovery: str  # its replacement
    lost_identity: Identity | None  # None: the release holds no settings of it that can be read
    recovery_identity: Identity
    standing_name: str | None  # the public name of the recovery environment's stack; None: it has none, or no outputs
    now: datetime
    release: str | None
    restore_point: RestorePoint | None
    restore_points: tuple[str, ...]  # all that are complete, oldest first
    whole_copies: frozenset[str]  # snapshot ids in the recovery region, completed
    wanted_volumes: dict[str, int]  # volumes of the recovery environment and their sizes in GiB
    missing_artifacts: tuple[str, ...]
    key_problem: str  # empty: the recovery region's key can be used
    stores: Stores | None
    public_name: Answer | None  # None: there is none that could be asked
    region_api: Answer
    running: tuple[str, ...]  # hosts that the recovery environment has already
    superseded: SupersededBy | None  # of the lost environment, unless it was fenced since
    last_epoch: int = 0  # how often it was superseded
    begun: Begun | None = None
