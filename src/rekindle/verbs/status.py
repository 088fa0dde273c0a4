"""What an environment is, as its journal says."""

from datetime import UTC, datetime
from typing import Any

from rekindle import replay
from rekindle.errors import RekindleError
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
        "switch": _switch(operation, report.environment) if report and not mark else None,
        "replayed": report.document() if report else None,
    }


def _switch(operation: Operation, lost: str) -> dict[str, Any] | None:
    """What holds the public names at an environment that has taken over, and whether it does."""
    environment, stores = operation.environment, operation.inventory.stores
    if stores is None:
        return None
    switch, kind = replay.switch_of(operation.clients, stores), stores.switch.kind
    try:
        is_turned = switch.is_turned_to(environment)
    except RekindleError as error:
        meaning = f"cannot be read: {switch.without_answer(environment)} ({error.located()})"
        return {"kind": kind, "is_turned": None, "meaning": meaning}
    leads = f"the names lead to {environment}" if is_turned else f"the names lead back to {lost}: turn it again"
    return {"kind": kind, "is_turned": is_turned, "meaning": leads}


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
