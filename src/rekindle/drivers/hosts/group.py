"""`group:name`: a group that exists."""

from collections.abc import Sequence

from rekindle.drivers.hosts.kind import Change, Line, Wanted, named, words
from rekindle.plan import State, Step

FACTS = r"""
fact_group() {
  if getent group "$1" >/dev/null; then printf 'group\t%s\tthere\n' "$1"; else printf 'group\t%s\n' "$1"; fi
}
"""


class GroupKind:
    """System groups."""

    def facts(self, wanted: Wanted) -> str:
        return FACTS + "".join(words("fact_group", name) for name in wanted)

    def state(self, name: str, wanted: State | None, fields: Line) -> State | None:
        if fields not in ((), ("there",)):
            raise ValueError("it is no group")
        return {} if fields else None

    def change(self, steps: Sequence[Step]) -> Change:
        made = [words("groupadd", "--system", named(step)) for step in steps if step.after is not None]
        gone = [words("groupdel", named(step)) for step in steps if step.after is None]
        return Change(script="".join((*made, *gone)))
