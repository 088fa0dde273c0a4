"""What hosts print is shown as text, on a terminal and in a pipe, in progress, errors and plans."""

import json
import re
from importlib import import_module
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from rekindle.cli import show
from rekindle.errors import CommandFailed
from rekindle.plan import Plan, Step
from rekindle.progress import Progress
from rekindle.terminal import Terminal, displayable

HOSTILE = {
    "title": "\x1b]0;owned\x07",
    "clipboard": "\x1b]52;c;cm0gLXJm\x1b\\",
    "colour": "\x1b[8mhidden\x1b[0m",
    "c1": "\x9b2J\x9d0;owned\x9c",
    "over": "safe\rowned\x08\x7f",
    "bidi": "\u202egpj.exe\u2066\u2069\u200f\u061c",
    "hidden": "\u200b\u2060\ufeff\xad\U000e0041",
    "lines": "a\u2028b\u2029c\x0b\x0c\x85",
    "lone": "\udc9b",
}

SPINNERS_OWN = re.compile(r"\x1b\[(\?25[lh]|2K|1A)|\r(?=\x1b)")  # cursor off and on, line cleared, line up


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_nothing_that_commands_a_terminal_is_left(text: str) -> None:
    shown = displayable(text)
    assert displayable(shown) == shown
    assert shown.encode()
    assert not any(c in shown for c in text if not c.isascii() or not c.isprintable())


@pytest.mark.parametrize("text", ["plain", "two\nlines\tof", "Grüße, 日本, 🙂", "→ ✓ … ▸", "\\u001b"])
def test_ordinary_text_is_left_as_it_is(text: str) -> None:
    assert displayable(text) == text


@given(st.text())
def test_json_stays_the_same_json(text: str) -> None:
    assert json.loads(displayable(json.dumps(text, ensure_ascii=False))) == text


@pytest.mark.parametrize("is_terminal", [True, False])
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_no_way_to_the_terminal_carries_it(text: str, is_terminal: bool) -> None:
    file = StringIO()
    console = Terminal(file=file, force_terminal=is_terminal, color_system=None, width=80)
    step = Step(target=f"h{text}", subject=f"file:/{text}", before={text: text}, after={text: "x"})
    show.error(console, CommandFailed(f"failed\n    {text}", where=f"m{text}", next_step=text))
    show.plan(console, Plan(environment=text, command="apply", release="", journal_head="", steps=(step,)))
    console.print_json(json.dumps({text: text}))
    console.print(text, markup=False)
    progress = Progress(console, clock=iter(range(0, 1000, 10)).__next__)
    with progress.phase(text):
        progress.started([step])
        progress.tell(f"m: install: {text}")
        progress.finished([step], CommandFailed(text))
    left = SPINNERS_OWN.sub("", file.getvalue())
    assert displayable(left) == left


def test_colours_are_still_the_consoles_own() -> None:
    file = StringIO()
    Terminal(file=file, force_terminal=True, color_system="standard").print(Text("red", style="red"))
    assert file.getvalue() == "\x1b[31mred\x1b[0m\n"


@pytest.mark.parametrize("name", ["out", "err"])
def test_the_command_line_prints_through_it(name: str) -> None:
    assert isinstance(getattr(import_module("rekindle.cli.main"), name), Terminal)
