"""Hosts that keep files in memory and answer curl."""

import base64
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from rekindle.errors import CommandFailed, Unreachable
from rekindle.transport import PutFile, Result


@dataclass
class FakeHosts:
    """Files by host and path; answers by URL; some hosts answer nothing."""

    files: dict[str, dict[str, PutFile]] = field(default_factory=lambda: defaultdict(dict))
    answers: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)  # bodies of answers whose status says failure, by URL
    dead: set[str] = field(default_factory=set)

    def facts(self, host: str, script: str) -> str:
        """What the driver's script prints, for the paths that it asks for."""
        lines = [
            f"{file.mode:o} {file.owner} {base64.b64encode(file.content).decode()} {path}\n"
            for path, file in self.files[host].items()
            if path in script
        ]
        return "".join(lines)

    def put(self, host: str, files: Sequence[PutFile], *, gone: Sequence[str] = ()) -> object:
        self.files[host].update({file.path: file for file in files})
        for path in gone:
            self.files[host].pop(path, None)
        return None

    def run(self, host: str, command: str | Sequence[str], *, as_root: bool = True) -> Result:
        if host in self.dead:
            raise Unreachable("no route to host", where=host)
        url = command[-1]
        if url in self.errors and "f" not in command[1].lstrip("-"):  # curl prints an error's body unless told to fail
            return Result(host=host, command=" ".join(command), exit_code=0, stdout=self.errors[url], stderr="")
        if url in self.errors:
            raise CommandFailed("curl: (22) The requested URL returned error: 503", where=host)
        if url not in self.answers:
            raise CommandFailed("curl: (7) refused", where=host)
        return Result(host=host, command=" ".join(command), exit_code=0, stdout=self.answers[url], stderr="")
