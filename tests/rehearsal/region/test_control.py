"""The control socket: one line asks, one answers, and a failure is told as one."""

from __future__ import annotations

import io
import json
import socket
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rehearsal.region import control
from rehearsal.region.errors import NotUp, RegionError
from rehearsal.region.stage import Stage


def handled(asked: dict[str, Any], realiser: Any) -> Any:
    request = object.__new__(control._Request)
    request.server = SimpleNamespace(realiser=realiser)  # type: ignore[assignment]
    request.rfile, request.wfile = io.BytesIO(json.dumps(asked).encode() + b"\n"), io.BytesIO()  # type: ignore[assignment]
    request.handle()
    return json.loads(request.wfile.getvalue())  # type: ignore[attr-defined]


def test_what_was_done_is_answered_and_what_failed_is_told() -> None:
    realiser = SimpleNamespace(fail_region={"us-west-2": 3}.__getitem__)
    assert handled({"verb": "fail-region", "region": "us-west-2"}, realiser) == {"result": 3}
    assert handled({"verb": "fail-region", "region": "none"}, realiser) == {"error": "KeyError: 'none'"}
    assert handled({"verb": "none"}, realiser) == {"error": "KeyError: 'none'"}


@pytest.fixture
def stage(tmp_path: Path) -> Any:
    return SimpleNamespace(control_socket=tmp_path / "control.sock")


def answering(stage: Any, answer: Any, heard: list[Any]) -> threading.Thread:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(stage.control_socket))
    listener.listen()

    def serve() -> None:
        link, _ = listener.accept()
        with listener, link:
            heard.append(json.loads(link.makefile().readline()))
            link.sendall(json.dumps(answer).encode() + b"\n")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return thread


def test_who_asks_gets_the_result(stage: Any) -> None:
    heard: list[Any] = []
    answering(stage, {"result": 7}, heard)
    assert control.ask(stage, "fail-region", region="us-west-2") == 7
    assert heard == [{"verb": "fail-region", "region": "us-west-2"}]


def test_who_asks_hears_of_a_failure(stage: Any) -> None:
    answering(stage, {"error": "KeyError: 'x'"}, [])
    with pytest.raises(RegionError, match="KeyError: 'x'"):
        control.ask(stage, "fail-host", instance="x")


@pytest.mark.parametrize("left_behind", [True, False])
def test_where_nobody_listens_no_region_is_up(stage: Any, left_behind: bool) -> None:
    if left_behind:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(stage.control_socket))
    with pytest.raises(NotUp, match="rehearsal up"):
        control.ask(stage, "status")


@pytest.mark.parametrize(("name", "suffix"), [("rk", ""), ("b2", "-b2")])
def test_all_that_a_stage_makes_carries_its_name(name: str, suffix: str) -> None:
    stage = Stage(name=name)
    run = Path(f"/run/rekindle-rehearsal{suffix}")
    assert (stage.run_directory, stage.data_directory) == (run, Path(f"/var/tmp/rekindle-rehearsal{suffix}"))
    assert (stage.pid_file, stage.ready_file) == (run / "region.pid", run / "ready")
    assert (stage.log_file, stage.control_socket) == (run / "region.log", run / "control.sock")
    assert (stage.region_namespace, stage.internet_namespace) == (f"{name}-region", f"{name}-internet")
    assert (stage.namespace_of("i-1"), stage.cgroup) == (f"{name}-i-1", f"rekindle-rehearsal-{name}")


@pytest.mark.parametrize("name", ["", "Rk", "1a", "a-b", "ninechars", "a b", "../x"])
def test_a_stage_is_not_called_so(name: str) -> None:
    with pytest.raises(ValueError, match="REHEARSAL_NAME"):
        Stage(name=name)


@pytest.mark.parametrize(("value", "name"), [(None, "rk"), ("", "rk"), ("b2", "b2")])
def test_the_environment_names_the_stage(monkeypatch: pytest.MonkeyPatch, value: str | None, name: str) -> None:
    monkeypatch.delenv("REHEARSAL_NAME", raising=False)
    if value is not None:
        monkeypatch.setenv("REHEARSAL_NAME", value)
    assert Stage.from_environ().name == name
