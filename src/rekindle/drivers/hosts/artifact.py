"""`artifact:/path`: a file fetched by URL, known by its SHA-256; it appears whole or not at all.

Its digest is computed once and kept beside inode, size and times: an installer is gigabytes.
"""

import shlex
from collections.abc import Sequence

from rekindle.drivers.hosts.kind import STAMPS, Change, Line, LongCommand, Wanted, named, words
from rekindle.plan import State, Step

FETCH_SECONDS = 3600

FACTS = rf"""
fact_artifact() {{
  if [ ! -f "$1" ]; then printf 'artifact\t%s\n' "$1"; return; fi
  mark=$(stat -c '%i,%s,%y,%z' "$1" | tr ' ' ,)
  kept="{STAMPS}/artifacts/$(printf %s "$1" | sha256sum | cut -c1-16)"
  if [ "$(cut -d' ' -f1 "$kept" 2>/dev/null)" != "$mark" ]; then
    mkdir -p "{STAMPS}/artifacts"
    printf '%s %s\n' "$mark" "$(sha256sum <"$1" | cut -c1-64)" >"$kept"
  fi
  printf 'artifact\t%s\t%s\t%s\n' "$1" "$(cut -d' ' -f2 "$kept")" "$(stat -c %a "$1")"
}}
"""

FETCH = """set -eu
mkdir -p "$(dirname {path})"
curl -fsSL --retry 3 --retry-connrefused --connect-timeout 10 -o {path}.part {url}
sum=$(sha256sum <{path}.part | cut -c1-64)
if [ "$sum" != {sha256} ]; then
  rm -f {path}.part
  echo {url} has the digest "$sum", not {sha256} >&2
  exit 1
fi
chmod {mode} {path}.part
mv -fT {path}.part {path}
"""


class ArtifactKind:
    """Fetched files."""

    def facts(self, wanted: Wanted) -> str:
        return FACTS + "".join(words("fact_artifact", path) for path in wanted)

    def state(self, name: str, wanted: State | None, fields: Line) -> State | None:
        if len(fields) != 2:
            return None
        sha256, mode = fields
        url = (wanted or {}).get("url", "")  # where it came from is not to be seen; its digest says all
        return {"url": url, "sha256": sha256, "mode": f"{int(mode, 8):04o}"}

    def change(self, steps: Sequence[Step]) -> Change:
        gone = "".join(words("rm", "-f", named(step)) for step in steps if step.after is None)
        fetches = [self._fetch(named(step), step.after) for step in steps if step.after is not None]
        return Change(script=gone, afterwards=tuple(fetches))

    def _fetch(self, path: str, after: State) -> LongCommand:
        quoted = {key: shlex.quote(after[key]) for key in ("url", "sha256", "mode")}
        return LongCommand(
            name=f"fetch-{path.rpartition('/')[2]}",
            run=FETCH.format(path=shlex.quote(path), **quoted),
            timeout=FETCH_SECONDS,
        )
