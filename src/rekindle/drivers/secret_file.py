"""Subject `secret_file:<path>` on a host: a secret that tasks read. State: keyed digest, mode, owner.

The value goes to the host in the stream of files and comes back only to be digested.
"""

import base64
import shlex
from collections.abc import Mapping, Sequence
from typing import Protocol

from rekindle.drivers.hosts.kind import octal
from rekindle.errors import CommandFailed, InputError
from rekindle.plan import State, Step
from rekindle.secrets import Keyring, Secret
from rekindle.transport import PutFile

READ = """\
for path in {paths}; do
  if [ -f "$path" ] && [ ! -L "$path" ]; then
    printf '%s %s %s\\n' "$(stat -c '%a %U' "$path")" "$(base64 -w0 "$path")" "$path"
  fi
done
"""


class Hosts(Protocol):
    """What of the transport this driver uses."""

    def facts(self, host: str, script: str) -> str: ...

    def put(self, host: str, files: Sequence[PutFile], *, gone: Sequence[str] = ()) -> object: ...


class SecretFileDriver:
    """Reads and writes secret files of one host at a time."""

    def __init__(self, hosts: Hosts, keyring: Keyring, values: Mapping[str, Secret]) -> None:
        self._hosts = hosts
        self._keyring = keyring
        self._values = values  # by path

    def read(self, target: str, subjects: Sequence[str]) -> Mapping[str, State | None]:
        paths = [_path(subject) for subject in subjects]
        printed = self._hosts.facts(target, READ.format(paths=shlex.join(paths)))
        found = dict(self._parsed(target, line) for line in printed.splitlines())
        return {subject: found.get(_path(subject)) for subject in subjects}

    def write(self, target: str, steps: Sequence[Step]) -> None:
        files = [self._file(_path(s.subject), s.after) for s in steps if s.after is not None]
        gone = [_path(s.subject) for s in steps if s.after is None]
        self._hosts.put(target, files, gone=gone)

    def _file(self, path: str, state: State) -> PutFile:
        if path not in self._values:
            raise InputError(
                f"the value of {path} is not at hand",
                where="packages",
                next_step="Plan again from the release that declares it.",
            )
        content = self._values[path].reveal().encode()
        return PutFile(path=path, content=content, mode=int(state["mode"], 8), owner=state["owner"])

    def _parsed(self, target: str, line: str) -> tuple[str, State]:
        try:
            mode, owner, encoded, path = line.split(" ", 3)
            secret = Secret(base64.b64decode(encoded, validate=True).decode())
            state = {"digest": self._keyring.digest(secret), "mode": octal(mode), "owner": owner}
        except ValueError:  # its text may hold the secret, so the error is raised alone
            raise CommandFailed(
                "its secret files could not be read",
                where=target,
                next_step="Log in and look: are its system tools (stat, base64) the usual ones?",
            ) from None
        return path, state


def _path(subject: str) -> str:
    return subject.partition(":")[2]
