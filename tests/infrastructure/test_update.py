"""What is done about engines, locks and open operations; pulumi itself is a script that says what is asked of it."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.errors import CommandFailed, InputError, JournalDamaged, LockHeld, RekindleError
from rekindle.infrastructure import Project, engine, lock, pending, process, record, update
from rekindle.infrastructure.engine import Ended
from rekindle.infrastructure.events import Events, name_of
from rekindle.infrastructure.process import Process
from rekindle.infrastructure.update import Update
from rekindle.journal.entries import Operation
from rekindle.process import started

HERE = process.of(os.getpid())
DEAD = replace(HERE, pid=2**22 + 1, start=1)
ELSEWHERE = replace(DEAD, host="elsewhere")
URN = "urn:pulumi:dev::rekindle::aws:ebs/volume:Volume::kafka-1"
VOLUME = {"urn": URN, "type": "aws:ebs/volume:Volume", "custom": True, "inputs": {"size": 4}}
REFUSAL = (
    "error: the stack is currently locked by 1 lock(s).\n"
    " s3://a.json: created by ada@{} (pid {}) at 2026-11-21T03:00:00Z"
)


@dataclass
class Record:
    """Engines on record, in memory."""

    open: list[Process] = field(default_factory=list)
    told: list[tuple[Any, ...]] = field(default_factory=list)

    def unfinished(self) -> Sequence[Process]:
        return list(self.open)

    def began(self, engine: Process, command: str) -> None:
        self.told.append(("began", command))
        self.open.append(engine)

    def ended(self, engine: Process, outcome: str) -> None:
        self.told.append(("ended", outcome))
        self.open.remove(engine)


@dataclass
class Pulumi:
    """A stack and its engine: what was asked of it, what it says next."""

    state: dict[str, Any]
    asked: list[tuple[str, ...]] = field(default_factory=list)
    imported: list[dict[str, Any]] = field(default_factory=list)
    runs: list[Ended] = field(default_factory=list)  # how the next runs end; well, when none is left
    refuses_import: list[str] = field(default_factory=list)

    def ask(self, project: Project, *arguments: str, stdin: str | None = None) -> str:
        self.asked.append(arguments)
        if arguments[:2] == ("stack", "import"):
            if self.refuses_import:
                raise CommandFailed(self.refuses_import.pop(0))
            self.imported.append(json.loads(stdin or ""))
        return json.dumps(self.state) if arguments[:2] == ("stack", "export") else ""

    def run(self, project: Project, arguments: Sequence[str], operations: object, tell: object) -> Ended:
        self.asked.append(tuple(arguments))
        return self.runs.pop(0) if self.runs else Ended(code=0, output="", errors=(), changed=0)

    def verbs(self) -> list[str]:
        return [arguments[1] if arguments[0] == "stack" else arguments[0] for arguments in self.asked]


def exported(*operations: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    open_ones = [{"type": kind, "resource": resource} for kind, resource in operations]
    return {"version": 3, "deployment": {"resources": [], "pending_operations": open_ones}}


@pytest.fixture
def pulumi(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pulumi]:
    made = Pulumi(exported())
    monkeypatch.setattr(engine, "ask", made.ask)
    monkeypatch.setattr(engine, "run", made.run)
    return made


def on(stack: Pulumi, record: Record, found: str | None = None, **more: Any) -> Update:
    told: list[str] = []
    return Update(Project(directory=Path()), "dev", record, lambda creation: found, told.append, **more)


# Engines that were begun before


@pytest.fixture
def living() -> Iterator["subprocess.Popen[bytes]"]:
    child = subprocess.Popen(["sleep", "60"], start_new_session=True)
    yield child
    child.kill()
    child.wait()


def test_a_living_engine_is_waited_for_and_never_killed(pulumi: Pulumi, living: "subprocess.Popen[bytes]") -> None:
    waits: list[float] = []

    def wait(seconds: float) -> None:
        assert living.poll() is None
        waits.append(seconds)
        if len(waits) == 3:
            living.terminate()
            living.wait()

    on(pulumi, Record([process.of(living.pid)]), sleep=wait).settle()
    assert len(waits) == 3
    assert living.returncode == -signal.SIGTERM


def test_what_a_dead_engine_left_running_is_ended_before_the_state_is_read(
    pulumi: Pulumi, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[tuple[Process, int]] = []
    monkeypatch.setattr(process, "end_session", lambda leader: ended.append((leader, len(pulumi.asked))))
    on(pulumi, Record([DEAD, ELSEWHERE])).settle()
    assert ended == [(DEAD, 0)]


def test_only_engines_of_this_host_are_forgotten(pulumi: Pulumi) -> None:
    kept = Record([DEAD, ELSEWHERE])
    on(pulumi, kept).forget()
    assert kept.open == [ELSEWHERE]
    assert kept.told == [("ended", "interrupted")]


# Operations that were left open


def test_a_stack_with_nothing_open_is_left_as_it_is(pulumi: Pulumi) -> None:
    on(pulumi, Record()).settle()
    assert pulumi.verbs() == ["export"]


@pytest.mark.parametrize(("found", "refreshed"), [("vol-1", [URN]), (None, [])])
def test_an_open_creation_is_taken_in_or_forgotten(pulumi: Pulumi, found: str | None, refreshed: list[str]) -> None:
    pulumi.state = exported(("creating", VOLUME))
    on(pulumi, Record(), found).settle()
    (state,) = pulumi.imported
    assert [r["id"] for r in state["deployment"]["resources"]] == ([found] if found else [])
    assert state["deployment"]["pending_operations"] == []
    again = [arguments for arguments in pulumi.asked if arguments[0] == "refresh"]
    assert [urn for arguments in again for urn in arguments if urn.startswith("urn:")] == refreshed


def test_what_was_being_changed_or_deleted_is_read_again(pulumi: Pulumi) -> None:
    pulumi.state = exported(("updating", {**VOLUME, "urn": "urn:a"}), ("deleting", {**VOLUME, "urn": "urn:b"}))
    on(pulumi, Record()).settle()
    refresh = pulumi.asked[-1]
    assert refresh[0] == "refresh"
    assert [part for part in refresh if part.startswith("urn:")] == ["urn:a", "urn:b"]


# Locks


def held(host: str, pid: int) -> Ended:
    return Ended(code=255, output=REFUSAL.format(host, pid), errors=(), changed=0)


def test_the_lock_of_a_dead_engine_of_ours_is_taken_away_once(pulumi: Pulumi) -> None:
    pulumi.runs = [held(DEAD.host, DEAD.pid)]
    on(pulumi, Record([DEAD])).run("up")
    assert pulumi.verbs() == ["up", "cancel", "up"]


def test_a_lock_that_comes_back_is_a_failure(pulumi: Pulumi) -> None:
    pulumi.runs = [held(DEAD.host, DEAD.pid)] * 2
    with pytest.raises(CommandFailed, match="locked by"):
        on(pulumi, Record([DEAD])).run("up")
    assert pulumi.verbs() == ["up", "cancel", "up"]


@pytest.mark.parametrize(
    ("host", "pid", "ours"),
    [
        ("elsewhere", DEAD.pid, [DEAD]),
        ("elsewhere", ELSEWHERE.pid, [ELSEWHERE]),
        (HERE.host, HERE.pid, [HERE]),
        (DEAD.host, DEAD.pid, []),
    ],
    ids=["of another host", "of another host on record", "of a living engine", "of nobody on record"],
)
def test_no_other_lock_is_taken_away(pulumi: Pulumi, host: str, pid: int, ours: list[Process]) -> None:
    pulumi.runs = [held(host, pid)]
    with pytest.raises(LockHeld, match=f"ada@{host}") as caught:
        on(pulumi, Record(ours)).run("up")
    assert pulumi.verbs() == ["up"]
    assert "pulumi cancel" in caught.value.next_step


def test_an_import_that_a_dead_engines_lock_stops_is_made_again(pulumi: Pulumi) -> None:
    pulumi.state = exported(("creating", VOLUME))
    pulumi.refuses_import = [REFUSAL.format(DEAD.host, DEAD.pid)]
    on(pulumi, Record([DEAD])).settle()
    assert pulumi.verbs() == ["export", "import", "cancel", "import"]
    pulumi.refuses_import = ["no such stack"]
    with pytest.raises(CommandFailed, match="no such stack"):
        on(pulumi, Record([DEAD])).settle()


def test_an_engine_that_fails_says_why(pulumi: Pulumi) -> None:
    pulumi.runs = [Ended(code=1, output="a\nb", errors=("no room",), changed=0)]
    with pytest.raises(CommandFailed, match=r"pulumi up ended with 1:\n  no room"):
        on(pulumi, Record()).run("up")
    pulumi.runs = [Ended(code=1, output="line\n" * 30 + "last", errors=(), changed=0)]
    with pytest.raises(CommandFailed, match="last"):
        on(pulumi, Record()).run("up")


# What pulumi prints


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Project]:
    """A project whose pulumi is this shell text."""

    def made(text: str) -> Project:
        file = tmp_path / "pulumi"
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)
        return Project(directory=tmp_path, environ={"PATH": f"{tmp_path}:{os.environ['PATH']}"})

    return made


Script = Callable[[str], Project]


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("echo '{'", CommandFailed, "pulumi stack output printed what cannot be read"),
        ("echo '[]'", CommandFailed, "outputs are a mapping"),
        ("printf '\\377'", CommandFailed, "printed what cannot be read"),
        ("echo '{}'", InputError, "has no output `inventory`"),
        ("""echo '{"inventory": 3}'""", InputError, "output `inventory` of stack dev"),
        ("""echo '{"inventory": {"version": 2}}'""", InputError, "output `inventory` of stack dev: version"),
        ("echo no such stack >&2; exit 1", CommandFailed, "no such stack"),
        ("printf '\\377' >&2; exit 1", CommandFailed, "ended with 1"),
    ],
)
def test_outputs_that_are_none_are_said(script: Script, text: str, error: type[RekindleError], said: str) -> None:
    with pytest.raises(error, match=said) as caught:
        update.inventory(script(text), "dev")
    assert caught.value.next_step


def test_where_there_is_no_pulumi_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="pulumi is not on PATH"):
        update.outputs(Project(directory=tmp_path, environ={"PATH": str(tmp_path)}), "dev")


@pytest.mark.parametrize(
    "state",
    [
        [],
        {},
        {"deployment": []},
        {"deployment": {"pending_operations": 3}},
        {"deployment": {"pending_operations": [{"type": "creating"}]}},
        {"deployment": {"pending_operations": [{"type": "creating", "resource": {"urn": 3, "type": "a"}}]}},
        {"deployment": {"resources": [{}]}},
    ],
)
def test_a_state_of_another_form_is_not_touched(pulumi: Pulumi, state: Any) -> None:
    pulumi.state = state
    with pytest.raises(CommandFailed, match="pulumi stack export printed what cannot be read"):
        on(pulumi, Record()).settle()
    assert pulumi.verbs() == ["export"]


@pytest.mark.parametrize(
    ("text", "code", "outcome"),
    [
        ("echo done", 0, "succeeded"),
        ("echo broken; exit 3", 3, "failed"),
        ("kill -9 $$", -9, "interrupted"),
        ("printf '\\377'", 0, "succeeded"),
    ],
)
def test_an_engine_is_on_record_before_it_begins_and_when_it_ended(
    script: Script, monkeypatch: pytest.MonkeyPatch, text: str, code: int, outcome: str
) -> None:
    kept, open_gate = Record(), engine._open_gate

    def watched(spawned: "subprocess.Popen[bytes]") -> None:
        kept.told.append(("let go",))
        open_gate(spawned)

    monkeypatch.setattr(engine, "_open_gate", watched)
    ended = engine.run(script(text), ["up", "--yes"], kept, lambda line: None)
    assert (ended.code, kept.told) == (code, [("began", "pulumi up"), ("let go",), ("ended", outcome)])


def test_what_an_engine_leaves_running_ends_with_it(script: Script, tmp_path: Path) -> None:
    left = f"sleep 60 >/dev/null 2>&1 & echo $! >{tmp_path}/left"
    engine.run(script(left), ["up"], Record(), lambda line: None)
    assert started(int((tmp_path / "left").read_text())) is None


# The event log


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b"3",
        b"\xff",
        b"[" * 9999,
        b'{"resourcePreEvent": 3}',
        b'{"resourcePreEvent": {"metadata": {}}}',
        b'{"resourcePreEvent": {"metadata": {"op": [], "urn": "a"}}}',
        b'{"diagnosticEvent": {"severity": "error", "message": 3}}',
        b'{"errorEvent": "x"}',
        b'{"resOutputsEvent": {"metadata": {"op": "create", "urn": "no urn"}}}',
    ],
)
def test_a_line_that_tells_nothing_stops_nothing(tmp_path: Path, line: bytes) -> None:
    log = tmp_path / "events"
    log.write_bytes(line + b'\n{"diagnosticEvent": {"severity": "error", "message": "no room"}}\n')
    events = Events(log, lambda told: None)
    events.read()
    events.read()
    assert events.errors == ["no room"]


@pytest.mark.parametrize(("urn", "name"), [(URN, "aws:ebs/volume:Volume kafka-1"), ("odd", "odd"), ("a::b", "a::b")])
def test_what_a_urn_is_called(urn: str, name: str) -> None:
    assert name_of(urn) == name


@pytest.mark.parametrize("text", [REFUSAL.format("h", "9" * 5000), REFUSAL.format("h", "²"), "locked by", ""])
def test_a_refusal_that_names_no_holder_has_none(text: str) -> None:
    assert lock.holders(text) == ()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60)
@given(st.sampled_from(["urn", "type", "inputs", "id", "delete"]), json_values)
def test_any_state_is_settled_or_refused(key: str, value: Any) -> None:
    state = exported(("creating", {**VOLUME, key: value}), ("updating", {**VOLUME, "urn": "urn:a"}))
    with suppress(ValueError):  # pydantic's, which the caller turns into a sentence
        pending.Exported.model_validate(state)
        pending.settled(state, {c.urn: "vol-1" for c in pending.creations(state)})
        pending.changing(state)


# Engines on record in the journal


@pytest.mark.parametrize("details", [{}, {"host": "h"}, {"host": "h", "boot_id": "b", "pid": "x", "start": 1}])
def test_an_engine_that_is_not_whole_on_record_is_damage(details: dict[str, Any]) -> None:
    entry = Operation.model_validate({"name": "pulumi dev x", "phase": "begun", "details": details})
    with pytest.raises(JournalDamaged, match="pulumi dev x does not say which process"):
        record._process(entry)
