"""`gate:name`: a condition on a host that others wait for; writing it is waiting for it."""

from collections.abc import Sequence

from rekindle.drivers.hosts.kind import Change, Line, Wanted, words
from rekindle.plan import State, Step

FACTS = r"""
fact_gate() {
  if sh -c "$2" >/dev/null 2>&1; then printf 'gate\t%s\tholds\n' "$1"; else printf 'gate\t%s\n' "$1"; fi
}
"""


class GateKind:
    """Conditions: the state of one that holds is what was declared, of one that does not, None."""

    def facts(self, wanted: Wanted) -> str:
        checks = {name: state["check"] if state else "false" for name, state in wanted.items()}
        return FACTS + "".join(words("fact_gate", name, check) for name, check in checks.items())

    def state(self, name: str, wanted: State | None, fields: Line) -> State | None:
        if fields not in ((), ("holds",)):
            raise ValueError("it is no gate")
        return wanted if fields else None

    def change(self, steps: Sequence[Step]) -> Change:
        return Change()  # the driver waits
