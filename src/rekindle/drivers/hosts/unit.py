"""`unit:name`: a systemd unit, enabled and running with its present configuration; or off.

A unit that watches files has `inputs`, the digest of those files; a stamp on the host says with
which inputs it was last started.
"""

from collections.abc import Sequence

from rekindle.drivers.hosts.kind import STAMPS, Change, Line, Wanted, named, stamp, words
from rekindle.plan import State, Step

FACTS = rf"""
fact_units() {{ # one call for all; systemctl answers in the order in which it was asked
  systemctl show -p UnitFileState -p ActiveState -- "$@" | awk -v names="$*" '
    BEGIN {{ RS = ""; FS = "\n"; split(names, name, " ") }}
    {{
      enabled = active = stamp = ""
      for (i = 1; i <= NF; i++) {{
        if ($i ~ /^UnitFileState=/) enabled = substr($i, 15)
        if ($i ~ /^ActiveState=/) active = substr($i, 13)
      }}
      getline stamp < ("{STAMPS}/units/" name[NR])
      printf "unit\t%s\t%s\t%s\t%s\n", name[NR], enabled, active, stamp
    }}'
}}
"""

ENABLED = frozenset({"enabled", "enabled-runtime"})
NEEDS_NO_ENABLING = frozenset({"static", "alias", "indirect", "generated", "linked"})

ENABLE = f"""
enable_unit() {{
  case $(systemctl is-enabled -- "$1" 2>/dev/null || true) in
    {"|".join(sorted(NEEDS_NO_ENABLING))}) ;;
    *) systemctl enable -- "$1" ;;
  esac
}}
"""


class UnitKind:
    """Units of systemd; None says off: neither enabled nor running, or not there at all."""

    def facts(self, wanted: Wanted) -> str:
        return FACTS + words("fact_units", *wanted)

    def state(self, name: str, wanted: State | None, fields: Line) -> State | None:
        enabled, active, inputs = fields
        is_active = active in ("active", "activating", "reloading")
        if not is_active and enabled not in ENABLED:
            return None
        state = {"enabled": enabled in ENABLED | NEEDS_NO_ENABLING, "active": active == "active"}
        return {**state, "inputs": inputs} if "inputs" in (wanted or {}) else state

    def change(self, steps: Sequence[Step]) -> Change:
        return Change(script=ENABLE + "".join(self._script(named(step), step.after) for step in steps))

    def _script(self, name: str, after: State | None) -> str:
        if after is None:
            return words("systemctl", "disable", "--now", "--", name)
        restart = words("enable_unit", name) + words("systemctl", "restart", "--", name)
        return restart + (stamp("units", name, after["inputs"]) if "inputs" in after else "")
