"""Reads all that deciding about a replay takes; changes nothing."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from rekindle.aws import compute
from rekindle.aws.clients import Clients
from rekindle.aws.errors import is_answer, translated
from rekindle.backup import points
from rekindle.errors import InputError, RekindleError, Unreachable
from rekindle.inventory import Inventory, Stores
from rekindle.journal.entries import RestorePoint
from rekindle.journal.fold import Folded
from rekindle.journal.mirror import Mirror
from rekindle.journal.release import Artifact
from rekindle.parsing import nearest
from rekindle.replay.ledger import Ledger
from rekindle.replay.report import ReplayReport
from rekindle.replay.serving import PATIENCE
from rekindle.replay.situation import Answer, Begun, Choices, Identity, Situation


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Where a survey looks."""

    environment: str
    recovery: str
    folded: Folded  # of the lost environment
    ledger: Ledger | None  # of the recovery environment; None: it has no journal yet
    release: str | None
    artifacts: Sequence[Artifact]  # that the release fetches
    inventory: Inventory | None  # of the recovery environment; None: its stack has no outputs
    lost_identity: Identity | None
    recovery_identity: Identity
    wanted_volumes: dict[str, int]
    clients: Clients
    probe_name: Callable[[], Answer | None]
    probe_region: Callable[[], Answer]
    now: Callable[[], datetime]


def survey(evidence: Evidence, choices: Choices) -> Situation:
    """The situation; InputError for an unknown restore point, or other choices than the replay began with."""
    begun = committed(evidence.ledger.begun if evidence.ledger else None, evidence.folded, evidence.recovery)
    if begun and begun.release != evidence.release:
        raise InputError(
            f"this replay goes on with release {begun.release}, not with {evidence.release}",
            where=f"replay {evidence.environment} --to {evidence.recovery}",
            next_step="Ask for that release, or for none.",
        )
    if begun and choices.restore_point not in (None, begun.restore_point):
        raise InputError(
            f"this replay goes on with restore point {begun.restore_point or 'none'}", next_step="Omit --restore-point."
        )
    point = restore_point(evidence.folded, begun.restore_point if begun else choices.restore_point)
    stores = evidence.inventory.stores if evidence.inventory else None
    with ThreadPoolExecutor() as pool:  # what is lost is slow to say so
        name, region = pool.submit(evidence.probe_name), pool.submit(evidence.probe_region)
        copies = pool.submit(_whole_copies, evidence.clients, stores, point)
        missing = pool.submit(_missing, evidence, stores)
        key = pool.submit(_key_problem, evidence.clients, stores)
    return Situation(
        environment=evidence.environment,
        recovery=evidence.recovery,
        lost_identity=evidence.lost_identity,
        recovery_identity=evidence.recovery_identity,
        standing_name=evidence.inventory.public_name if evidence.inventory else None,
        now=evidence.now(),
        release=evidence.release,
        restore_point=point,
        restore_points=tuple(p.id for p in evidence.folded.restore_points.values() if p.status == "complete"),
        whole_copies=copies.result(),
        wanted_volumes=evidence.wanted_volumes,
        missing_artifacts=missing.result(),
        key_problem=key.result(),
        stores=stores,
        public_name=name.result(),
        region_api=region.result(),
        running=tuple(host.name for host in evidence.inventory.hosts) if evidence.inventory else (),
        superseded=evidence.folded.mark_in_force,
        last_epoch=evidence.folded.superseded.epoch if evidence.folded.superseded else 0,
        begun=begun,
    )


def restore_point(folded: Folded, chosen: str | None) -> RestorePoint | None:
    """The restore point of that id, or the latest one; only complete ones count."""
    if chosen is None:
        return points.latest(folded)
    whole = {p.id: p for p in folded.restore_points.values() if p.status == "complete"}
    if chosen not in whole:
        raise InputError(f"there is no complete restore point {chosen}; {nearest(chosen, whole)}")
    return whole[chosen]


def region_answers(region: str | None) -> Answer:
    """Whether EC2 of a region answers; one quick question, for a lost region keeps silent."""
    if region is None:
        return Answer(is_serving=False, is_known=False, said="its region is not known")
    client = Clients(attempts=1, connect_seconds=PATIENCE, read_seconds=PATIENCE).ec2(region)
    try:
        with translated(client):
            client.describe_availability_zones()
    except RekindleError as error:
        is_silent = isinstance(error, Unreachable) and not is_answer(error)
        return Answer(is_serving=is_answer(error), is_known=is_answer(error) or is_silent, said=error.what)
    return Answer(is_serving=True, said="it answers")


def committed(begun: Begun | None, gone: Folded, recovery: str) -> Begun | None:
    """The replay that goes on: one whose mark is on the lost environment. Before that it changed nothing."""
    return begun if begun and _is_marked(gone, recovery, begun.epoch) else None


def over(report: ReplayReport | None, environment: str, gone: Folded, recovery: str) -> ReplayReport | None:
    """The report of a replay of this environment that is over, while its mark is in force; later ones begin anew."""
    if report is None or report.environment != environment:
        return None
    return report if _is_marked(gone, recovery, report.epoch) else None


def _is_marked(gone: Folded, recovery: str, epoch: int) -> bool:
    mark = gone.mark_in_force
    return mark is not None and (mark.environment, mark.epoch) == (recovery, epoch)


def _whole_copies(clients: Clients, stores: Stores | None, point: RestorePoint | None) -> frozenset[str]:
    ids = [v.copy_id for v in point.volumes if v.copy_id] if point else []
    if stores is None or not ids:
        return frozenset()
    found = compute.snapshots(clients.ec2(stores.region), ids=ids)
    return frozenset(s.snapshot_id for s in found if s.state == "completed")


def _missing(evidence: Evidence, stores: Stores | None) -> tuple[str, ...]:
    if stores is None:
        return ()
    mirror = Mirror(evidence.clients, stores.mirror_bucket, stores.region)
    return tuple(artifact.name for artifact in mirror.missing(evidence.artifacts))


def _key_problem(clients: Clients, stores: Stores | None) -> str:
    if stores is None:
        return ""
    client = clients.kms(stores.region)
    try:
        with translated(client):
            state = client.describe_key(KeyId=stores.kms_key_arn)["KeyMetadata"]["KeyState"]
    except RekindleError as error:
        return error.what
    return "" if state == "Enabled" else f"it is {state}"
