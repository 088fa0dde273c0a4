"""What a backup would do, and what stands in its way."""

from dataclasses import dataclass

from rekindle.backup.mounts import Mount
from rekindle.backup.orphans import Orphan
from rekindle.inventory import Volume


@dataclass(frozen=True, kw_only=True)
class BackupPlan:
    """A backup before it is made; nothing was changed to find it out."""

    environment: str
    release: str
    volumes: tuple[Volume, ...]
    mounts: tuple[Mount, ...]  # frozen for a moment; volumes without one are at rest
    barriers: tuple[str, ...]  # services asked for theirs
    recovery_region: str
    is_unprotected: bool  # the copies stay in the environment's own region
    to_finish: tuple[str, ...]  # restore points that an earlier backup left pending
    missing_artifacts: tuple[str, ...]  # of the release: while one is missing, no restore point is complete
    orphans: tuple[Orphan, ...]  # snapshots that no restore point names
