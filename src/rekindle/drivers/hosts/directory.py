"""`directory:/path`: mode, owner and group."""

from collections.abc import Sequence

from rekindle.drivers.hosts.kind import Change, Line, Wanted, named, octal, words
from rekindle.plan import State, Step

FACTS = r"""
fact_directories() { stat -L --printf 'directory\t%n\t%F\t%a\t%U\t%G\n' -- "$@" 2>/dev/null; }
"""


class DirectoryKind:
    """Directories; one that is to be absent is removed only when it is empty."""

    def facts(self, wanted: Wanted) -> str:
        return FACTS + words("fact_directories", *wanted)

    def state(self, name: str, wanted: State | None, fields: Line) -> State | None:
        if not fields:
            return None
        what, mode, owner, group = fields
        return {"mode": octal(mode), "owner": owner, "group": group} if what == "directory" else None

    def change(self, steps: Sequence[Step]) -> Change:
        return Change(script="".join(self._script(named(step), step.after) for step in steps))

    def _script(self, path: str, after: State | None) -> str:
        if after is None:
            return words("remove_folder", path)
        return words("make_folder", after["mode"], f"{after['owner']}:{after['group']}", path)
