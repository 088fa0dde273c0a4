"""What the command line says, and how it ends, when Ctrl-C is pressed."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

import pytest

command_line = import_module("rekindle.cli.main")  # the package's attribute of this name is the function


@pytest.mark.parametrize("verb", ["plan", "apply", "backup", "status"])
def test_ctrl_c_says_that_the_same_command_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    @contextmanager
    def interrupted(*given: object, **named: object) -> Iterator[None]:
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(command_line, "operation", interrupted)
    assert command_line._ended(lambda: command_line.app([verb, "dev"])) == 1
    assert "interrupted; run the same command again" in capsys.readouterr().err
