"""What a replay decides, as tables: a situation and choices in, problems, losses and restores out."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rekindle.backup import points
from rekindle.errors import InputError, Refused
from rekindle.inventory import Stores, SwitchAlarm
from rekindle.journal.entries import RestorePoint, SupersededBy, VolumeCopy
from rekindle.replay.planning import Phase, plan_of
from rekindle.replay.situation import Answer, Begun, Choices, Identity, Situation

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SILENT = Answer(is_serving=False, said="no answer: timed out")
SERVING = Answer(is_serving=True, said="answered 200")
UNTOLD = Answer(is_serving=False, is_known=False, said="its address cannot be found out: try again")


def copy_of(name: str) -> VolumeCopy:
    return VolumeCopy(
        name=name,
        volume_id=f"vol-{name}",
        az="us-east-1a",
        size_gib=1,
        service=name,
        snapshot_id=f"snap-{name}",
        copy_id=f"copy-{name}",
        copy_region="us-west-2",
        state="complete",
    )


POINT = RestorePoint(
    id="rp-1",
    release="r1",
    status="complete",
    consistency=points.FROZEN,
    barrier={"kafka": {"at": (NOON - timedelta(minutes=10)).isoformat(), "said": {"offsets": {"0": 5}}}},
    volumes=(copy_of("kafka-1"), copy_of("kafka-2")),
    started=NOON - timedelta(minutes=10),
)
READY = Situation(
    environment="dev",
    recovery="dev-dr",
    lost_identity=Identity(recovers=None, public_name="orders.example"),
    recovery_identity=Identity(recovers="dev", public_name="orders.example"),
    standing_name="orders.example",
    now=NOON,
    release="r1",
    restore_point=POINT,
    restore_points=("rp-1",),
    whole_copies=frozenset({"copy-kafka-1", "copy-kafka-2"}),
    wanted_volumes={"kafka-1": 1, "kafka-2": 1},
    missing_artifacts=(),
    key_problem="",
    stores=Stores(
        region="us-west-2",
        journal_bucket="journal",
        mirror_bucket="mirror",
        artifacts_bucket="artifacts",
        switch=SwitchAlarm(kind="alarm", namespace="Rekindle/example"),
        kms_key_arn="arn:aws:kms:us-west-2:1:key/k",
    ),
    public_name=SILENT,
    region_api=SILENT,
    running=(),
    superseded=None,
)
BEGUN = Begun(
    epoch=1,
    release="r1",
    restore_point="rp-1",
    restores={"kafka-1": "copy-kafka-1"},
    started=NOON,
    failed_since=None,
    accepted=("kafka-2",),
)
MARK = SupersededBy(environment="dev-dr", epoch=1)
GROWN = POINT.model_copy(
    update={"volumes": (copy_of("kafka-1"), copy_of("kafka-2").model_copy(update={"size_gib": 8}))}
)


def problems(situation: Situation, choices: Choices | None = None) -> set[str]:
    return {problem.name for problem in plan_of(situation, choices or Choices()).problems}


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({}, set()),
        ({"release": None}, {"release"}),
        ({"stores": None}, {"dev-dr"}),
        ({"key_problem": "it is PendingDeletion"}, {"key"}),
        ({"public_name": SERVING}, {"public name"}),
        ({"public_name": UNTOLD}, {"public name"}),
        ({"running": ("master-1",)}, {"dev-dr"}),
        ({"superseded": MARK}, {"dev"}),
        ({"restore_point": None}, {"restore-point"}),
        ({"restore_point": None, "missing_artifacts": ("jre.tgz",)}, {"restore-point", "jre.tgz"}),
        ({"lost_identity": None}, {"dev"}),
        ({"public_name": None, "region_api": SERVING}, {"public name"}),
        ({"public_name": None, "region_api": UNTOLD}, {"public name"}),
        ({"public_name": None}, set()),  # nobody can be asked, and the region's API is silent
        ({"whole_copies": frozenset({"copy-kafka-1"})}, {"kafka-2"}),
        ({"wanted_volumes": {"kafka-2": 1}}, {"kafka-1"}),
        ({"wanted_volumes": {"kafka-1": 1, "kafka-2": 2}}, set()),  # a volume may grow
        ({"restore_point": GROWN}, {"kafka-2"}),
        ({"restore_point": GROWN, "begun": replace(BEGUN, restores=dict.fromkeys(["kafka-2"], "copy"))}, {"kafka-2"}),
        ({"restore_point": GROWN, "begun": BEGUN}, set()),  # accepted as lost, it begins empty
        ({"missing_artifacts": ("kafka.tgz", "jre.tgz")}, {"kafka.tgz", "jre.tgz"}),
        ({"whole_copies": frozenset(), "missing_artifacts": ("jre.tgz",)}, {"kafka-1", "kafka-2", "jre.tgz"}),
        ({"region_api": SERVING}, set()),
    ],
)
def test_every_gap_is_named_before_any_change(changed: dict[str, Any], named: set[str]) -> None:
    situation = replace(READY, **changed)
    assert problems(situation) == named
    if named:
        with pytest.raises(Refused) as refusal:
            plan_of(situation, Choices()).require_possible()
        assert all(name in str(refusal.value) for name in named)


@pytest.mark.parametrize(
    ("changed", "accepted", "left"),
    [
        ({"whole_copies": frozenset({"copy-kafka-1"})}, {"kafka-2"}, set()),
        ({"whole_copies": frozenset()}, {"kafka-2"}, {"kafka-1"}),
        ({"missing_artifacts": ("jre.tgz",)}, {"jre.tgz"}, set()),
        ({"restore_point": None}, {"restore-point"}, set()),
        ({"restore_point": None, "missing_artifacts": ("jre.tgz",)}, {"restore-point"}, {"jre.tgz"}),
        ({"restore_point": None, "missing_artifacts": ("jre.tgz",)}, {"restore-point", "jre.tgz"}, set()),
    ],
)
def test_a_loss_is_accepted_by_its_name_only(changed: dict[str, Any], accepted: set[str], left: set[str]) -> None:
    plan = plan_of(replace(READY, **changed), Choices(accept_loss=frozenset(accepted)))
    assert {p.name for p in plan.problems} == left
    assert all(any(name in loss for loss in plan.losses) for name in accepted)
    assert not accepted & plan.restores.keys()


def test_what_is_not_missing_cannot_be_accepted() -> None:
    with pytest.raises(InputError, match="kafka-3"):
        plan_of(READY, Choices(accept_loss=frozenset({"kafka-3"})))


def test_a_volume_that_is_too_small_names_both_sizes_and_the_file_and_is_no_loss_to_accept() -> None:
    grown = replace(READY, restore_point=GROWN)
    (problem,) = plan_of(grown, Choices()).problems
    assert "has 8 GiB" in problem.what
    assert "declares 1 GiB" in problem.what
    assert "stacks/Pulumi.dev-dr.yaml" in problem.next_step
    with pytest.raises(InputError):
        plan_of(grown, Choices(accept_loss=frozenset({"kafka-2"})))


def test_a_key_that_cannot_be_used_is_no_loss_to_accept() -> None:
    with pytest.raises(InputError):
        plan_of(replace(READY, key_problem="it is Disabled"), Choices(accept_loss=frozenset({"key"})))


NAME, OTHER = "orders.example", "qa.example"


@pytest.mark.parametrize(
    ("recovers", "lost_recovers", "is_pair"),
    [
        ("dev", None, True),
        ("qa", None, False),  # it stands by for another
        (None, None, False),
        (None, "dev-dr", True),  # going back to whom it took the place of
        ("qa", "dev-dr", True),
        (None, "qa", False),
        ("dev", "dev-dr", True),
        ("dev-dr", None, False),
    ],
)
def test_only_a_declared_pair_takes_each_others_place(
    recovers: str | None, lost_recovers: str | None, is_pair: bool
) -> None:
    situation = replace(
        READY,
        lost_identity=Identity(recovers=lost_recovers, public_name=NAME),
        recovery_identity=Identity(recovers=recovers, public_name=NAME),
    )
    found = plan_of(situation, Choices(override_serving=True)).problems
    assert [p.name for p in found] == ([] if is_pair else ["dev-dr"])
    for problem in found:
        assert f"stands by for {recovers or 'nobody'}, not for dev" in problem.what
        assert "`recovers: dev`" in problem.next_step
        assert (lost_recovers or "back onto") in problem.next_step or not lost_recovers


@pytest.mark.parametrize(
    ("lost", "declared", "standing", "named"),
    [
        (NAME, NAME, NAME, None),
        (NAME, NAME, None, None),  # its stack has no outputs, which is another problem
        (NAME, OTHER, NAME, OTHER),
        (NAME, NAME, OTHER, OTHER),  # built before its settings were corrected
        (NAME, OTHER, OTHER, OTHER),
        (OTHER, NAME, NAME, NAME),
    ],
)
def test_a_public_name_never_leads_to_what_serves_another(
    lost: str, declared: str, standing: str | None, named: str | None
) -> None:
    situation = replace(
        READY,
        lost_identity=Identity(recovers=None, public_name=lost),
        recovery_identity=Identity(recovers="dev", public_name=declared),
        standing_name=standing,
    )
    found = plan_of(situation, Choices()).problems
    assert [p.name for p in found] == ([] if named is None else ["dev-dr"])
    for problem in found:
        assert f"its public name is {named}, that of dev is {lost}" in problem.what
    with_mark = replace(situation, begun=BEGUN, superseded=MARK)
    assert len(plan_of(with_mark, Choices()).problems) == len(found)  # not forgiven to one that goes on


@pytest.mark.parametrize("answer", [SERVING, UNTOLD, None])
def test_a_name_that_may_still_answer_is_overridden_only_by_saying_so(answer: Answer | None) -> None:
    serving = replace(READY, public_name=answer, region_api=SERVING)
    assert problems(serving) == {"public name"}
    assert problems(serving, Choices(override_serving=True)) == set()


def test_the_plan_says_what_comes_back_and_what_is_lost() -> None:
    plan = plan_of(READY, Choices(failed_since=NOON - timedelta(minutes=4)))
    assert plan.restores == {"kafka-1": "copy-kafka-1", "kafka-2": "copy-kafka-2"}
    assert plan.rpo_seconds == 360
    assert "2026-11-21 11:50:00 UTC" in plan.losses[0]
    assert [p.name for p in plan.phases] == list(Phase)
    assert any("unprotected" in note for note in plan.notes)
    assert any("superseded" in line for line in plan.irreversible)


def test_the_rpo_counts_up_to_now_where_nobody_knows_when_it_failed() -> None:
    assert plan_of(READY, Choices()).rpo_seconds == 600


def test_a_backup_without_the_freeze_is_called_what_it_is() -> None:
    crash = replace(READY, restore_point=POINT.model_copy(update={"consistency": points.CRASH}))
    assert any("without the freeze" in loss for loss in plan_of(crash, Choices()).losses)


def test_a_volume_of_no_restore_point_is_said_to_begin_empty() -> None:
    more = replace(READY, wanted_volumes={**READY.wanted_volumes, "new-1": 1})
    assert any("new-1" in note and "empty" in note for note in plan_of(more, Choices()).notes)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, set()),  # nothing is missing, so there is nothing to choose
        ({"whole_copies": frozenset({"copy-kafka-1"})}, {"rp-0, rp-00"}),
        ({"whole_copies": frozenset({"copy-kafka-1"}), "restore_points": ("rp-1",)}, set()),
        ({"whole_copies": frozenset({"copy-kafka-1"}), "begun": BEGUN}, set()),
        ({"missing_artifacts": ("jre.tgz",)}, set()),  # another restore point would not bring it
    ],
)
def test_other_restore_points_are_named_when_a_copy_is_missing(changed: dict[str, Any], said: set[str]) -> None:
    situation = replace(READY, **{"restore_points": ("rp-00", "rp-0", "rp-1"), **changed})
    notes = [note for note in plan_of(situation, Choices()).notes if "--restore-point" in note]
    assert {note.partition("first: ")[2].partition(" (")[0] for note in notes} == said


def test_a_replay_that_goes_on_is_not_refused_by_what_it_did_itself() -> None:
    resumed = replace(READY, begun=BEGUN, superseded=MARK, last_epoch=1, running=("master-1",), public_name=SERVING)
    plan = plan_of(resumed, Choices())
    assert not plan.problems
    assert plan.is_resumed
    assert plan.epoch == 1
    assert plan.restores == {"kafka-1": "copy-kafka-1"}


def test_losses_accepted_at_the_beginning_need_not_be_accepted_again() -> None:
    resumed = replace(READY, begun=BEGUN, superseded=MARK, whole_copies=frozenset({"copy-kafka-1"}))
    assert not plan_of(resumed, Choices()).problems


@pytest.mark.parametrize("at", ["yesterday", "2026-13-01T00:00:00", "2026-11-21T03:00:00"])
def test_a_barrier_of_no_moment_promises_none(at: str) -> None:
    odd = POINT.model_copy(update={"barrier": {"kafka": {"at": at, "said": {}}, "orders": {"at": NOON.isoformat()}}})
    assert plan_of(replace(READY, restore_point=odd), Choices()).restored_to == NOON


def test_no_problem_but_a_loss_is_told_how_to_accept() -> None:
    missing = replace(READY, missing_artifacts=("jre.tgz",), key_problem="it is Disabled")
    with pytest.raises(Refused) as refusal:
        plan_of(missing, Choices()).require_possible()
    assert refusal.value.next_step == "To go on without what is missing: --accept-loss jre.tgz"


@pytest.mark.parametrize(
    ("public_name", "region_api", "said"),
    [
        (SILENT, SILENT, ["the lost region's API: no answer: timed out", "the public name: no answer: timed out"]),
        (None, SILENT, ["the public name: there is none"]),
        (SILENT, SERVING, ["hosts of dev may still run: fence them before that region's network comes back"]),
    ],
)
def test_what_was_heard_is_told(public_name: Answer | None, region_api: Answer, said: list[str]) -> None:
    notes = plan_of(replace(READY, public_name=public_name, region_api=region_api), Choices()).notes
    assert not set(said) - set(notes)


ALWAYS = {
    "the lost region's API: no answer: timed out",
    "the public name: no answer: timed out",
    "dev-dr will be unprotected: its journal and snapshots are in its own region",
    "restored EBS volumes load lazily: on AWS the first reads are slower than what a rehearsal measures",
}
NOBODY_SAID = "nobody said when it failed: RPO is counted up to now (--failed-since gives the moment)"


@pytest.mark.parametrize(
    ("changed", "failed_since", "more"),
    [
        ({}, NOON, set()),
        ({}, None, {NOBODY_SAID}),
        ({"begun": BEGUN}, NOON, {"goes on with the replay that began at 2026-11-21 12:00:00 UTC"}),
        (
            {"wanted_volumes": {"kafka-1": 1, "kafka-2": 1, "b": 1, "a": 1}},
            NOON,
            {f"volume {name} is in no restore point and begins empty" for name in "ab"},
        ),
    ],
)
def test_what_is_noted_is_what_there_is_to_note(
    changed: dict[str, Any], failed_since: datetime | None, more: set[str]
) -> None:
    notes = plan_of(replace(READY, **changed), Choices(failed_since=failed_since)).notes
    assert set(notes) == ALWAYS | more
    assert len(notes) == len(set(notes))


@pytest.mark.parametrize(("changed", "is_resumed"), [({}, False), ({"begun": BEGUN}, True)])
def test_it_says_whether_it_goes_on(changed: dict[str, Any], is_resumed: bool) -> None:
    assert plan_of(replace(READY, **changed), Choices()).is_resumed is is_resumed


def test_without_a_release_it_names_none() -> None:
    assert plan_of(replace(READY, release=None), Choices()).release == ""


def test_what_cannot_be_accepted_is_told_with_what_could_be() -> None:
    with pytest.raises(InputError, match="nothing of that name is missing; nothing is missing"):
        plan_of(READY, Choices(accept_loss=frozenset({"kafka-3"})))
    missing = replace(READY, whole_copies=frozenset({"copy-kafka-1"}))
    with pytest.raises(InputError, match=r"nothing of that name is missing; .*kafka-2"):
        plan_of(missing, Choices(accept_loss=frozenset({"kafka-3"})))


def test_the_rpo_is_never_negative_and_absent_without_a_restore_point() -> None:
    assert plan_of(READY, Choices(failed_since=NOON - timedelta(hours=1))).rpo_seconds == 0
    assert plan_of(replace(READY, restore_point=None), Choices()).rpo_seconds is None


def test_an_environment_that_was_fenced_is_superseded_with_the_next_epoch() -> None:
    assert plan_of(replace(READY, last_epoch=3), Choices()).epoch == 4
