"""The command line of replay: what each option asks for, when it asks back, and how it ends."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from test_planning import READY
from test_survey import REPORT
from typer.testing import CliRunner

from rekindle import replay
from rekindle.cli.main import Pending, app
from rekindle.errors import InputError, Refused
from rekindle.journal.lock import LockId
from rekindle.replay import Choices
from rekindle.replay.planning import plan_of
from rekindle.verbs.replaying import ReplayVerbs

NIGHT = ["replay", "dev", "--to", "dev-dr", "--journal", "s3://journal?region=us-west-2&key=arn"]
FINE = plan_of(READY, Choices())
IMPOSSIBLE = plan_of(replace(READY, release=None), Choices())


@pytest.mark.parametrize(
    ("options", "choices", "others"),
    [
        ([], {}, {}),
        (["--restore-point", "rp-0"], {"restore_point": "rp-0"}, {}),
        (["--accept-loss", "a", "--accept-loss", "b"], {"accept_loss": frozenset({"a", "b"})}, {}),
        (["--override-serving"], {"override_serving": True}, {}),
        (["--failed-since", "2026-11-21T03:00:00"], {"failed_since": datetime(2026, 11, 21, 3, tzinfo=UTC)}, {}),
        (["--plan"], {}, {"only_plan": True}),
        (
            ["--take-lock", "dev/17", "--take-lock", "dev-dr/3"],
            {},
            {"take_lock": {LockId("dev", 17), LockId("dev-dr", 3)}},
        ),
    ],
)
def test_options_are_what_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, options: list[str], choices: dict[str, Any], others: dict[str, Any]
) -> None:
    asked: list[replay.Request] = []

    def plan(request: replay.Request) -> Any:
        asked.append(request)
        raise Refused("far enough")

    monkeypatch.setattr(replay, "plan", plan)
    CliRunner().invoke(app, [*NIGHT, *options])
    (request,) = asked
    assert (request.environment, request.recovery, request.journal) == ("dev", "dev-dr", NIGHT[-1])
    assert request.folder == Path("replay-dev-to-dev-dr").absolute()
    assert request.choices == Choices(**choices)
    assert {name: getattr(request, name) for name in ("only_plan", "take_lock")} == {
        "only_plan": False,
        "take_lock": set(),
        **others,
    }


@pytest.mark.parametrize(
    ("planned", "options", "ends", "runs"),
    [
        (FINE, ["--plan"], Pending, False),
        (IMPOSSIBLE, ["--plan"], SystemExit, False),
        (IMPOSSIBLE, ["--yes"], Refused, False),
        (FINE, ["--yes"], None, True),
        (FINE, [], InputError, False),  # nobody is there to say yes
        (FINE, ["--plan", "--yes"], Pending, False),
    ],
)
def test_it_runs_only_what_is_possible_and_somebody_said_yes_to(
    monkeypatch: pytest.MonkeyPatch, planned: Any, options: list[str], ends: Any, runs: bool
) -> None:
    ran: list[Any] = []

    def run(request: replay.Request, verbs: Any) -> Any:
        ran.append(verbs)
        return REPORT

    monkeypatch.setattr(replay, "plan", lambda request: planned)
    monkeypatch.setattr(replay, "run", run)
    ended = CliRunner().invoke(app, [*NIGHT, *options])
    assert (type(ended.exception) if ended.exception else None) is ends
    assert ended.exit_code == (0 if ends is None else 1)
    assert [type(verbs) for verbs in ran] == ([ReplayVerbs] if runs else [])
    assert ("dev-dr serves in place of dev" in ended.output) == runs


def test_the_lock_of_a_third_environment_is_refused() -> None:
    result = CliRunner().invoke(app, [*NIGHT, "--take-lock", "qa/3"])
    assert isinstance(result.exception, InputError)
    assert "is no lock of dev or dev-dr" in str(result.exception)
