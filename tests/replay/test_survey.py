"""Which replay goes on, and which one is over, as tables: the lost environment's marks in, the replay out."""

from dataclasses import replace
from typing import cast

import pytest
from test_planning import BEGUN, MARK, NOON, SILENT

from rekindle.aws.clients import Clients
from rekindle.errors import InputError
from rekindle.journal.entries import Entry, Fenced, SupersededBy
from rekindle.journal.fold import fold
from rekindle.journal.journal import Journal
from rekindle.replay.ledger import Ledger
from rekindle.replay.report import ReplayReport
from rekindle.replay.situation import Choices
from rekindle.replay.survey import Evidence, committed, over, survey

REPORT = ReplayReport(
    environment="dev",
    recovery_environment="dev-dr",
    epoch=1,
    release="r1",
    restore_point="rp-1",
    barrier_at=None,
    barrier={},
    started=NOON.isoformat(),
    ended=NOON.isoformat(),
    replay_seconds=1,
    failed_since=None,
    answers_since=NOON.isoformat(),
    rto_seconds=None,
    rpo_seconds=None,
    phases=(),
    accepted_losses=(),
    clients_renew=(),
    is_unprotected=True,
    folder="release",
)
LEDGER = Ledger(
    cast(Journal, None),  # nothing is written here
    details={**vars(BEGUN), "started": NOON.isoformat()},
)
FENCED = Fenced(epoch=1)
MARKED_AGAIN = SupersededBy(environment="dev-dr", epoch=2)
ELSEWHERE = SupersededBy(environment="dev-dr-2", epoch=1)


@pytest.mark.parametrize(
    ("marks", "epoch", "goes_on"),
    [
        ((), 1, False),
        ((MARK,), 1, True),
        ((MARK,), 2, False),
        ((ELSEWHERE,), 1, False),
        ((MARK, FENCED), 1, False),  # failed back since
        ((MARK, FENCED, MARKED_AGAIN), 1, False),
        ((MARK, FENCED, MARKED_AGAIN), 2, True),
    ],
)
def test_a_replay_counts_under_its_own_mark_in_force_only(marks: tuple[Entry, ...], epoch: int, goes_on: bool) -> None:
    gone = fold(marks)  # type: ignore[arg-type]
    begun, report = replace(BEGUN, epoch=epoch), replace(REPORT, epoch=epoch)
    assert committed(begun, gone, "dev-dr") == (begun if goes_on else None)
    assert over(report, "dev", gone, "dev-dr") == (report if goes_on else None)


def test_what_never_began_neither_goes_on_nor_is_over() -> None:
    assert committed(None, fold([MARK]), "dev-dr") is None
    assert over(None, "dev", fold([MARK]), "dev-dr") is None


def test_a_report_of_another_environment_is_none_of_this_one() -> None:
    assert over(replace(REPORT, environment="qa"), "dev", fold([MARK]), "dev-dr") is None


@pytest.mark.parametrize(
    ("choices", "said"),
    [(Choices(restore_point="rp-0"), "restore point rp-1"), (Choices(release="r0"), "release r1")],
)
def test_what_goes_on_goes_on_with_what_it_began_with(choices: Choices, said: str) -> None:
    evidence = Evidence(
        environment="dev",
        recovery="dev-dr",
        folded=fold([MARK]),
        ledger=LEDGER,
        release=choices.release or BEGUN.release,
        artifacts=(),
        inventory=None,
        wanted_volumes={},
        clients=Clients(),
        probe_name=lambda: SILENT,
        probe_region=lambda: SILENT,
        now=lambda: NOON,
    )
    with pytest.raises(InputError, match=said):
        survey(evidence, choices)


@pytest.mark.parametrize(
    ("entries", "mark"),
    [((), None), ((MARK,), MARK), ((MARK, FENCED), None), ((MARK, FENCED, MARKED_AGAIN), MARKED_AGAIN)],
)
def test_a_mark_is_in_force_until_it_is_fenced(entries: tuple[Entry, ...], mark: SupersededBy | None) -> None:
    assert fold(entries).mark_in_force == mark  # type: ignore[arg-type]
