"""What a person sees: plans as readable diffs, errors as three sentences, answers as tables."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from rekindle.errors import RekindleError
from rekindle.plan import Action, Plan, State, Step

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
    console.print(summary(planned))


def summary(planned: Plan) -> str:
    """"3 to create, 1 to update", or that there is nothing to do."""
    counts = Counter(step.action for step in planned.steps)
    parts = [f"{counts[action]} to {action}" for action in MARKS if counts[action]]
    return ", ".join(parts) if parts else f"{planned.environment}: nothing to change."


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
