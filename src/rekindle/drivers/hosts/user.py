"""`user:name`: a system account with its home, shell and further groups."""

from collections.abc import Sequence

from rekindle.drivers.hosts.kind import Change, Line, Wanted, named, words
from rekindle.plan import State, Step

FACTS = r"""
fact_user() {
  if entry=$(getent passwd "$1"); then
    own=$(id -gn "$1")
    printf 'user\t%s\t%s\t%s\n' "$1" "$(printf %s "$entry" | cut -d: -f6,7 | tr : '\t')" \
      "$(id -nG "$1" | tr ' ' '\n' | grep -vxF "$own" | tr '\n' ' ')"
  else printf 'user\t%s\n' "$1"; fi
}
"""


class UserKind:
    """System accounts; one that is to be absent loses its account, never its files."""

    def facts(self, wanted: Wanted) -> str:
        return FACTS + "".join(words("fact_user", name) for name in wanted)

    def state(self, name: str, wanted: State | None, fields: Line) -> State | None:
        if not fields:
            return None
        home, shell, groups = fields
        return {"home": home, "shell": shell, "groups": sorted(groups.split())}

    def change(self, steps: Sequence[Step]) -> Change:
        return Change(script="".join(self._script(step) for step in steps))

    def _script(self, step: Step) -> str:
        if step.after is None:
            return words("userdel", named(step))
        how = ["useradd", "--system"] if step.before is None else ["usermod"]
        after = step.after
        return words(
            *how, "--home-dir" if step.before is None else "--home", after["home"], "--shell", after["shell"],
            "--groups", ",".join(after["groups"]), named(step),
        )  # fmt: skip
