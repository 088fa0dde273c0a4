"""What a survey finds, as tables: marks, restore points and what AWS says in, the situation out."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, ReadTimeoutError
from test_planning import BEGUN, MARK, NOON, POINT, READY, SERVING, SILENT

from rekindle.errors import InputError
from rekindle.inventory import Host, Inventory, Ssh
from rekindle.journal.entries import Entry, Fenced, RestorePoint, SupersededBy
from rekindle.journal.fold import Folded, fold
from rekindle.journal.journal import Journal
from rekindle.journal.mirror import Mirror
from rekindle.journal.release import Artifact
from rekindle.replay import survey as surveys
from rekindle.replay.ledger import Ledger
from rekindle.replay.planning import plan_of
from rekindle.replay.report import ReplayReport
from rekindle.replay.situation import Choices, Identity
from rekindle.replay.survey import Evidence, committed, over, region_answers, restore_point, survey

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
    begun=BEGUN,
    attempt=1,
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


def test_a_replay_under_the_mark_of_another_environment_neither_goes_on_nor_is_over() -> None:
    assert committed(BEGUN, fold([MARK]), "qa") is None
    assert over(REPORT, "dev", fold([MARK]), "qa") is None


class Meta:
    """Of a boto3 client, what an error names."""

    service_model = SimpleNamespace(service_name="ec2")
    region_name = "us-west-2"


@dataclass
class Said:
    """EC2 and KMS of the recovery region, as far as a survey asks them."""

    snapshots: dict[str, str] = field(default_factory=dict)  # states by id
    key: str = "Enabled"
    error: Exception | None = None
    regions: list[str] = field(default_factory=list)
    meta: Any = Meta

    def ec2(self, region: str) -> "Said":
        self.regions.append(region)
        return self

    kms = s3 = ec2

    def get_paginator(self, operation: str) -> "Said":
        assert operation == "describe_snapshots"
        return self

    def paginate(self, *, Filters: list[dict[str, Any]], OwnerIds: list[str]) -> Iterator[dict[str, Any]]:
        ids = next(f["Values"] for f in Filters if f["Name"] == "snapshot-id")
        found = [_snapshot(id, state) for id, state in self.snapshots.items() if id in ids]
        yield {"Snapshots": found}

    def describe_key(self, *, KeyId: str) -> dict[str, Any]:
        if self.error:
            raise self.error
        return {"KeyMetadata": {"KeyState": self.key}}

    def describe_availability_zones(self) -> None:
        if self.error:
            raise self.error


def _snapshot(id: str, state: str) -> dict[str, Any]:
    return {"SnapshotId": id, "VolumeId": "vol-1", "State": state, "Progress": "", "VolumeSize": 1, "StartTime": NOON}


INVENTORY = Inventory(
    environment="dev-dr",
    region="us-west-2",
    cluster_name="dev",
    hosts=(),
    ssh=Ssh(user="a"),
    stores=READY.stores,
    public_name="orders.example",
)
HOST = Host(name="master-1", role="master", pool="m", zone="admin", az="us-west-2a", private_ip="10.0.0.1")
WHOLE = {"copy-kafka-1": "completed", "copy-kafka-2": "completed"}


def evidence(said: Said, *entries: Entry, **changes: Any) -> Evidence:
    known: dict[str, Any] = {
        "environment": "dev",
        "recovery": "dev-dr",
        "folded": fold((POINT, *entries)),  # type: ignore[arg-type]
        "ledger": None,
        "release": "r1",
        "artifacts": (),
        "inventory": INVENTORY,
        "lost_identity": Identity(recovers=None, public_name="orders.example"),
        "recovery_identity": Identity(recovers="dev", public_name="orders.example"),
        "wanted_volumes": {"kafka-1": 1, "kafka-2": 1},
        "clients": said,
        "probe_name": lambda: SILENT,
        "probe_region": lambda: SILENT,
        "now": lambda: NOON,
    }
    return Evidence(**{**known, **changes})


def test_a_survey_of_a_lost_environment_that_can_be_replayed_is_all_of_that() -> None:
    assert survey(evidence(Said(WHOLE)), Choices()) == READY


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"inventory": None}, {"stores": None, "standing_name": None, "whole_copies": frozenset()}),
        ({"inventory": INVENTORY.model_copy(update={"hosts": (HOST,)})}, {"running": ("master-1",)}),
        ({"inventory": INVENTORY.model_copy(update={"public_name": "qa.example"})}, {"standing_name": "qa.example"}),
        ({"probe_name": lambda: SERVING}, {"public_name": SERVING}),
        ({"probe_name": lambda: None}, {"public_name": None}),
        ({"probe_region": lambda: SERVING}, {"region_api": SERVING}),
        ({"lost_identity": None}, {"lost_identity": None}),
        ({"release": None}, {"release": None}),
        ({"folded": Folded()}, {"restore_point": None, "restore_points": (), "whole_copies": frozenset()}),
    ],
)
def test_each_thing_that_is_looked_at_is_told(changes: dict[str, Any], found: dict[str, Any]) -> None:
    assert survey(evidence(Said(WHOLE), **changes), Choices()) == replace(READY, **found)


@pytest.mark.parametrize("state", ["pending", "error", "recoverable", "recovering"])
def test_only_a_completed_copy_is_whole(state: str) -> None:
    found = survey(evidence(Said({"copy-kafka-1": "completed", "copy-kafka-2": state})), Choices())
    assert found.whole_copies == {"copy-kafka-1"}
    assert [p.name for p in plan_of(found, Choices()).problems] == ["kafka-2"]


def test_copies_are_looked_for_where_the_stores_are() -> None:
    said = Said(WHOLE)
    survey(evidence(said), Choices())
    assert set(said.regions) == {"us-west-2"}


@pytest.mark.parametrize("state", ["Disabled", "PendingDeletion", "PendingImport", "Unavailable"])
def test_a_key_that_opens_nothing_is_a_problem(state: str) -> None:
    found = survey(evidence(Said(WHOLE, key=state)), Choices())
    assert found.key_problem == f"it is {state}"
    assert [p.name for p in plan_of(found, Choices()).problems] == ["key"]


def test_a_key_that_may_not_be_used_is_a_problem() -> None:
    denied = ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "DescribeKey")
    assert "AccessDenied" in survey(evidence(Said(WHOLE, error=denied)), Choices()).key_problem


def test_what_the_mirror_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    jre = Artifact(name="jre.tgz", url="", sha256="0" * 64, size=1)
    monkeypatch.setattr(Mirror, "missing", lambda self, artifacts: list(artifacts))
    assert survey(evidence(Said(WHOLE), artifacts=(jre,)), Choices()).missing_artifacts == ("jre.tgz",)
    assert survey(evidence(Said(WHOLE), artifacts=(jre,), inventory=None), Choices()).missing_artifacts == ()


@pytest.mark.parametrize(
    ("marks", "epoch", "in_force"),
    [
        ((), 1, None),
        ((MARK, FENCED), 2, None),  # lost again after a failback: the old fence may not lift the new mark
        ((MARK, FENCED, MARKED_AGAIN, Fenced(epoch=2)), 3, None),
        ((MARK,), 2, MARK),
    ],
)
def test_a_loss_has_an_epoch_that_none_before_it_had(
    marks: tuple[Entry, ...], epoch: int, in_force: SupersededBy | None
) -> None:
    found = survey(evidence(Said(WHOLE), *marks), Choices())
    assert (found.superseded, plan_of(found, Choices()).epoch) == (in_force, epoch)


def test_a_replay_that_goes_on_keeps_what_it_began_with() -> None:
    found = survey(evidence(Said(WHOLE), MARK, ledger=LEDGER), Choices())
    assert found.begun == BEGUN
    older = POINT.model_copy(update={"id": "rp-0", "started": NOON - timedelta(hours=2)})
    newer = POINT.model_copy(update={"id": "rp-2", "started": NOON})
    begun = replace(LEDGER, begun=replace(BEGUN, restore_point="rp-0"))
    found = survey(evidence(Said(WHOLE), older, newer, MARK, ledger=begun), Choices())
    assert found.restore_point == older


def test_a_replay_that_began_without_a_mark_begins_anew() -> None:
    assert survey(evidence(Said(WHOLE), ledger=LEDGER), Choices()).begun is None


@pytest.mark.parametrize(
    ("choices", "release", "said"),
    [
        (Choices(restore_point="rp-0"), "r1", "restore point rp-1"),
        (Choices(), "r0", "release r1, not with r0"),
    ],
)
def test_what_goes_on_goes_on_with_what_it_began_with(choices: Choices, release: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        survey(evidence(Said(WHOLE), MARK, ledger=LEDGER, release=release), choices)


def points_of(**statuses: str) -> Folded:
    made = [
        POINT.model_copy(update={"id": id, "status": status, "started": NOON + timedelta(minutes=number)})
        for number, (id, status) in enumerate(statuses.items())
    ]
    return fold(made)


@pytest.mark.parametrize(
    ("chosen", "taken"),
    [(None, "b"), ("a", "a"), ("b", "b"), ("c", None), ("d", None), ("x", None)],
)
def test_only_a_complete_restore_point_is_taken(chosen: str | None, taken: str | None) -> None:
    folded = points_of(a="complete", b="complete", c="pending", d="failed")
    if taken is None:
        with pytest.raises(InputError, match=f"no complete restore point {chosen}"):
            restore_point(folded, chosen)
        return
    point = restore_point(folded, chosen)
    assert isinstance(point, RestorePoint)
    assert point.id == taken
    assert survey(evidence(Said(), folded=folded), Choices()).restore_points == ("a", "b")


SILENCE = [EndpointConnectionError(endpoint_url="https://ec2"), ReadTimeoutError(endpoint_url="https://ec2")]
ANSWERS = [
    ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "DescribeAvailabilityZones")
    for code, status in [("UnauthorizedOperation", 403), ("InternalError", 500), ("RequestLimitExceeded", 503)]
]


@pytest.mark.parametrize(
    ("error", "is_serving", "is_known"),
    [
        (None, True, True),
        *((silence, False, True) for silence in SILENCE),
        *((answer, True, True) for answer in ANSWERS),  # an API that refuses or errs is no lost region
        (NoCredentialsError(), False, False),  # nobody asked it
    ],
)
def test_a_region_is_lost_only_by_its_silence(
    monkeypatch: pytest.MonkeyPatch, error: Exception | None, is_serving: bool, is_known: bool
) -> None:
    monkeypatch.setattr(surveys, "Clients", lambda **limits: Said(error=error))
    answer = region_answers("us-east-1")
    assert (answer.is_serving, answer.is_known) == (is_serving, is_known)


def test_a_region_that_nobody_knows_is_not_lost() -> None:
    assert not region_answers(None).is_known


@pytest.mark.parametrize(
    ("entries", "mark"),
    [((), None), ((MARK,), MARK), ((MARK, FENCED), None), ((MARK, FENCED, MARKED_AGAIN), MARKED_AGAIN)],
)
def test_a_mark_is_in_force_until_it_is_fenced(entries: tuple[Entry, ...], mark: SupersededBy | None) -> None:
    assert fold(entries).mark_in_force == mark  # type: ignore[arg-type]
