"""`command:name`: runs while its guard fails, or once more when a file it watches has changed.

Its state is the command itself, so that plan and journal show what ran. A change of its text alone
runs nothing: the guard says what is true.
"""

from collections.abc import Sequence

from rekindle.drivers.hosts.kind import STAMPS, Change, Line, LongCommand, Wanted, named, stamp, words
from rekindle.plan import State, Step

FACTS = rf"""
fact_command() {{
  if sh -c "$2" >/dev/null 2>&1; then guard=holds; else guard=fails; fi
  printf 'command\t%s\t%s\t%s\n' "$1" "$guard" "$(cat "{STAMPS}/commands/$1" 2>/dev/null)"
}}
"""


class CommandKind:
    """Commands with a guard."""

    def facts(self, wanted: Wanted) -> str:
        guards = {name: state["guard"] if state else "false" for name, state in wanted.items()}
        return FACTS + "".join(words("fact_command", name, guard) for name, guard in guards.items())

    def state(self, name: str, wanted: State | None, fields: Line) -> State | None:
        guard, inputs = fields
        if guard not in ("holds", "fails"):
            raise ValueError("it is no guard")
        if wanted is None or guard == "fails":
            return None
        return {**wanted, "inputs": inputs} if "inputs" in wanted else wanted

    def change(self, steps: Sequence[Step]) -> Change:
        run = [(named(step), step.after) for step in steps if step.after is not None]
        short = "".join(_body(name, after) for name, after in run if not after["long"])
        long = tuple(
            LongCommand(name=name, run=f"set -eu\n{_body(name, after)}", timeout=after["timeout"])
            for name, after in run
            if after["long"]
        )
        return Change(script=short, afterwards=long)


def _body(name: str, after: State) -> str:
    """The command in a shell of its own, then its stamp: success and stamp are one."""
    noted = stamp("commands", name, after["inputs"]) if "inputs" in after else ""
    return words("sh", "-eu", "-c", after["run"]) + noted
