"""A few rounds of what the hostile scripts run by the thousand: they work, and find what was broken on purpose."""

from collections import Counter

import pytest
from contests import Inline, contest
from tampering import DAMAGE, attacked

from rekindle.journal import chain
from rekindle.journal.journal import Journal


@pytest.fixture(autouse=True)
def without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "ThreadPoolExecutor", Inline)


def test_contests_do_no_damage() -> None:
    counts = sum(map(contest, range(30)), Counter[str]())
    for what in ("entries", "takeovers", "refused after taking", "requests late", "requests unheard"):
        assert counts[what]


def test_a_contest_is_told_by_its_seed() -> None:
    assert contest(7) == contest(7)


def test_a_journal_without_fences_does_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Journal, "_fence_former", lambda journal, former: None)
    with pytest.raises(AssertionError, match="no fence"):
        sum(map(contest, range(30)), Counter[str]())


def test_attacks_on_a_folder_do_no_damage() -> None:
    ended = Counter(attacked("folder", seed)[1] for seed in range(19))
    assert not ended[DAMAGE]
    assert len(ended) == 3
