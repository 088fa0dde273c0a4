"""The driver of hosts: facts of all subjects in one round trip, all changes in one stream."""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from rekindle.drivers.hosts.artifact import ArtifactKind
from rekindle.drivers.hosts.command import CommandKind
from rekindle.drivers.hosts.directory import DirectoryKind
from rekindle.drivers.hosts.file import FileKind
from rekindle.drivers.hosts.gate import GateKind
from rekindle.drivers.hosts.group import GroupKind
from rekindle.drivers.hosts.install import InstallKind
from rekindle.drivers.hosts.kind import Change, Kind, Line, LongCommand, Report, named
from rekindle.drivers.hosts.os_package import OsPackageKind
from rekindle.drivers.hosts.os_release import OsKind
from rekindle.drivers.hosts.sysctl import SysctlKind
from rekindle.drivers.hosts.unit import UnitKind
from rekindle.drivers.hosts.user import UserKind
from rekindle.errors import CommandFailed, GateFailed
from rekindle.plan import Declared, Key, State, Step
from rekindle.transport import Transport

BEFORE_FILES = ("os", "group", "user", "os_package", "directory")
AFTER_FILES = ("sysctl", "unit", "artifact", "command", "install", "gate")
KINDS = (*BEFORE_FILES, "file", *AFTER_FILES)
"""In the order in which they are written."""

GATE_POLL_SECONDS = 1.0


class HostDriver:
    """Reads and writes the subjects of hosts, of all KINDS.

    `declared` gives what a subject's name does not: the guard of a command, the check of a gate.
    `contents` gives the bytes that states name by digest.
    """

    def __init__(
        self,
        transport: Transport,
        declared: Iterable[Declared],
        contents: Mapping[str, bytes],
        report: Report = lambda line: None,
    ) -> None:
        self._transport = transport
        self._wanted: dict[Key, State | None] = {d.key: d.state for d in declared}
        self._report = report
        self._kinds: dict[str, Kind] = {
            "os": OsKind(),
            "group": GroupKind(),
            "user": UserKind(),
            "os_package": OsPackageKind(),
            "directory": DirectoryKind(),
            "file": FileKind(contents),
            "sysctl": SysctlKind(),
            "unit": UnitKind(),
            "artifact": ArtifactKind(),
            "command": CommandKind(),
            "install": InstallKind(),
            "gate": GateKind(),
        }

    def read(self, target: str, subjects: Sequence[str]) -> Mapping[str, State | None]:
        """The state of each subject, in one round trip; CommandFailed if the host's answer is not whole."""
        asked = self._by_kind(target, subjects)
        found = _parsed(target, asked, self._transport.facts(target, self._script(asked)))
        return {
            f"{kind}:{name}": self._state(target, kind, name, wanted, found.get((kind, name), ()))
            for kind, names in asked.items()
            for name, wanted in names.items()
        }

    def write(self, target: str, steps: Sequence[Step]) -> None:
        """Makes `after` true: one stream for what is short, then what is long, then gates."""
        changes = {kind: self._kinds[kind].change(of_kind) for kind, of_kind in _in_order(steps)}
        files = [file for change in changes.values() for file in change.files]
        gone = [path for change in changes.values() for path in change.gone]
        before = _joined(target, changes, BEFORE_FILES)
        after = _joined(target, changes, ("file", *AFTER_FILES))
        if files or gone or before or after:
            self._transport.put(target, files, gone=gone, before=before, after=after)
        for change in changes.values():
            for command in change.afterwards:
                self._run_long(target, command)
        for step in steps:
            if step.kind == "gate" and step.after is not None:
                self._wait(target, named(step), step.after)

    def _script(self, asked: Mapping[str, Mapping[str, State | None]]) -> str:
        """All facts as one function, so that nothing in it reads the script itself as its input."""
        facts = "".join(self._kinds[kind].facts(names) for kind, names in asked.items())
        return f"export LC_ALL=C\nfacts() {{\n{facts}true\n}}\nfacts </dev/null\n"

    def _state(self, target: str, kind: str, name: str, wanted: State | None, fields: Line) -> State | None:
        try:
            return self._kinds[kind].state(name, wanted, fields)
        except ValueError as error:
            raise _odd(target, kind) from error

    def _by_kind(self, target: str, subjects: Sequence[str]) -> dict[str, dict[str, State | None]]:
        asked: dict[str, dict[str, State | None]] = defaultdict(dict)
        for subject in subjects:
            kind, _, name = subject.partition(":")
            asked[kind][name] = self._wanted.get((target, subject))
        return asked

    def _run_long(self, target: str, command: LongCommand) -> None:
        result = self._transport.long_run(target, command.name, command.run, command.timeout, self._report)
        result.check()

    def _wait(self, target: str, name: str, gate: State) -> None:
        """Returns when the gate's check holds; GateFailed says what it said last."""
        deadline = time.monotonic() + gate["timeout"]
        while (result := self._transport.run(target, gate["check"], check=False)).exit_code:
            said = (result.stdout + result.stderr).strip().splitlines()
            self._report(f"{target}: waiting for {name}{f': {said[-1]}' if said else ''}")
            if time.monotonic() > deadline:
                raise GateFailed(
                    f"{name} did not come true within {gate['timeout']:g} s{f': {said[-1]}' if said else ''}",
                    where=target,
                    next_step="Look at the host's journal; then run the same again: it waits on.",
                )
            time.sleep(GATE_POLL_SECONDS)


def _in_order(steps: Sequence[Step]) -> list[tuple[str, list[Step]]]:
    return [(kind, of_kind) for kind in KINDS if (of_kind := [s for s in steps if s.kind == kind])]


def _joined(target: str, changes: Mapping[str, Change], kinds: Iterable[str]) -> str:
    """Scripts of these kinds, each saying its name first so that a failure's output shows where it was."""
    return "".join(
        f"echo 'rekindle: {kind}'\n{changes[kind].script}" for kind in kinds if kind in changes and changes[kind].script
    )


def _parsed(target: str, asked: Mapping[str, Mapping[str, State | None]], text: str) -> dict[tuple[str, str], Line]:
    """The fields of each line; a file's end with its digest, which comes on a line of its own."""
    found: dict[tuple[str, str], Line] = {}
    for line in text.splitlines():
        label, name, *fields = (*line.split("\t"), "", "")[: max(2, line.count("\t") + 1)]
        kind = "file" if label == "content" else label
        if name not in asked.get(kind, {}) or ((kind, name) in found and label != "content"):
            raise _odd(target, kind)
        found[kind, name] = (*found.get((kind, name), ()), *fields)
    return found


def _odd(target: str, kind: str) -> CommandFailed:
    """The line itself is not shown: nobody knows what is in it."""
    return CommandFailed(
        f"its facts have a line{f' of kind {kind}' if kind in KINDS else ''} that cannot be read",
        where=target,
        next_step="Log in and look: are its system tools (stat, systemctl, getent, dpkg-query or rpm) the usual ones?",
    )
