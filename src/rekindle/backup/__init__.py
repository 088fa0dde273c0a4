"""Restore points: barrier, freeze, snapshots, thaw, copies; complete only when all of it is on the recovery side."""

from rekindle.backup.barriers import Ask, Barrier, Group, groups_of
from rekindle.backup.hosts import Hosts
from rekindle.backup.mounts import Mount
from rekindle.backup.orphans import Orphan, orphans_of
from rekindle.backup.planning import BackupPlan
from rekindle.backup.take import Backup, plan, run

__all__ = [
    "Ask",
    "Backup",
    "BackupPlan",
    "Barrier",
    "Group",
    "Hosts",
    "Mount",
    "Orphan",
    "groups_of",
    "orphans_of",
    "plan",
    "run",
]
