"""`sysctl:name`: a kernel setting as it is now, and as it will be after a boot."""

import shlex
from collections.abc import Sequence

from rekindle.drivers.hosts.kind import Change, Line, Wanted, named, words
from rekindle.plan import State, Step

FACTS = r"""
fact_sysctl() { # name, path, file that sets it at boot
  live=$(tr -s '\t\n ' ' ' 2>/dev/null <"$2" || true) boot=
  [ ! -f "$3" ] || read -r boot <"$3"
  printf 'sysctl\t%s\t%s\t%s\n' "$1" "${live% }" "${boot#*= }"
}
"""


class SysctlKind:
    """Kernel settings, each in a file of its own under /etc/sysctl.d."""

    def facts(self, wanted: Wanted) -> str:
        return FACTS + "".join(words("fact_sysctl", name, _live(name), _boot(name)) for name in wanted)

    def state(self, name: str, wanted: State | None, fields: Line) -> State | None:
        live, boot = fields
        if wanted is None and not boot:
            return None
        return {"live": live, "boot": boot}

    def change(self, steps: Sequence[Step]) -> Change:
        return Change(script="".join(self._script(named(step), step.after) for step in steps))

    def _script(self, name: str, after: State | None) -> str:
        path = _boot(name)
        if after is None:
            return words("rm", "-f", "--", path)
        setting = words("printf", "%s = %s\\n", name, after["boot"]).rstrip()
        return f"mkdir -p /etc/sysctl.d\n{setting} >{shlex.quote(path)}\n" + words(
            "sysctl", "-q", "-w", f"{name}={after['live']}"
        )


def _live(name: str) -> str:
    return "/proc/sys/" + name.replace(".", "/")


def _boot(name: str) -> str:
    return f"/etc/sysctl.d/90-rekindle-{name}.conf"
