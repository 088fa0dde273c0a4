"""Carries a replay out, phase by phase; killed anywhere, the next run goes on after the last phase that ended."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeAlias

from pydantic import JsonValue

from rekindle.journal.entries import RestorePoint
from rekindle.progress import Progress
from rekindle.replay.ledger import Ledger
from rekindle.replay.planning import CLIENTS_RENEW, Phase, ReplayPlan
from rekindle.replay.report import ReplayReport, seconds_between
from rekindle.replay.situation import Begun, Choices

Action: TypeAlias = Callable[[], Mapping[str, JsonValue]]
"""Makes what a phase says true, and may be called again after it was killed; gives facts worth keeping."""


def carry_out(
    plan: ReplayPlan,
    choices: Choices,
    actions: Mapping[Phase, Action],
    ledger: Ledger,
    progress: Progress,
    *,
    restore_point: RestorePoint | None,
    started: datetime,
    folder: str,
    now: Callable[[], datetime],
) -> ReplayReport:
    """Does every phase that is not done, in order, and reports; Refused before anything if the plan has problems."""
    plan.require_possible()
    begun = _begin(plan, choices, ledger, started)
    for phase in Phase:
        if phase in ledger.done:
            progress.tell(f"{phase}: done before")
            continue
        with progress.phase(phase), ledger.phase(phase) as facts:
            facts.update(actions[phase]())
    report = _report(plan, begun, ledger, restore_point, folder, now())
    ledger.finish(report)
    return report


def _begin(plan: ReplayPlan, choices: Choices, ledger: Ledger, started: datetime) -> Begun:
    """What this replay began with: of the one that goes on, else of this one, now on record."""
    if plan.is_resumed and ledger.begun:
        return ledger.begun
    begun = Begun(
        epoch=plan.epoch,
        release=plan.release,
        restore_point=plan.restore_point,
        restores=plan.restores,
        started=started,
        failed_since=choices.failed_since,
        accepted=tuple(sorted(choices.accept_loss)),
    )
    ledger.begin(plan.environment, begun)
    return begun


def _report(
    plan: ReplayPlan,
    begun: Begun,
    ledger: Ledger,
    restore_point: RestorePoint | None,
    folder: str,
    ended: datetime,
) -> ReplayReport:
    answers = ledger.answers_since or ended
    known: dict[str, Any] = dict(restore_point.barrier) if restore_point else {}
    return ReplayReport(
        environment=plan.environment,
        recovery_environment=plan.recovery,
        epoch=begun.epoch,
        release=begun.release,
        restore_point=begun.restore_point,
        barrier_at=plan.restored_to.isoformat() if plan.restored_to else None,
        barrier=known,
        started=begun.started.isoformat(),
        ended=ended.isoformat(),
        replay_seconds=seconds_between(begun.started, ended) or 0.0,
        failed_since=begun.failed_since.isoformat() if begun.failed_since else None,
        answers_since=answers.isoformat(),
        rto_seconds=seconds_between(begun.failed_since, answers),
        rpo_seconds=seconds_between(plan.restored_to, begun.failed_since or begun.started),
        phases=tuple(ledger.done[phase] for phase in Phase),
        accepted_losses=begun.accepted,
        clients_renew=CLIENTS_RENEW,
        is_unprotected=True,
        folder=folder,
    )
