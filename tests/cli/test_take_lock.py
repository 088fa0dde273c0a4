"""`--take-lock`: which lock each verb takes, and what it says of one that it cannot take."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import pytest
from typer.testing import CliRunner

from rekindle.cli import app
from rekindle.errors import InputError, Refused
from rekindle.journal.lock import LockId

VERBS = [
    ["bootstrap", "dev"],
    ["apply", "dev"],
    ["backup", "dev"],
    ["secret", "set", "dev", "orders/token"],
    ["secret", "rotate-key", "dev"],
]


def asked(monkeypatch: pytest.MonkeyPatch, words: Sequence[str]) -> Any:
    """What the verb opens its operation with; or how it refused to."""
    found: list[Any] = []

    def opened(*args: Any, take_lock: Any, **more: Any) -> Any:
        found.append(take_lock)
        raise Refused("far enough")

    monkeypatch.setattr(import_module("rekindle.cli.main"), "opened", opened)
    result = CliRunner().invoke(app, words, input="value")
    return found[0] if found else result.exception


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("options", "locks"),
    [([], set()), (["dev/17"], {LockId("dev", 17)}), (["dev/17", "dev/18"], {LockId("dev", 17), LockId("dev", 18)})],
)
def test_the_locks_that_are_named_are_taken(
    monkeypatch: pytest.MonkeyPatch, verb: list[str], options: list[str], locks: set[LockId]
) -> None:
    assert asked(monkeypatch, [*verb, *(word for lock in options for word in ("--take-lock", lock))]) == locks


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("lock", "words"), [("17", "names no lock"), ("dev-dr/17", "is no lock of dev"), ("de/17", "is no lock of dev")]
)
def test_a_lock_that_the_verb_does_not_hold_is_refused(
    monkeypatch: pytest.MonkeyPatch, verb: list[str], lock: str, words: str
) -> None:
    refusal = asked(monkeypatch, [*verb, "--take-lock", lock])
    assert isinstance(refusal, InputError)
    assert words in str(refusal)


def test_what_only_looks_takes_no_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(monkeypatch, ["status", "dev"]) == set()
