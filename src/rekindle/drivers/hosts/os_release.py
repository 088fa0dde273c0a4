"""`os:debian-12`: the operating system that a host's role was rendered for."""

from collections.abc import Sequence

from rekindle.drivers.hosts.kind import Change, Line, Wanted, named
from rekindle.errors import Refused
from rekindle.plan import State, Step


class OsKind:
    """The operating system: read, never changed."""

    def facts(self, wanted: Wanted) -> str:
        asked = "".join(f"printf 'os\\t{name}\\t%s\\n' \"$ID-$VERSION_ID\"\n" for name in wanted)
        return f"( . /etc/os-release\n{asked})\n"

    def state(self, name: str, wanted: State | None, fields: Line) -> State | None:
        return {} if fields == (name,) else {"is": "".join(fields)}

    def change(self, steps: Sequence[Step]) -> Change:
        step = steps[0]
        raise Refused(
            f"runs {(step.before or {}).get('is', 'an unknown system')}, but its role is for {named(step)}",
            where=step.target,
            next_step="Set `os` of the environment to what the image holds, or use the image that the role is for.",
        )
