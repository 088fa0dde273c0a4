"""One of the cuts that the script makes by the hundred: it does no harm, and finds what was broken on purpose."""

import sys

import pytest
from cuts import SCENARIOS, Trials, Way, begun

from rekindle.aws.clients import Clients
from rekindle.journal.entries import SupersededBy

WORK = sys.modules["rekindle.replay.run"].Work  # the package's own `run` is the function
CUT = ("PutObject journal dev", Way.AFTER)


def supersede_again(work: WORK) -> dict[str, object]:
    work.gone.journal.append(SupersededBy(environment=work.planned.recovery, epoch=work.planned.epoch))
    return {}


@pytest.mark.integration  # two replays in a region of their own, cut and gone on with
@pytest.mark.parametrize(
    ("is_broken", "harm"), [(False, []), (True, ["the lost environment's marks are [1, 1]"])], ids=["whole", "broken"]
)
def test_a_mark_that_is_made_twice_is_found(monkeypatch: pytest.MonkeyPatch, is_broken: bool, harm: list[str]) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    if is_broken:
        monkeypatch.setattr(WORK, "supersede", supersede_again)
    with begun(SCENARIOS[0], Clients()) as world:
        assert Trials(SCENARIOS[0], world).harm(CUT) == harm
