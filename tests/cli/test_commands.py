"""What each command does with a plan, what it asks, and how it ends."""

import errno
import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from rekindle import errors
from rekindle.errors import InputError, RekindleError, Unreachable
from rekindle.plan import Plan, Step
from rekindle.progress import Progress

command_line = import_module("rekindle.cli.main")  # the package's attribute of this name is the function

STEP = Step(target="marathon", subject="app:/a", before=None, after={"cmd": "x", "mem": 1})
PLANNED = Plan(environment="dev", command="apply", release="r", journal_head="h", steps=(STEP,))
NOTHING = replace(PLANNED, steps=())


@dataclass
class World:
    """The environment behind the command line: what is left to do there, and what was done."""

    left: Plan = PLANNED
    drifted: Plan = PLANNED
    opened: list[dict[str, Any]] = field(default_factory=list)
    done: list[Plan] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)
    checkpoints: int = 0

    @contextmanager
    def operation(self, environment: str, reason: str, **how: Any) -> Iterator[Any]:
        self.opened.append({"environment": environment, "reason": reason, **how})
        yield SimpleNamespace(
            environment=environment,
            progress=Progress(Console(file=StringIO())),
            inventory=SimpleNamespace(hosts=()),
            secrets=SimpleNamespace(set=self.keep),
        )

    def keep(self, name: str, secret: Any) -> int:
        self.secrets[name] = secret.reveal()
        return len(self.secrets)

    def work(self) -> Any:
        return SimpleNamespace(plan=self.left)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    made = World()

    @contextmanager
    def nobody(*given: object) -> Iterator[None]:
        yield None

    @contextmanager
    def on_cluster(*given: object) -> Iterator[Any]:
        yield made.work()

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REKINDLE_DEBUG", raising=False)
    monkeypatch.setattr(command_line, "operation", made.operation)
    monkeypatch.setattr(command_line.supplies, "declared", lambda op: None)
    monkeypatch.setattr(command_line.reach, "hosts", nobody)
    monkeypatch.setattr(command_line.work, "on_cluster", on_cluster)
    monkeypatch.setattr(command_line.work, "on_hosts", lambda *given: made.work())
    monkeypatch.setattr(command_line.work, "carry_out", lambda op, left: made.done.append(left.plan))
    monkeypatch.setattr(command_line.work, "drifted", lambda op: made.drifted)
    return made


@dataclass
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """Runs a command line; `stdin` is what a person or a program says to it."""

    def run(*words: str, stdin: bytes = b"", terminal: bool = False) -> Ended:
        said = io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8")
        monkeypatch.setattr(said, "isatty", lambda: terminal, raising=False)
        monkeypatch.setattr(sys, "stdin", said)
        code = command_line._ended(lambda: command_line.app(list(words)))
        told = capsys.readouterr()
        return Ended(code, told.out, told.err)

    return run


Run = Callable[..., Ended]


# plan


def test_a_plan_is_shown_and_written_and_pending(world: World, run: Run) -> None:
    ended = run("plan", "dev")
    assert ended.code == 2
    assert "app:/a" in ended.out
    assert "dev.plan.json" in ended.out
    assert Plan.from_json(Path("dev.plan.json").read_text(), where="x") == PLANNED
    assert world.done == []
    assert [(o["environment"], o["changes"]) for o in world.opened] == [("dev", False)]


def test_a_plan_without_steps_is_written_and_ends_well(world: World, run: Run) -> None:
    world.left = NOTHING
    ended = run("plan", "dev", "--out", "other.json")
    assert (ended.code, "nothing to change" in ended.out) == (0, True)
    assert Plan.from_json(Path("other.json").read_text(), where="x") == NOTHING


def test_a_plan_for_machines_is_one_document(world: World, run: Run) -> None:
    ended = run("plan", "dev", "--json")
    assert (ended.code, json.loads(ended.out)["release"]) == (2, "r")


def test_a_folder_that_is_not_there_is_said_before_anything_is_read(world: World, run: Run) -> None:
    ended = run("plan", "dev", "--out", "nowhere/dev.json")
    assert ended.code == 1
    assert "there is no folder nowhere" in ended.err
    assert "--out" in ended.err
    assert world.opened == []


def test_a_plan_file_that_cannot_be_written_is_said(world: World, run: Run, tmp_path: Path) -> None:
    ended = run("plan", "dev", "--out", str(tmp_path))
    assert ended.code == 1
    assert "cannot be written: Is a directory" in ended.err
    assert "defect" not in ended.err


def test_a_name_with_brackets_is_shown_as_it_is(world: World, run: Run) -> None:
    ended = run("plan", "dev", "--out", "a[red]b.json")
    assert ended.code == 2
    assert "Written to a[red]b.json" in ended.out


# apply


def planned(plan: Plan, name: str = "dev.plan.json") -> str:
    Path(name).write_text(plan.to_json())
    return name


