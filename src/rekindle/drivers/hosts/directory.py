"""`directory:/path`: mode, owner and group."""

from collections.abc import Sequence

from rekindle.drivers.hosts.kind import Change, Line, Wanted, named, words
from rekindle.plan import State, Step

FACTS = r"""
fact_directories() { stat -L --printf 'directory\t%n\t%F\t%a\t%U\t%G\n' -- "$@" 2>/dev/null; }
"""


class DirectoryKind:
    """Directories; one that is to be absent is removed only when it is empty."""

    def facts(self, wanted: Wanted) -> str:
        return FACTS + words("fact_directories", *wanted)

    def state(self, name: str, wanted: State | None, fields: Line) -> State | None:
        if fields[:1] != ("directory",):
            return None
        _, mode, owner, group = fields
        return {"mode": f"{int(mode, 8):04o}", "owner": owner, "group": group}

    def change(self, steps: Sequence[Step]) -> Change:
        return Change(script="".join(self._script(named(step), step.after) for step in steps))

    def _script(self, path: str, after: State | None) -> str:
        if after is None:
            return words("rmdir", path)
        return words("install", "-d", "-m", after["mode"], "-o", after["owner"], "-g", after["group"], path)
