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
END = "end of facts"


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
        found = _parsed(target, self._transport.facts(target, self._script(asked)))
        return {
            f"{kind}:{name}": self._kinds[kind].state(name, wanted, found.get((kind, name), ()))
            for kind, names in asked.items()
            for name, wanted in names.items()
        }

    def write(self, target: str, steps: Sequence[Step]) -> None:
        """Makes `after` true: one stream for what is short, then what is long, then gates."""
        changes = {kind: self._kinds[kind].change(of_kind) for kind, of_kind in _in_order(steps)}
        files = [file for change in changes.values() for file in change.files]
        before = _joined(target, changes, BEFORE_FILES)
        after = _joined(target, changes, ("file", *AFTER_FILES))
        if files or before or after:
            self._transport.put(target, files, before=before, after=after)
        for change in changes.values():
            for command in change.afterwards:
                self._run_long(target, command)
        for step in steps:
            if step.kind == "gate" and step.after is not None:
                self._wait(target, named(step), step.after)

    def _script(self, asked: Mapping[str, Mapping[str, State | None]]) -> str:
        """All facts as one function, so that nothing in it reads the script itself as its input."""
        facts = "".join(self._kinds[kind].facts(names) for kind, names in asked.items())
        return f"export LC_ALL=C\nfacts() {{\n{facts}printf '{END}\\n'\n}}\nfacts </dev/null\n"

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


def _parsed(target: str, text: str) -> dict[tuple[str, str], Line]:
    lines = text.splitlines()
    if not lines or lines[-1] != END:
        raise CommandFailed(
            f"its facts are not whole; the last line is {lines[-1] if lines else 'missing'!r}",
            where=target,
            next_step="Log in and look: is its disk full, its shell replaced?",
        )
    found: dict[tuple[str, str], Line] = {}
    for kind, name, *fields in (line.split("\t") for line in lines[:-1]):
        key = ("file", name) if kind == "content" else (kind, name)
        found[key] = (*found.get(key, ()), *fields)
    return found
