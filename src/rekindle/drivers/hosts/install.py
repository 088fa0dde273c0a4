"""`install:dcos`: DC/OS by the advanced installer; done once in a host's life (docs: installing/production).

`dcos_install.sh` is not idempotent. A host is without DC/OS, or has it, or is half-installed: the
last is said, never cleaned. An installer of an earlier run that still works is waited for.
"""

import shlex
from collections.abc import Sequence

from rekindle.drivers.hosts.kind import STAMPS, Change, Line, LongCommand, Wanted, named
from rekindle.errors import Refused
from rekindle.plan import State, Step
from rekindle.transport import PLACES

INSTALL_SECONDS = 3600
NAME = "install-dcos"  # of the transient unit
HALF = "half_installed"

# What the installer and pkgpanda leave behind, in the order in which they do.
FACTS = rf"""
fact_install() {{
  left= roles= version= url=
  holds() {{ for entry in "$1"/*; do if [ -e "$entry" ]; then left="$left$2 "; return; fi; done; }}
  holds /etc/mesosphere/roles roles
  holds /opt/mesosphere tree
  holds /opt/mesosphere/active active
  holds /etc/systemd/system/dcos.target.wants target
  for role in /etc/mesosphere/roles/*; do [ ! -e "$role" ] || roles="$roles${{role##*/}} "; done
  if [ "$left" != "roles tree active target " ] &&
    systemctl list-units --no-legend --plain 'rekindle-{NAME}-*' | grep -q ' running '; then left=running; fi
  [ ! -f /etc/mesosphere/setup-flags/repository-url ] || read -r url </etc/mesosphere/setup-flags/repository-url
  [ ! -f /opt/mesosphere/etc/dcos-version.json ] ||
    version=$(sed -n 's/.*"version": *"\([^"]*\)".*/\1/p' /opt/mesosphere/etc/dcos-version.json)
  printf 'install\t%s\t%s\t%s\t%s\t%s\n' "$1" "$left" "$roles" "$version" "$url"
}}
"""

RUN = """set -eu
{places}
mkdir -p {directory}
cd {directory}
fetch {url}/dcos_install.sh dcos_install.sh
exec bash dcos_install.sh {role}
"""


class InstallKind:
    """DC/OS on a host."""

    def facts(self, wanted: Wanted) -> str:
        return FACTS + "".join(f"fact_install {shlex.quote(name)}\n" for name in wanted)

    def state(self, name: str, wanted: State | None, fields: Line) -> State | None:
        left, roles, version, url = fields
        match left.split():
            case [] | ["running"]:
                return None
            case ["roles", "tree", "active", "target"]:
                seen = _as_precise_as(wanted, version.strip())
                return {"role": roles.strip(), "version": seen, "bootstrap_url": url.strip()}
            case found:
                return {HALF: " ".join(found)}

    def change(self, steps: Sequence[Step]) -> Change:
        step = steps[0]
        if step.before is not None or step.after is None:
            raise self._refusal(step)
        run = RUN.format(
            places=PLACES,
            directory=f"{STAMPS}/install",
            url=shlex.quote(step.after["bootstrap_url"]),
            role=shlex.quote(step.after["role"]),
        )
        return Change(afterwards=(LongCommand(name=NAME, run=run, timeout=INSTALL_SECONDS),))

    def _refusal(self, step: Step) -> Refused:
        before = step.before or {}
        if HALF in before:
            return Refused(
                f"DC/OS is half-installed (found: {before[HALF]})",
                where=step.target,
                next_step="Re-image the host: taint or replace its instance with Pulumi, then bootstrap again. "
                "`journalctl -u 'rekindle-install-*' -u dcos-setup` there says how far it came.",
            )
        return Refused(
            f"{named(step)} is installed as {_brief(before)}, wanted is {_brief(step.after or {})}",
            where=step.target,
            next_step="A host is installed once: re-image it for another role, upgrade DC/OS by its own procedure.",
        )


def _as_precise_as(wanted: State | None, version: str) -> str:
    """2.1.4 is the wanted 2.1."""
    asked = str((wanted or {}).get("version", ""))
    return asked if asked and version.startswith(f"{asked}.") else version


def _brief(state: State) -> str:
    return " ".join(f"{key}={value}" for key, value in sorted(state.items())) or "absent"