def test_a_plan_file_is_carried_out_without_asking(world: World, run: Run) -> None:
    ended = run("apply", "dev", planned(PLANNED))
    assert (ended.code, world.done) == (0, [PLANNED])
    assert "1 changes done" in ended.out
    assert world.opened[0]["changes"] is True


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (replace(PLANNED, environment="poc"), "this plan is for poc"),
        (replace(PLANNED, release="other"), "what is declared changed since the plan was made"),
        (NOTHING, "changed since the plan was made: app:/a"),
        (replace(PLANNED, steps=(replace(STEP, after={"cmd": "y"}),)), "changed since the plan was made: app:/a"),
    ],
)
def test_a_plan_of_something_else_is_refused(world: World, run: Run, file: Plan, said: str) -> None:
    ended = run("apply", "dev", planned(file))
    assert (ended.code, world.done) == (1, [])
    assert said in ended.err.replace("\n", " ")


def test_a_plan_of_another_environment_is_refused_before_its_lock_is_taken(world: World, run: Run) -> None:
    assert run("apply", "dev", planned(replace(PLANNED, environment="dev-dr"))).code == 1
    assert world.opened == []


@pytest.mark.parametrize("content", [b"\xff\xfe", b"", b"[" * 9999, b"\x00" * 100, b"{}", b"\x7fELF\x02\x01"])
def test_a_file_that_is_no_plan_is_said_to_be_none(world: World, run: Run, content: bytes) -> None:
    Path("dev.plan.json").write_bytes(content)
    ended = run("apply", "dev", "dev.plan.json")
    assert (ended.code, world.opened) == (1, [])
    assert "dev.plan.json: " in ended.err
    assert "defect" not in ended.err


@pytest.mark.parametrize(
    ("words", "terminal", "answer", "is_done"),
    [
        ((), False, b"", False),
        ((), False, b"y\n", False),
        (("--yes",), False, b"", True),
        (("-y",), True, b"", True),
        ((), True, b"y\n", True),
        ((), True, b"n\n", False),
        ((), True, b"\n", False),
    ],
)
@pytest.mark.parametrize("command", ["apply", "bootstrap"])
def test_nothing_is_changed_until_somebody_says_yes(
    world: World, run: Run, command: str, words: tuple[str, ...], terminal: bool, answer: bytes, is_done: bool
) -> None:
    ended = run(command, "dev", *words, stdin=answer, terminal=terminal)
    assert world.done == ([PLANNED] if is_done else [])
    assert ended.code == (0 if is_done else 1)
    if not (terminal or words):
        assert "nobody is there to say yes" in ended.err
        assert "--yes" in ended.err


@pytest.mark.parametrize("command", ["apply", "bootstrap"])
def test_where_nothing_is_left_nobody_is_asked(world: World, run: Run, command: str) -> None:
    world.left = NOTHING
    ended = run(command, "dev")
    assert (ended.code, world.done) == (0, [])
    assert "nothing to change" in ended.out


def test_bootstrap_can_only_look(world: World, run: Run) -> None:
    ended = run("bootstrap", "dev", "--plan", "--yes")
    assert (ended.code, world.done) == (2, [])
    assert "app:/a" in ended.out


# drift


@pytest.mark.parametrize(("found", "code"), [(PLANNED, 2), (NOTHING, 0)])
def test_drift_is_pending(world: World, run: Run, found: Plan, code: int) -> None:
    world.drifted = found
    assert run("drift", "dev").code == code
    ended = run("drift", "dev", "--json")
    assert (ended.code, len(json.loads(ended.out)["steps"])) == (code, len(found.steps))
    assert [o["changes"] for o in world.opened] == [False, False]


# secret set


def test_a_secret_is_what_stdin_says(world: World, run: Run) -> None:
    ended = run("secret", "set", "dev", "orders/token", stdin="geh\u00e9im\n".encode())
    assert (ended.code, world.secrets) == (0, {"orders/token": "geh\u00e9im"})
    assert "geh" not in ended.out + ended.err


@pytest.mark.parametrize(
    ("value", "said"), [(b"", "is empty"), (b" \n", "is empty"), (b"\xff\xfe", "not text in UTF-8")]
)
def test_a_value_that_is_none_is_not_kept(world: World, run: Run, value: bytes, said: str) -> None:
    ended = run("secret", "set", "dev", "orders/token", stdin=value)
    assert (ended.code, world.secrets, world.opened) == (1, {}, [])
    assert said in ended.err


# Names of environments


@pytest.mark.parametrize("name", ["../dev", "Dev", "dev/x", "", "-x-", "dev\n", "d\0v", "dév", "x" * 41, "\udcff"])
@pytest.mark.parametrize("verb", ["plan", "apply", "status", "drift", "backup"])
def test_what_is_no_name_of_an_environment_goes_nowhere(world: World, run: Run, verb: str, name: str) -> None:
    ended = run(verb, "--", name)
    assert (ended.code, world.opened) == (1, [])
    assert "is no name of an environment" in ended.err
    assert "stacks/Pulumi." in ended.err


