"""`os_package:name`: installed by the system's own package manager (apt, dnf, yum), or absent."""

from collections.abc import Sequence

from rekindle.drivers.hosts.kind import Change, Line, Wanted, named, words
from rekindle.plan import State, Step

FACTS = r"""
fact_os_packages() {
  if command -v dpkg-query >/dev/null; then
    dpkg-query -W -f 'os_package\t${Package}\t${db:Status-Status}\n' "$@" 2>/dev/null
  elif command -v rpm >/dev/null; then
    rpm -q --qf 'os_package\t%{NAME}\tinstalled\n' "$@" 2>/dev/null | grep '^os_package' | sort -u
  fi
  true
}
"""

INSTALL = r"""
install_os_packages() {
  if command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get -q -y -o DPkg::Lock::Timeout=120 --no-install-recommends install "$@" || {
      apt-get -q update
      apt-get -q -y -o DPkg::Lock::Timeout=120 --no-install-recommends install "$@"
    }
  elif command -v dnf >/dev/null; then dnf -q -y install "$@"
  elif command -v yum >/dev/null; then yum -q -y install "$@"
  else echo "no package manager here can install $*" >&2; exit 1; fi
}
remove_os_packages() {
  if command -v apt-get >/dev/null; then DEBIAN_FRONTEND=noninteractive apt-get -q -y remove "$@"
  elif command -v dnf >/dev/null; then dnf -q -y remove "$@"
  else yum -q -y remove "$@"; fi
}
"""


class OsPackageKind:
    """Packages of the operating system."""

    def facts(self, wanted: Wanted) -> str:
        return FACTS + words("fact_os_packages", *wanted)

    def state(self, name: str, wanted: State | None, fields: Line) -> State | None:
        if len(fields) > 1:
            raise ValueError("it is no package")
        return {"installed": True} if fields == ("installed",) else None

    def change(self, steps: Sequence[Step]) -> Change:
        made = [named(step) for step in steps if step.after is not None]
        gone = [named(step) for step in steps if step.after is None]
        script = INSTALL
        script += words("install_os_packages", *made) if made else ""
        script += words("remove_os_packages", *gone) if gone else ""
        return Change(script=script)
