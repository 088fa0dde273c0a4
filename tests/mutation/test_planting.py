"""What is planted, by kind; and where nothing is."""

import ast
from pathlib import Path
from queue import Queue

import mutate
import pytest
from faults import Fault, faults_of
from mutate import Planted, Trial
from rooms import Room

PLANTED = [
    ("if a:\n    go()", "if (not (a)):\n    go()"),
    ("if a:\n    go()", "if a:\n    pass"),
    ("x = a < b", "x = (a <= b)"),
    ("x = a not in b", "x = (a in b)"),
    ("x = a and b", "x = ((a) or (b))"),
    ("x = a and b", "x = ((b))"),
    ("x = not a", "x = (a)"),
    ("x = a - b", "x = (a)"),
    ("x = [y for y in z if y.ok]", "x = [y for y in z if True]"),
    ("x = any(y)", "x = all(y)"),
    ("x = sorted(y)", "x = list(y)"),
    ("x = y[0]", "x = y[1]"),
    ("x = status == 404", "x = status == 405"),
    ("x.y = z", "pass"),
    ("with lock:\n    go()", 'with __import__("contextlib").nullcontext():\n    go()'),
    ("for x in y:\n    go(x)", "for x in y:\n    go(x)\n    break"),
    ("try:\n    go()\nexcept OSError:\n    x = 1", "try:\n    go()\nexcept OSError:\n    raise"),
    ("try:\n    go()\nexcept OSError:\n    raise", "try:\n    go()\nexcept OSError:\n    pass"),
    ("def f():\n    return g(x)", "def f():\n    return None"),
    ("def f():\n    return True", "def f():\n    return False"),
    ("def f() -> None:\n    '''Says.'''\n    go()", "def f() -> None:\n    '''Says.'''\n    return\n    go()"),
    ("put(key, body, retain_until=day)", "put(key, body)"),
    ("def f(a: str, b: str):\n    go(a, b)", "def f(a: str, b: str):\n    go(b, a)"),
]

NOTHING_PLANTED = [
    '"""A docstring."""',
    "x: int | None",
    "import a",
    "tell(f'{a} of {b}' if a < b else 'all')",
    "x = f'{1 if a else 2}'",
    "__all__ = [a - b]",
    "@dataclass(frozen=True)\nclass A:\n    '''An A.'''",
    "if TYPE_CHECKING:\n    go()",
]


@pytest.mark.parametrize(("was", "now"), PLANTED)
def test_a_fault_of_each_kind_is_planted(was: str, now: str) -> None:
    assert now in {fault.plant(was.encode()).decode() for fault in faults_of(was.encode())}


@pytest.mark.parametrize("source", NOTHING_PLANTED)
def test_what_only_tells_is_left_alone(source: str) -> None:
    assert faults_of(source.encode()) == []


def test_a_raise_is_dropped_but_its_words_are_not_changed() -> None:
    source = b"if a:\n    raise Wrong('one' if b else 'two', lost=1)"
    planted = {fault.plant(source).decode() for fault in faults_of(source)}
    assert planted == {source.decode().replace("if a:", "if (not (a)):"), "if a:\n    pass"}


def test_two_arguments_of_different_types_stay_where_they_are() -> None:
    source = b"def f(a: str, b: int):\n    return go(a, b)"
    assert {fault.now for fault in faults_of(source)} == {"return None"}


def test_what_is_planted_can_be_read_again_and_is_told_by_its_line() -> None:
    source = "# ä\nif a:\n    for x in y:\n        go(x)\n        if x:\n            raise Wrong\n".encode()
    assert {fault.line for fault in faults_of(source)} == {2, 4, 5, 6}
    for fault in faults_of(source):
        assert ast.parse(fault.plant(source))


@pytest.mark.parametrize(
    ("code", "is_noticed"),
    [(0, False), (1, True), (2, True), (4, True), (5, False), (None, True)],  # 4: a conftest could not be read
)
def test_what_keeps_the_tests_from_passing_is_noticed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int | None, is_noticed: bool
) -> None:
    monkeypatch.setattr(Room, "tests", [Path("test_plan.py")])
    room, copies = Room(mutate.ROOT, "plan"), Queue[Path]()
    [module] = room.modules
    (tmp_path / module).parent.mkdir(parents=True)
    copies.put(tmp_path)
    monkeypatch.setattr(mutate, "_run", lambda *asked: (0, ""))
    trial = Trial(copies)
    trial.learn(room)
    monkeypatch.setattr(mutate, "_run", lambda *asked: (code, ""))
    fault = Fault(start=0, end=0, text="pass\n", line=1, was="", now="pass")
    assert trial.is_noticed(Planted(room, module, fault)) is is_noticed
    assert (tmp_path / module).read_bytes() == (mutate.ROOT / module).read_bytes()  # for the next fault


def test_tests_that_could_not_be_run_end_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    trial = Trial(Queue())
    trial._seconds["plan"] = 1.0
    monkeypatch.setattr(Trial, "_tested", lambda *asked: (3, "INTERNALERROR"))
    with pytest.raises(SystemExit, match="could not be run"):
        trial.is_noticed(Planted(Room(mutate.ROOT, "plan"), Path("a.py"), Fault(0, 0, "", 1, "", "")))
