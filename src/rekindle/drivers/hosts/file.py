"""`file:/path`: content by digest, mode, owner and group; or a path where nothing is.

Its content is named by its SHA-256, so nothing secret goes here: `secret_file` is for that.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rekindle.drivers.hosts.kind import Change, Line, Wanted, named, octal, words
from rekindle.errors import InputError
from rekindle.plan import State, Step
from rekindle.transport import PutFile

SHA256 = "sha256:"
UNIT_FILES = ("/etc/systemd/system/", "/run/systemd/system/", "/usr/lib/systemd/system/", "/lib/systemd/system/")

FACTS = r"""
fact_files() {
  stat --printf 'file\t%n\t%F\t%a\t%U\t%G\n' -- "$@" 2>/dev/null
  for path; do # of what is no plain file nothing is read: a pipe would never end
    shift
    if [ -f "$path" ] && [ ! -L "$path" ]; then set -- "$@" "$path"; fi
  done
  [ $# -eq 0 ] || sha256sum -- "$@" 2>/dev/null |
    while read -r sum path; do printf 'content\t%s\t%s\n' "$path" "$sum"; done
}
"""


def content_digest(content: bytes) -> str:
    """How states name content."""
    return SHA256 + hashlib.sha256(content).hexdigest()


def file_state(digest: str, *, mode: str = "0644", owner: str = "root", group: str = "root") -> State:
    """The state of a file with that content."""
    return {"content": digest, "mode": mode, "owner": owner, "group": group}


@dataclass(frozen=True)
class FileKind:
    """Files; `contents` holds the bytes of those to be written, by the digest in their state."""

    contents: Mapping[str, bytes] = field(repr=False)

    def facts(self, wanted: Wanted) -> str:
        return FACTS + words("fact_files", *wanted)

    def state(self, name: str, wanted: State | None, fields: Line) -> State | None:
        match fields:
            case ("regular file" | "regular empty file", mode, owner, group, sha256):
                return file_state(SHA256 + sha256, mode=octal(mode), owner=owner, group=group)
            case (other, _, _, _) if not other.startswith("regular"):
                return {"is": other}
            case ():
                return None
            case _:
                raise ValueError("it is no file")

    def change(self, steps: Sequence[Step]) -> Change:
        gone = tuple(named(step) for step in steps if step.after is None)
        files = tuple(self._file(step, step.after) for step in steps if step.after is not None)
        changed = (*gone, *(file.path for file in files))
        reload = any(path.startswith(UNIT_FILES) for path in changed)
        return Change(files=files, gone=gone, script="systemctl daemon-reload\n" if reload else "")

    def _file(self, step: Step, after: State) -> PutFile:
        if after["content"] not in self.contents:
            raise InputError(
                f"the content of {named(step)} is not at hand",
                where=step.target,
                next_step="Plan again from the release that declares it.",
            )
        return PutFile(
            path=named(step),
            content=self.contents[after["content"]],
            mode=int(after["mode"], 8),
            owner=after["owner"],
            group=after["group"],
        )
