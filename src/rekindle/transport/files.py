"""Many files in one stream: unpacked aside, owned and moded, then renamed into place."""

import io
import shlex
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field

LOCK = "/run/rekindle.lock"  # one writer on a host at a time, even one whose connection dropped
LOCK_SECONDS = 120

# The script's output goes to a file, so that a dropped connection ends no command by SIGPIPE.
RECEIVE = f"""
umask 077
staging=$(mktemp -d /var/tmp/rekindle.XXXXXXXX)
trap 'rm -rf "$staging"' EXIT
tar -x -f - -C "$staging" || exit 1
cd "$staging"
flock -o -w {LOCK_SECONDS} {LOCK} sh ./run >log 2>&1 || {{ code=$?; tail -n 60 log >&2; exit $code; }}
tail -n 60 log
"""

PLACE = """
stage() { # source, mode, owner:group, path
  mkdir -p -m 0755 "$(dirname "$4")"
  staged="$(dirname "$4")/.$(basename "$4").rekindle"
  rm -rf "$staged"
  cp "$1" "$staged"
  chown "$3" "$staged"
  chmod "$2" "$staged"
}
place() { # path
  mv -fT "$(dirname "$1")/.$(basename "$1").rekindle" "$1"
  if command -v restorecon >/dev/null; then restorecon "$1" || true; fi
}
"""


@dataclass(frozen=True, kw_only=True)
class PutFile:
    """A file as it should be on a host."""

    path: str
    content: bytes = field(repr=False)
    mode: int = 0o644
    owner: str = "root"
    group: str = "root"


def stream(files: Sequence[PutFile], *, before: str = "", after: str = "") -> bytes:
    """A tar of the files and of the script `run`: before, stage all, rename all, after; it stops at a failure."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for index, file in enumerate(files):
            _add(archive, f"file-{index}", file.content)
        _add(archive, "run", _script(files, before, after).encode())
    return buffer.getvalue()


def _script(files: Sequence[PutFile], before: str, after: str) -> str:
    staged = [
        shlex.join(["stage", f"file-{index}", f"{file.mode:04o}", f"{file.owner}:{file.group}", file.path])
        for index, file in enumerate(files)
    ]
    placed = [shlex.join(["place", file.path]) for file in files]
    return "\n".join(["set -eu", "umask 022", before, PLACE, *staged, *placed, after, ""])


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    member.mode = 0o600
    archive.addfile(member, io.BytesIO(content))
