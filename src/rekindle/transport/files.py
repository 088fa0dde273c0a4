"""Many files in one stream: kept in memory, made aside, owned and moded, then renamed into place."""

import io
import re
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field

from rekindle.errors import InputError
from rekindle.transport.shell import PLACES, aside_of, line

LOCK = "/run/rekindle.lock"  # one writer on a host at a time, even one whose connection dropped
LOCK_SECONDS = 120
STREAMS = "/run/rekindle"  # memory, and root's alone: a stream holds secrets
STAGED = "/var/lib/rekindle/staged"  # which folders aside there are, for whoever comes after a killed run

PATH = re.compile(r"(/(?!\.{1,2}(/|\Z))[A-Za-z0-9@%+=:,._~ '-]{1,255})+")
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}")  # of a user or group, or its number

# The script's output goes to a file, so that a dropped connection ends no command by SIGPIPE.
RECEIVE = f"""
umask 077
staging={STREAMS}/$$
mkdir -p {STREAMS} && rm -rf "$staging" && mkdir "$staging" || exit 1
trap 'rm -rf "$staging"' EXIT
trap 'exit 1' HUP INT TERM
tar -x -f - -C "$staging" || exit 1
cd "$staging" || exit 1
flock -o -w {LOCK_SECONDS} {LOCK} sh ./run >log 2>&1 || {{ code=$?; tail -n 60 log >&2; exit $code; }}
tail -n 60 log
"""

# Under the lock no other run is at work: each sweeps at its end, also what a killed one before it left.
STAGE = rf"""
sweep() {{
  for other in {STREAMS}/*; do [ -d "/proc/${{other##*/}}" ] || rm -rf "$other"; done
  [ -f {STAGED} ] || return 0
  while read -r name folder; do discard "$folder" "$name" || true; done <{STAGED}
  rm -f {STAGED}
}}
stage() ( # source, mode, owner:group, path, name of its folder aside
  printf '%s %s\n' "$5" "${{4%/*}}" >>{STAGED}
  aside "${{4%/*}}" "$5"
  cp "$staging/$1" new
  chown "$3" new
  chmod "$2" new
)
place() ( # path, name of its folder aside
  enter "${{1%/*}}" false
  into "$2"
  appear "$1"
)
mkdir -p {STAGED.rpartition("/")[0]}
staging=$(pwd -P)
trap sweep EXIT
trap 'exit 1' HUP INT TERM
"""


@dataclass(frozen=True, kw_only=True)
class PutFile:
    """A file as it should be on a host; InputError for a path or owner that is none."""

    path: str
    content: bytes = field(repr=False)
    mode: int = 0o644
    owner: str = "root"
    group: str = "root"

    def __post_init__(self) -> None:
        require_path(self.path)
        for name in (self.owner, self.group):
            if not NAME.fullmatch(name):
                raise InputError(f"{name!r} is no name of a user or group", where=self.path, next_step=CORRECT)


CORRECT = "Correct it where it is declared."


def require_path(path: str) -> None:
    """Returns if this is an absolute path without `.` and `..`, of characters that are safe everywhere."""
    if not PATH.fullmatch(path):
        raise InputError(
            f"{path!r} is no path for a file of a host: it must be absolute, without `.` and `..`, "
            "of letters, digits, spaces and @%+=:,._~'-",
            next_step=CORRECT,
        )


def stream(files: Sequence[PutFile], *, gone: Sequence[str] = (), before: str = "", after: str = "") -> bytes:
    """A tar of the files and of the script `run`: before, stage all, place all, remove, after; a failure stops it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for index, file in enumerate(files):
            _add(archive, f"file-{index}", file.content)
        _add(archive, "run", script(files, gone=gone, before=before, after=after).encode())
    return buffer.getvalue()


def script(files: Sequence[PutFile], *, gone: Sequence[str] = (), before: str = "", after: str = "") -> str:
    """What is run on the host once the stream is whole."""
    for path in gone:
        require_path(path)
    staged = [_stage(index, file) for index, file in enumerate(files)]
    placed = [line("place", file.path, aside_of(file.path)) for file in files]
    removed = [line("remove_file", path) for path in gone]
    head = f"set -eu\numask 022\n{PLACES}{STAGE}"
    return "".join([head, before, "\n", *staged, *placed, *removed, after, "\n"])


def _stage(index: int, file: PutFile) -> str:
    owner = f"{file.owner}:{file.group}"
    return line("stage", f"file-{index}", f"{file.mode:04o}", owner, file.path, aside_of(file.path))


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    member.mode = 0o600
    archive.addfile(member, io.BytesIO(content))
