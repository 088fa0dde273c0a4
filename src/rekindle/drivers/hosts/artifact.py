"""`artifact:/path`: a file fetched by URL, known by its SHA-256; it appears whole or not at all.

Its digest is computed once and kept beside inode, size and times: an installer is gigabytes.
"""

import re
from collections.abc import Sequence

from rekindle.drivers.hosts.kind import STAMPS, Change, Line, LongCommand, Wanted, named, octal, words
from rekindle.plan import State, Step
from rekindle.transport import PLACES, aside_of, require_path

FETCH_SECONDS = 3600

FACTS = rf"""
fact_artifact() {{
  if [ ! -f "$1" ] || [ -L "$1" ]; then printf 'artifact\t%s\n' "$1"; return; fi
  mark=$(stat -c '%i,%s,%y,%z' "$1" | tr ' ' ,)
  kept="{STAMPS}/artifacts/$(printf %s "$1" | sha256sum | cut -c1-16)"
  if [ "$(cut -d' ' -f1 "$kept" 2>/dev/null)" != "$mark" ]; then
    mkdir -p "{STAMPS}/artifacts"
    printf '%s %s\n' "$mark" "$(sha256sum <"$1" | cut -c1-64)" >"$kept"
  fi
  printf 'artifact\t%s\t%s\t%s\n' "$1" "$(cut -d' ' -f2 "$kept")" "$(stat -c %a "$1")"
}}
"""

FETCH = r"""
artifact() { # path, its folder, name of the folder aside, URL, digest, mode
  unfinished_in=$2 unfinished=$3
  trap 'cd / && discard "$unfinished_in" "$unfinished"' EXIT
  aside "$2" "$3"
  fetch "$4" new
  sum=$(sha256sum <new | cut -c1-64)
  if [ "$sum" != "$5" ]; then
    echo "$4 has the digest $sum, not $5" >&2
    exit 1
  fi
  chmod "$6" new
  appear "$1"
}
"""


class ArtifactKind:
    """Fetched files."""

    def facts(self, wanted: Wanted) -> str:
        return FACTS + "".join(words("fact_artifact", path) for path in wanted)

    def state(self, name: str, wanted: State | None, fields: Line) -> State | None:
        if not fields:
            return None
        sha256, mode = fields
        if not re.fullmatch("[0-9a-f]{64}", sha256):
            raise ValueError("it is no digest")
        url = (wanted or {}).get("url", "")  # where it came from is not to be seen; its digest says all
        return {"url": url, "sha256": sha256, "mode": octal(mode)}

    def change(self, steps: Sequence[Step]) -> Change:
        gone = tuple(named(step) for step in steps if step.after is None)
        fetches = tuple(self._fetch(named(step), step.after) for step in steps if step.after is not None)
        return Change(gone=gone, afterwards=fetches)

    def _fetch(self, path: str, after: State) -> LongCommand:
        require_path(path)
        folder, _, name = path.rpartition("/")
        call = words("artifact", path, folder, aside_of(path), after["url"], after["sha256"], after["mode"])
        return LongCommand(
            name=f"fetch-{name}", run=f"set -eu\numask 022\n{PLACES}{FETCH}{call}", timeout=FETCH_SECONDS
        )
