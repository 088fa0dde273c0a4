"""What an environment is, as its journal says."""

from datetime import UTC, datetime
from typing import Any

from rekindle import replay
from rekindle.journal.lock import Locks
from rekindle.operation import Operation


def of(operation: Operation) -> dict[str, Any]:
    """Release, lock, restore points, unfinished steps, supersession and the last replay, as JSON values."""
    folded, inventory = operation.journal.fold(), operation.inventory
    complete = [p for p in folded.restore_points.values() if p.status == "complete"]
    newest = complete[-1] if complete else None
    report, mark = replay.last(operation.journal), folded.mark_in_force
    return {
        "environment": operation.environment,
        "region": inventory.region,
        "standby": inventory.standby,
        "hosts": len(inventory.hosts),
        "release": folded.release,
        "lock": _lock(Locks(store=operation.store, environment=operation.environment, keyring=operation.keyring)),
        "journal": {"sequence": operation.journal.head.sequence, "head": operation.journal.head.digest},
        "restore_point": newest and {"id": newest.id, "age_seconds": _age(newest.ended or newest.started)},
        "restore_points": {"complete": len(complete), "all": len(folded.restore_points)},
        "unfinished_steps": sorted(f"{subject} on {target}" for target, subject in folded.in_flight),
        "failed_steps": sorted(f"{subject} on {target}" for target, subject in folded.failed),
        "superseded_by": mark and mark.environment,
        "unprotected": inventory.stores is not None and inventory.stores.region == inventory.region,
        "replayed": report.document() if report else None,
    }


def _lock(locks: Locks) -> dict[str, Any] | None:
    """Who holds it, for what, and until when unless it is renewed; None while it is free."""
    held = locks.newest()
    if held is None or held.released:
        return None
    return {
        "holder": held.holder.name,
        "process": held.holder.pid,
        "command": held.holder.reason,
        "since": held.acquired.isoformat(timespec="seconds"),
        "leased_until": held.until.isoformat(timespec="seconds"),
        "to_take_it": locks.id_of(held).words,
    }


def _age(moment: datetime) -> int:
    return int((datetime.now(UTC) - moment).total_seconds())
