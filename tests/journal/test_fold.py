"""Folding: what entries amount to, whole or in parts, and again from a checkpoint."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle.errors import JournalDamaged, Superseded
from rekindle.journal.entries import (
    AnyEntry,
    Begun,
    Checkpoint,
    Failed,
    Fenced,
    LockTaken,
    Operation,
    Pinned,
    ReleaseEntry,
    RestorePoint,
    SecretSet,
    Succeeded,
    SupersededBy,
    VolumeCopy,
)
from rekindle.journal.fold import FoldedContent, fold, fold_objects
from rekindle.plan import Key, State, canonical

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
KEY = ("master-1", "file:/a")


def subject(key: Key) -> dict[str, Any]:
    return {"target": key[0], "subject": key[1], "before_digest": None, "after_digest": None}


def begun(after: dict[str, Any] | None, key: Key = KEY) -> Begun:
    return Begun(**subject(key), after=after, release="r", command="apply")


def succeeded(key: Key = KEY) -> Succeeded:
    return Succeeded(**subject(key))


def failed(key: Key = KEY) -> Failed:
    return Failed(**subject(key), error="why")


@pytest.mark.parametrize(
    ("entries", "applied", "in_flight", "failures"),
    [
        ([], {}, set(), set()),
        ([begun({"a": 1})], {}, {KEY}, set()),
        ([begun({"a": 1}), succeeded()], {KEY: {"a": 1}}, set(), set()),
        ([begun({"a": 1}), failed()], {}, set(), {KEY}),
        ([begun({"a": 1}), failed(), begun({"a": 1})], {}, {KEY}, {KEY}),
        ([begun({"a": 1}), failed(), begun({"a": 1}), succeeded()], {KEY: {"a": 1}}, set(), set()),
        ([begun({"a": 1}), succeeded(), begun({"a": 2})], {KEY: {"a": 1}}, {KEY}, set()),
        ([begun({"a": 1}), succeeded(), begun({"a": 2}), failed()], {KEY: {"a": 1}}, set(), {KEY}),
        ([begun({"a": 1}), succeeded(), begun(None), succeeded()], {KEY: None}, set(), set()),
        ([begun({"a": 1}), begun({"a": 2}), succeeded()], {KEY: {"a": 2}}, set(), set()),
    ],
)
def test_steps(
    entries: Sequence[AnyEntry], applied: dict[Key, State | None], in_flight: set[Key], failures: set[Key]
) -> None:
    folded = fold(entries)
    assert (folded.applied, folded.in_flight.keys(), folded.failed.keys()) == (applied, in_flight, failures)


def test_what_never_began_cannot_have_succeeded() -> None:
    with pytest.raises(JournalDamaged, match="never began") as caught:
        fold_objects([("journal/dev/1", [begun({}), succeeded()]), ("journal/dev/2", [succeeded()])])
    assert caught.value.where == "journal/dev/2"
    assert caught.value.next_step


def test_the_release_used_last_is_in_force() -> None:
    used = [ReleaseEntry(release=name, command="apply", rekindle_version="1") for name in ("a", "b", "a")]
    assert [entry.release for entry in fold(used).releases] == ["b", "a"]
    assert fold(used).release == "a"
    assert fold([]).release is None


def replay(phase: Literal["begun", "ended"], name: str = "replay", **details: Any) -> Operation:
    return Operation(name=name, phase=phase, details=details)


FIRST, HOSTS, OVER = replay("begun", epoch=1), replay("ended", "replay: hosts"), replay("ended", report={})


@pytest.mark.parametrize(
    ("entries", "of_the_newest"),
    [
        ([], 0),
        ([replay("begun", "pulumi up"), replay("begun", "replays")], 0),
        ([FIRST, HOSTS, OVER], 3),
        ([FIRST, HOSTS, replay("begun", epoch=1), HOSTS], 4),  # gone on with
        ([FIRST, HOSTS, OVER, replay("begun", epoch=2)], 1),
        ([FIRST, OVER, replay("begun", epoch=2), HOSTS, replay("begun", epoch=1)], 1),
    ],
)
def test_of_replays_the_newest_is_kept_from_its_beginning(entries: list[Operation], of_the_newest: int) -> None:
    assert fold(entries).replay == tuple(entries[len(entries) - of_the_newest :])


SUPERSEDED = SupersededBy(environment="dev-dr", epoch=2, at=NOW)


@pytest.mark.parametrize(
    ("entries", "in_force"),
    [
        ([], True),
        ([SUPERSEDED], False),
        ([SUPERSEDED, Fenced(epoch=1)], False),
        ([SUPERSEDED, Fenced(epoch=2)], True),
        ([SUPERSEDED, Fenced(epoch=2), SupersededBy(environment="poc", epoch=3)], False),
    ],
)
def test_a_superseded_environment_is_out_of_force_until_fenced(entries: list[AnyEntry], in_force: bool) -> None:
    folded = fold(entries)
    if in_force:
        folded.require_in_force("dev")
    else:
        with pytest.raises(Superseded, match="superseded by"):
            folded.require_in_force("dev")


names = st.sampled_from(["a", "b", "c"])
states = st.none() | st.dictionaries(
    names, st.integers() | st.sampled_from(["", "é"]) | st.lists(st.booleans(), max_size=2)
)
keys = st.tuples(names, names)
others: st.SearchStrategy[AnyEntry] = st.one_of(
    names.map(lambda name: ReleaseEntry(release=name, command="apply", rekindle_version="1")),
    st.tuples(names, names).map(lambda two: Pinned(host=two[0], instance_id=None, host_key=two[1])),
    names.map(
        lambda name: RestorePoint(
            id=name,
            release="r",
            status="pending",
            consistency="frozen",
            started=NOW,
            barrier={"topic": [1, 2]},
            volumes=(VolumeCopy(name="kafka-1", volume_id="vol-1", az="us-east-1a", size_gib=8),),
        )
    ),
    st.tuples(names, st.integers(1, 9)).map(lambda two: SecretSet(name=two[0], version=two[1], digest="d")),
    st.builds(
        Operation,
        name=st.sampled_from(["a", "b", "replay", "replay: hosts", "replay: checks"]),
        phase=st.sampled_from(["begun", "ended"]),
        details=st.sampled_from([{}, {"epoch": 1}, {"epoch": 2}]),
    ),
    st.integers(1, 3).map(lambda epoch: SupersededBy(environment="dr", epoch=epoch)),
    st.integers(1, 3).map(lambda epoch: Fenced(epoch=epoch)),
    st.just(Checkpoint(key="k", digest="d")),
    st.just(LockTaken(generation=2, former_holder="ada")),
)


@st.composite
def histories(draw: st.DrawFn) -> list[AnyEntry]:
    """Histories that a journal can hold: each step ends at most once, after it began; any may be cut short."""
    history: list[AnyEntry] = []
    open_steps: list[Key] = []
    for _ in range(draw(st.integers(0, 30))):
        match draw(st.sampled_from(["begin", "end", "other"])):
            case "begin":
                key = draw(keys)
                open_steps = [*(other for other in open_steps if other != key), key]
                history.append(begun(draw(states), key))
            case "end" if open_steps:
                key = open_steps.pop(draw(st.integers(0, len(open_steps) - 1)))
                history.append(draw(st.sampled_from([succeeded(key), failed(key)])))
            case _:
                history.append(draw(others))
    return history


@given(histories(), st.data())
def test_folding_in_parts_gives_what_folding_at_once_does(history: list[AnyEntry], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(history)))
    assert fold(history[cut:], fold(history[:cut])) == fold(history)


@given(histories())
def test_a_fold_survives_its_document(history: list[AnyEntry]) -> None:
    folded = fold(history)
    again = FoldedContent.model_validate(folded.document()).folded()
    assert again == folded
    assert canonical(again.document()) == canonical(folded.document())


@given(histories())
def test_the_last_success_of_a_subject_is_what_is_applied(history: list[AnyEntry]) -> None:
    expected: dict[Key, State | None] = {}
    for index, entry in enumerate(history):
        if isinstance(entry, Succeeded):
            before = [other for other in history[:index] if isinstance(other, Begun) and other.key == entry.key]
            expected[entry.key] = before[-1].after
    assert fold(history).applied == expected


@given(histories())
def test_folding_leaves_the_earlier_fold_as_it_was(history: list[AnyEntry]) -> None:
    start = fold(history)
    before = canonical(start.document())
    fold([begun({"a": 1}), succeeded(), *history], start)
    assert canonical(start.document()) == before
