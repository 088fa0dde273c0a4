"""What a replay did: how long it took, what was lost, what clients must renew."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from rekindle.errors import JournalDamaged


@dataclass(frozen=True, kw_only=True)
class PhaseTime:
    """One phase and how long it took, from its first beginning to its end, whatever interrupted it."""

    name: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class ReplayReport:
    """The figures of one replay. Durations in seconds, moments in ISO 8601."""

    environment: str
    recovery_environment: str
    epoch: int
    release: str
    restore_point: str | None
    barrier_at: str | None  # what was acknowledged before this moment is there
    barrier: dict[str, Any]  # what the services said of it
    started: str
    ended: str
    replay_seconds: float  # from the start of the first `replay` to its end
    failed_since: str | None
    answers_since: str  # the first success through the public name
    rto_seconds: float | None  # from the first failed probe to that; None where nobody said when it failed
    rpo_seconds: float | None  # from the barrier to the disaster, or to the start of `replay`
    phases: tuple[PhaseTime, ...]
    accepted_losses: tuple[str, ...]
    clients_renew: tuple[str, ...]
    is_unprotected: bool
    folder: str  # where the release was unpacked; its values for the recovery environment are to be kept

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        document: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return document

    @classmethod
    def of_document(cls, document: Any) -> "ReplayReport":
        """What `document` was made from; JournalDamaged for anything else."""
        try:
            return _REPORT.validate_python(document)
        except ValidationError as error:
            raise JournalDamaged(
                f"a replay's report cannot be read: {error.error_count()} of its values are not as they should be",
                next_step="Was it written by a later version of Rekindle? Use that one.",
            ) from error


def seconds_between(earlier: datetime | None, later: datetime) -> float | None:
    """Never negative; None where the beginning is not known."""
    return None if earlier is None else round(max(0.0, (later - earlier).total_seconds()), 3)


_REPORT = TypeAdapter(ReplayReport)