def test_a_replay_to_no_environment_goes_nowhere(world: World, run: Run) -> None:
    assert "is no name of an environment" in run("replay", "dev", "--to", "../x").err


# How a run ends


def raising(error: BaseException) -> Callable[[], None]:
    def run() -> None:
        raise error

    return run


def kinds(of: type[RekindleError] = RekindleError) -> list[type[RekindleError]]:
    return [of, *(kind for below in of.__subclasses__() for kind in kinds(below) if kind.__module__ == errors.__name__)]


@pytest.mark.parametrize("kind", kinds())
def test_every_error_is_three_sentences_and_ends_with_1(
    kind: type[RekindleError], capsys: pytest.CaptureFixture[str]
) -> None:
    error = kind("it broke", where="there", next_step="Do this.")
    assert command_line._ended(raising(error)) == 1
    assert capsys.readouterr().err == "error: there: it broke\nDo this.\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), ["No space left on device", "Make room", "TMPDIR"]),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), ["Disk quota exceeded", "Make room"]),
        (PermissionError(errno.EACCES, "Permission denied", "/etc/x"), ["/etc/x: Permission denied", "who may"]),
        (OSError(errno.EROFS, "Read-only file system", "x"), ["x: Read-only file system", "who may"]),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "a/b"), ["a/b: No such file", "Pulumi.yaml"]),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "a"), ["a: Not a directory"]),
        (OSError(errno.EMFILE, "Too many open files"), ["Too many open files", "ulimit"]),
        (OSError("something odd"), ["something odd", "run the same command again"]),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), ["Connection reset by peer"]),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), ["not text in UTF-8", "LANG"]),
        (UnicodeEncodeError("ascii", "é", 0, 1, "ordinal not in range"), ["not text in UTF-8", "LANG"]),
        (MemoryError(), ["no more memory"]),
    ],
)
def test_what_the_machine_refuses_is_no_defect(
    error: Exception, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_line._ended(raising(error)) == 1
    told = capsys.readouterr().err
    assert "defect" not in told
    assert all(part in told for part in said)


def test_a_defect_is_said_to_be_one(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REKINDLE_DEBUG", raising=False)
    assert command_line._ended(raising(ZeroDivisionError("x [/y]"))) == 1
    assert "ZeroDivisionError: x [/y]" in (told := capsys.readouterr().err)
    assert "defect of Rekindle" in told
    monkeypatch.setenv("REKINDLE_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        command_line._ended(raising(ZeroDivisionError("x")))


@pytest.mark.parametrize(
    ("ended", "code"),
    [(SystemExit(0), 0), (SystemExit(None), 0), (SystemExit(2), 1), (SystemExit(1), 1), (command_line.Pending(), 2)],
)
def test_2_says_that_changes_are_pending_and_nothing_else(ended: BaseException, code: int) -> None:
    assert command_line._ended(raising(ended)) == code


@pytest.mark.parametrize(
    "words", [("plan",), ("plan", "dev", "--nothing"), ("nothing",), ("apply", "dev", "absent.json")]
)
def test_errors_of_usage_end_with_1(world: World, run: Run, words: tuple[str, ...]) -> None:
    assert run(*words).code == 1
    assert world.opened == []


def test_an_error_within_an_operation_ends_with_1(world: World, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_line.supplies, "declared", lambda op: raising(Unreachable("no", where="s3"))())
    ended = run("apply", "dev", "--yes")
    assert (ended.code, world.done) == (1, [])
    assert "s3: no" in ended.err


# replay


@dataclass
class Judged:
    """A replay as it was planned."""

    problems: tuple[str, ...] = ()

    def require_possible(self) -> None:
        if self.problems:
            raise InputError("it may not be")


@pytest.mark.parametrize(
    ("words", "problems", "code", "is_done"),
    [
        (("--plan",), (), 2, False),
        (("--plan",), ("x",), 1, False),
        (("--yes",), (), 0, True),
        (("--yes",), ("x",), 1, False),
        ((), (), 1, False),
    ],
)
def test_a_replay_is_judged_shown_and_asked_for(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    problems: tuple[str, ...],
    code: int,
    is_done: bool,
) -> None:
    done: list[Any] = []
    monkeypatch.setattr(command_line.replays, "plan", lambda request: Judged(problems))
    monkeypatch.setattr(command_line.replays, "run", lambda request, verbs: done.append(request))
    monkeypatch.setattr(command_line.show, "replay_plan", lambda console, planned: None)
    monkeypatch.setattr(command_line.show, "replay_report", lambda console, report: None)
    ended = run("replay", "dev", "--to", "dev-dr", "--journal", "file:///x", *words)
    assert (ended.code, bool(done)) == (code, is_done)
    if done:
        assert (done[0].environment, done[0].recovery, done[0].journal) == ("dev", "dev-dr", "file:///x")
