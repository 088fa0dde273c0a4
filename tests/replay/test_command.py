"""The command line of replay: what each option asks for."""

from typing import Any

import pytest
from typer.testing import CliRunner

from rekindle import replay
from rekindle.cli.main import app
from rekindle.errors import InputError, Refused
from rekindle.journal.lock import LockId

NIGHT = ["replay", "dev", "--to", "dev-dr", "--journal", "s3://journal?region=us-west-2&key=arn"]


@pytest.mark.parametrize(
    ("options", "restore_point", "take_lock"),
    [
        ([], None, set()),
        (["--restore-point", "rp-0"], "rp-0", set()),
        (["--take-lock", "dev/17", "--take-lock", "dev-dr/3"], None, {LockId("dev", 17), LockId("dev-dr", 3)}),
    ],
)
def test_options_are_what_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, options: list[str], restore_point: str | None, take_lock: set[LockId]
) -> None:
    asked: list[replay.Request] = []

    def plan(request: replay.Request) -> Any:
        asked.append(request)
        raise Refused("far enough")

    monkeypatch.setattr(replay, "plan", plan)
    CliRunner().invoke(app, [*NIGHT, *options])
    assert [(request.choices.restore_point, request.take_lock) for request in asked] == [(restore_point, take_lock)]


def test_the_lock_of_a_third_environment_is_refused() -> None:
    result = CliRunner().invoke(app, [*NIGHT, "--take-lock", "qa/3"])
    assert isinstance(result.exception, InputError)
    assert "is no lock of dev or dev-dr" in str(result.exception)
