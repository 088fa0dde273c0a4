"""`os:debian-12`: the operating system that a host's role was rendered for."""

from collections.abc import Sequence

from rekindle.drivers.hosts.kind import Change, Line, Wanted, named, words
from rekindle.errors import Refused
from rekindle.plan import State, Step

FACTS = r"""
fact_os() ( # in a shell of its own, for the file sets names
  . /etc/os-release
  printf 'os\t%s\t%s\n' "$1" "$ID-$VERSION_ID"
)
"""


class OsKind:
    """The operating system: read, never changed."""

    def facts(self, wanted: Wanted) -> str:
        return FACTS + "".join(words("fact_os", name) for name in wanted)

    def state(self, name: str, wanted: State | None, fields: Line) -> State | None:
        (found,) = fields
        return {} if found == name else {"is": found}

    def change(self, steps: Sequence[Step]) -> Change:
        step = steps[0]
        raise Refused(
            f"runs {(step.before or {}).get('is', 'an unknown system')}, but its role is for {named(step)}",
            where=step.target,
            next_step="Set `os` of the environment to what the image holds, or use the image that the role is for.",
        )
