"""What a person sees: plans as readable diffs, errors as three sentences, answers as tables."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from rekindle.errors import RekindleError
from rekindle.journal.entries import RestorePoint
from rekindle.plan import Action, Plan, State, Step
from rekindle.replay import ReplayPlan, ReplayReport

MARKS = {Action.CREATE: ("+", "green"), Action.UPDATE: ("~", "yellow"), Action.DELETE: ("-", "red")}
SHOWN_LINES = 12  # of one step's differences; the plan file has all
SHOWN_WIDTH = 100


def plan(console: Console, planned: Plan) -> None:
    """One line for each step, grouped by target, and what differs beneath it."""
    target = None
    for step in planned.steps:
        if step.target != target:
            target = step.target
            console.print(f"[bold]{escape(target)}[/]")
        mark, style = MARKS[step.action]
        console.print(Text(f"  {mark} {step.subject}", style=style), soft_wrap=True)
        for line in _capped(list(_differences(step))):
            console.print(Text(f"      {line}", style="dim"), soft_wrap=True)
    sentence(console, summary(planned))


def summary(planned: Plan) -> str:
    """ "3 to create, 1 to update", or that there is nothing to do."""
    counts = Counter(step.action for step in planned.steps)
    parts = [f"{counts[action]} to {action}" for action in MARKS if counts[action]]
    return ", ".join(parts) if parts else f"{planned.environment}: nothing to change."


def sentence(console: Console, text: str) -> None:
    """One line, whatever names are in it."""
    console.print(Text(text), soft_wrap=True)


def error(console: Console, raised: RekindleError) -> None:
    """What, where, and what to do next."""
    where = f"{raised.where}: " if raised.where else ""
    console.print(Text("error: ", style="bold red"), Text(f"{where}{raised.what}"), sep="", soft_wrap=True)
    if raised.next_step:
        console.print(Text(raised.next_step), soft_wrap=True)


def _differences(step: Step) -> Iterator[str]:
    if step.action is Action.DELETE:
        return
    before, after = _flat(step.before or {}), _flat(step.after or {})
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) == after.get(key):
            continue
        if step.action is Action.CREATE:
            yield f"{key}: {_short(after[key])}"
        else:
            yield f"{key}: {_short(before.get(key))} → {_short(after.get(key))}"


def _flat(state: State, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys, so that a change of one setting is one line."""
    found: dict[str, Any] = {}
    for key, value in state.items():
        if isinstance(value, dict) and value:
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _short(value: Any) -> str:
    if value is None:
        return "absent"
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    text = " ".join(text.split())
    return text if len(text) <= SHOWN_WIDTH else f"{text[: SHOWN_WIDTH - 1]}…"


def _capped(lines: list[str]) -> list[str]:
    if len(lines) <= SHOWN_LINES:
        return lines
    return [*lines[: SHOWN_LINES - 1], f"… and {len(lines) - SHOWN_LINES + 1} more"]


def restore_point(console: Console, point: RestorePoint, *, as_json: bool) -> None:
    """What was saved, and what it is worth."""
    if as_json:
        console.print_json(point.model_dump_json())
        return
    names = ", ".join(volume.name for volume in point.volumes)
    sentence(console, f"{point.id}: {point.status}, {point.consistency}; {names}")


def replay_plan(console: Console, planned: ReplayPlan) -> None:
    """What will be done, what will be lost, what cannot be undone, and what forbids it."""
    console.print(f"[bold]Replay of {planned.environment} as {planned.recovery}[/], epoch {planned.epoch}")
    console.print(f"  release        {planned.release[:12] or 'none'}")
    console.print(f"  restore point  {planned.restore_point or 'none'}")
    if planned.restored_to:
        rpo = "" if planned.rpo_seconds is None else f" ({planned.rpo_seconds:.0f} s are lost)"
        console.print(f"  restored to    {planned.restored_to:%Y-%m-%d %H:%M:%S} UTC{rpo}")
    if planned.is_resumed:
        console.print("  it began before, and goes on")
    for number, phase in enumerate(planned.phases, 1):
        console.print(Text(f"  {number}. {phase.name}: {phase.what}"), soft_wrap=True)
    _lines(console, "Lost", planned.losses, "yellow")
    _lines(console, "Cannot be undone", planned.irreversible, "yellow")
    _lines(console, "To know", planned.notes, "")
    _lines(console, "Forbids it", [f"{p.name}: {p.what} {p.next_step}" for p in planned.problems], "red")


def replay_report(console: Console, report: ReplayReport) -> None:
    """How long it took, what was lost, and what people must do now."""
    console.print(f"[bold green]{report.recovery_environment} serves in place of {report.environment}[/]")
    for phase in report.phases:
        console.print(f"  {phase.seconds:7.1f} s  {phase.name}")
    console.print(f"  {report.replay_seconds:7.1f} s  from the start of replay to its end")
    if report.rpo_seconds is not None:
        console.print(f"  {report.rpo_seconds:7.1f} s  of writes before the disaster are not in the restore point")
    _lines(console, "Accepted losses", report.accepted_losses, "yellow")
    _lines(console, "Clients must renew", report.clients_renew, "")
    if report.is_unprotected:
        console.print(
            f"[yellow]{report.recovery_environment} is unprotected until its journal is in a third region.[/]"
        )
    console.print(Text(f"Its settings are in {report.folder}: keep them in your repository."), soft_wrap=True)


def status(console: Console, found: dict[str, Any], *, as_json: bool) -> None:
    """One line for each thing worth knowing."""
    if as_json:
        console.print_json(json.dumps(found))
        return
    for key, value in found.items():
        if value not in (None, [], False):
            console.print(Text(f"{key.replace('_', ' '):18} {_told(value)}"), soft_wrap=True)


def _told(value: Any) -> str:
    """A value on one line: of a mapping, what is short enough to read."""
    if isinstance(value, dict):
        return ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in value.items() if isinstance(v, str | int | float))
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _lines(console: Console, title: str, lines: Sequence[str], style: str) -> None:
    if lines:
        console.print(Text(f"{title}:", style=f"bold {style}".strip()))
    for line in lines:
        console.print(Text(f"  - {line}", style=style), soft_wrap=True)
