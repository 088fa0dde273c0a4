"""Restore points: barrier, freeze, snapshots, thaw, copies; complete only when all of it is on the recovery side."""

from rekindle.backup.barriers import Ask, Barrier, Group, groups_of
from rekindle.backup.mounts import Hosts, Mount
from rekindle.backup.planning import BackupPlan
from rekindle.backup.take import Backup, plan, run

__all__ = ["Ask", "Backup", "BackupPlan", "Barrier", "Group", "Hosts", "Mount", "groups_of", "plan", "run"]
