"""What a replay will do, what it will lose, what cannot be undone, and what forbids it. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from rekindle.backup import points
from rekindle.errors import InputError, Refused
from rekindle.parsing import nearest
from rekindle.replay.situation import Choices, Identity, Situation

ALL_DATA = "restore-point"  # accepted as lost: begin with empty volumes


class Phase(StrEnum):
    """The phases of a replay, in the order that must hold."""

    SUPERSEDE = "supersede"
    INFRASTRUCTURE = "infrastructure"
    SECRETS = "secrets"
    CLUSTER = "cluster"
    DATA_SERVICES = "data services"
    SERVICES = "services"
    CHECKS = "checks"
    PUBLIC_NAME = "public name"
    SUSPENDED = "suspended services"


ABOUT = {
    Phase.SUPERSEDE: "{environment} is marked superseded by {recovery}, epoch {epoch}",
    Phase.INFRASTRUCTURE: "hosts of {recovery}, and its volumes from {copies} snapshots, each in the zone of its agent",
    Phase.SECRETS: "secrets of {environment} are kept for {recovery}",
    Phase.CLUSTER: "DC/OS on the hosts: masters behind the quorum gate, then agents",
    Phase.DATA_SERVICES: "services that hold data, after the identity of their volumes is checked",
    Phase.SERVICES: "all other services; what acts on the outside stays suspended",
    Phase.CHECKS: "every service is healthy, and all that was acknowledged before the barrier is there",
    Phase.PUBLIC_NAME: "the public name leads to {recovery}",
    Phase.SUSPENDED: "suspended services and jobs are released",
}

IRREVERSIBLE = (
    "{environment} is superseded: every command on it refuses until it is fenced",
    "what {recovery} accepts from the moment the public name moves exists only there",
    "{recovery} is a new cluster: its certificates, token keys and cluster id are new",
)

CLIENTS_RENEW = (
    "the cluster's CA certificate (clients that verify Admin Router)",
    "authentication tokens: users log in again, service accounts renew theirs by themselves",
    "the cluster id, where the DC/OS CLI or a monitor has it written down",
)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something that forbids the replay as things stand."""

    name: str  # as --accept-loss takes it, where it can be accepted
    what: str
    next_step: str
    is_loss: bool = False  # may be accepted by name


@dataclass(frozen=True, kw_only=True)
class PlannedPhase:
    """One phase and what it does, in words."""

    name: Phase
    what: str


@dataclass(frozen=True, kw_only=True)
class ReplayPlan:
    """A replay before it is done; nothing was changed to find it out."""

    environment: str
    recovery: str
    epoch: int
    release: str
    restore_point: str | None
    restored_to: datetime | None  # what was acknowledged before this moment will be there
    rpo_seconds: float | None  # between that and the disaster, or now where nobody knows when it was
    restores: dict[str, str]  # snapshot ids by volume name
    phases: tuple[PlannedPhase, ...]
    losses: tuple[str, ...]
    irreversible: tuple[str, ...]
    notes: tuple[str, ...]
    problems: tuple[Problem, ...]
    is_resumed: bool

    def require_possible(self) -> None:
        """Refused, with every problem named, unless there is none."""
        if not self.problems:
            return
        lines = "\n".join(f"  {p.name}: {p.what} {p.next_step}" for p in self.problems)
        raise Refused(
            f"this replay cannot begin; nothing was changed:\n{lines}",
            where=f"replay {self.environment} --to {self.recovery}",
            next_step=_how_to_accept(self.problems),
        )


def plan_of(situation: Situation, choices: Choices) -> ReplayPlan:
    """The plan for a situation; InputError for an accepted loss that is none."""
    found = tuple(_losses_found(situation))
    _refuse_unknown(choices.accept_loss, found, situation)
    accepted = {p.name for p in found} & (choices.accept_loss | _accepted_before(situation))
    restores = _restores(situation)
    epoch = _epoch(situation)
    words = {
        "environment": situation.environment,
        "recovery": situation.recovery,
        "epoch": epoch,
        "copies": len(restores),
    }
    restored_to = _restored_to(situation)
    return ReplayPlan(
        environment=situation.environment,
        recovery=situation.recovery,
        epoch=epoch,
        release=situation.release or "",
        restore_point=situation.restore_point.id if situation.restore_point else None,
        restored_to=restored_to,
        rpo_seconds=_rpo(situation, choices, restored_to),
        restores=restores,
        phases=tuple(PlannedPhase(name=phase, what=about.format(**words)) for phase, about in ABOUT.items()),
        losses=tuple(_losses(situation, found, accepted)),
        irreversible=tuple(line.format(**words) for line in IRREVERSIBLE),
        notes=tuple(_notes(situation, choices)),
        problems=(*_refusals(situation, choices), *(p for p in found if p.name not in accepted)),
        is_resumed=situation.begun is not None,
    )


def _refusals(situation: Situation, choices: Choices) -> Iterator[Problem]:
    """What no accepted loss can heal."""
    if situation.release is None:
        yield Problem(
            name="release",
            what="the journal has no release to rebuild from.",
            next_step="Was `rekindle apply` ever run, and is this its journal?",
        )
    if situation.stores is None:
        yield Problem(
            name=situation.recovery,
            what="its stack does not stand by: it has no outputs.",
            next_step=f"Run `pulumi up --stack {situation.recovery}` from the release's folder.",
        )
    if situation.key_problem:
        yield Problem(
            name="key",
            what=f"the key of the recovery region cannot be used: {situation.key_problem}.",
            next_step="Without it neither snapshots nor secrets can be opened; see its key policy.",
        )
    yield from _refusals_of_pair(situation)
    yield from _volumes_too_small(situation)
    yield from _refusals_of_state(situation, choices)


def _refusals_of_pair(situation: Situation) -> Iterator[Problem]:
    """A public name never leads to another environment's data: the two must be declared to belong together."""
    lost, recovery = situation.lost_identity, situation.recovery_identity
    if lost is None:
        yield Problem(
            name=situation.environment,
            what="its settings cannot be read from the release, so it cannot be told who stands by for it.",
            next_step=f"Is stacks/Pulumi.{situation.environment}.yaml in the release that is replayed?",
        )
        return
    if not _is_pair(situation, lost):
        yield Problem(
            name=situation.recovery,
            what=f"stands by for {recovery.recovers or 'nobody'}, not for {situation.environment}.",
            next_step=f"Replay onto the one whose settings say `recovers: {situation.environment}`"
            + (f", or back onto {lost.recovers}." if lost.recovers else "."),
        )
    for name in sorted({recovery.public_name, situation.standing_name or lost.public_name} - {lost.public_name}):
        yield Problem(
            name=situation.recovery,
            what=f"its public name is {name}, that of {situation.environment} is {lost.public_name}: "
            "clients of the one would be given the data of the other.",
            next_step="Only environments that serve the same public name can take each other's place.",
        )


def _is_pair(situation: Situation, lost: Identity) -> bool:
    """The target recovers the lost one; or, going back, the lost one recovered the target."""
    return situation.recovery_identity.recovers == situation.environment or lost.recovers == situation.recovery


def _volumes_too_small(situation: Situation) -> Iterator[Problem]:
    """EC2 makes no volume that is smaller than its snapshot."""
    restored = _restores(situation)
    for volume in situation.restore_point.volumes if situation.restore_point else ():
        wanted = situation.wanted_volumes.get(volume.name, volume.size_gib)
        if volume.name in restored and wanted < volume.size_gib:
            yield Problem(
                name=volume.name,
                what=f"has {volume.size_gib} GiB in the restore point, {situation.recovery} declares {wanted} GiB.",
                next_step=f"Set its size_gib to {volume.size_gib} or more in stacks/Pulumi.{situation.recovery}.yaml "
                "of the unpacked release.",
            )


def _refusals_of_state(situation: Situation, choices: Choices) -> Iterator[Problem]:
    """Refusals because of what runs where."""
    if situation.begun:
        return  # its own hosts run there, and its own mark is on the old environment
    if situation.superseded:
        yield Problem(
            name=situation.environment,
            what=f"is superseded already, by {situation.superseded.environment}.",
            next_step=f"Replay {situation.superseded.environment} instead.",
        )
    if situation.running:
        yield Problem(
            name=situation.recovery,
            what=f"runs something already: {', '.join(situation.running)}.",
            next_step="Replay onto an environment that stands by, and has no hosts.",
        )
    if not choices.override_serving:
        yield from _refusals_of_name(situation)


def _refusals_of_name(situation: Situation) -> Iterator[Problem]:
    """Unless the old environment is known not to serve, replaying might split its data in two."""
    answer = situation.public_name
    if answer is None:
        yield from _refusals_without_name(situation)
    elif answer.is_serving:
        yield Problem(
            name="public name",
            what=f"still takes requests ({answer.said}): replaying now would split its data in two.",
            next_step=f"Stop {situation.environment} first, or say --override-serving if another gives these answers.",
        )
    elif not answer.is_known:
        yield Problem(
            name="public name",
            what=f"whether {situation.environment} still serves cannot be told ({answer.said}).",
            next_step="Look at the name from elsewhere, mend this machine's resolver or network if it is at fault, "
            "or say --override-serving if you know that the old one is dead.",
        )


def _refusals_without_name(situation: Situation) -> Iterator[Problem]:
    """Only its region's API can say anything of an environment that nobody can ask by name."""
    if situation.region_api.is_serving or not situation.region_api.is_known:
        yield Problem(
            name="public name",
            what=f"there is none to ask, and the API of {situation.environment}'s region does not say that it is "
            f"lost ({situation.region_api.said}).",
            next_step=f"Stop {situation.environment}, then say --override-serving.",
        )


def _losses_found(situation: Situation) -> Iterator[Problem]:
    """What should be there and is not; each may be accepted by its name."""
    if situation.restore_point is None:
        yield Problem(
            name=ALL_DATA,
            what="there is no complete restore point: all volumes would begin empty.",
            next_step="",
            is_loss=True,
        )
    for volume in situation.restore_point.volumes if situation.restore_point else ():
        if volume.name not in situation.wanted_volumes:
            what = f"is in the restore point, but {situation.recovery} declares no such volume."
        elif volume.copy_id not in situation.whole_copies:
            what = f"its snapshot {volume.copy_id} is not in the recovery region, or is not whole."
        else:
            continue
        yield Problem(name=volume.name, what=what, next_step="", is_loss=True)
    for artifact in situation.missing_artifacts:
        yield Problem(name=artifact, what="is not in the mirror, or is not whole.", next_step="", is_loss=True)


def _losses(situation: Situation, found: tuple[Problem, ...], accepted: set[str]) -> Iterator[str]:
    """What will be lost, in words."""
    moment = _restored_to(situation)
    if situation.restore_point and moment:
        yield f"whatever was written after {moment:%F %T} UTC (restore point {situation.restore_point.id})"
        if situation.restore_point.consistency != points.FROZEN:
            yield "what the restore point's volumes had not flushed: it was taken without the freeze"
    for problem in found:
        if problem.name in accepted:
            yield f"{problem.name}, as accepted: {problem.what}"


def _notes(situation: Situation, choices: Choices) -> Iterator[str]:
    yield f"the lost region's API: {situation.region_api.said}"
    yield f"the public name: {situation.public_name.said if situation.public_name else 'there is none'}"
    if situation.region_api.is_serving:
        yield f"hosts of {situation.environment} may still run: fence them before that region's network comes back"
    if not situation.begun and any(p.name in _restored_names(situation) for p in _losses_found(situation)):
        yield from _other_points(situation)
    for name in sorted(situation.wanted_volumes.keys() - _restored_names(situation)):
        yield f"volume {name} is in no restore point and begins empty"
    if situation.begun:
        yield f"goes on with the replay that began at {situation.begun.started:%F %T} UTC"
    if choices.failed_since is None:
        yield "nobody said when it failed: RPO is counted up to now (--failed-since gives the moment)"
    yield f"{situation.recovery} will be unprotected: its journal and snapshots are in its own region"
    yield "restored EBS volumes load lazily: on AWS the first reads are slower than what a rehearsal measures"


def _other_points(situation: Situation) -> Iterator[str]:
    """What else could be restored; whether its copies are still whole is looked up once it is chosen."""
    chosen = situation.restore_point.id if situation.restore_point else None
    others = [id for id in reversed(situation.restore_points) if id != chosen]
    if others:
        yield f"other complete restore points, newest first: {', '.join(others)} (--restore-point ID)"


def _refuse_unknown(accepted: frozenset[str], found: tuple[Problem, ...], situation: Situation) -> None:
    names = {p.name for p in found}
    for name in sorted(accepted - names - _accepted_before(situation)):
        hint = nearest(name, names) if names else "nothing is missing"
        raise InputError(f"--accept-loss {name}: nothing of that name is missing; {hint}")


def _accepted_before(situation: Situation) -> frozenset[str]:
    return frozenset(situation.begun.accepted) if situation.begun else frozenset()


def _restores(situation: Situation) -> dict[str, str]:
    if situation.begun:
        return situation.begun.restores
    volumes = situation.restore_point.volumes if situation.restore_point else ()
    return {
        v.name: v.copy_id
        for v in volumes
        if v.copy_id in situation.whole_copies and v.name in situation.wanted_volumes and v.copy_id
    }


def _restored_names(situation: Situation) -> set[str]:
    return {v.name for v in situation.restore_point.volumes} if situation.restore_point else set()


def _epoch(situation: Situation) -> int:
    if situation.begun:
        return situation.begun.epoch
    return situation.last_epoch + 1


def _restored_to(situation: Situation) -> datetime | None:
    """What was acknowledged before this moment comes back; None if nothing does."""
    return points.barrier_at(situation.restore_point) if situation.restore_point else None


def _rpo(situation: Situation, choices: Choices, restored_to: datetime | None) -> float | None:
    if restored_to is None:
        return None
    return max(0.0, ((choices.failed_since or situation.now) - restored_to).total_seconds())


def _how_to_accept(problems: tuple[Problem, ...]) -> str:
    losses = " ".join(f"--accept-loss {p.name}" for p in problems if p.is_loss)
    return f"To go on without what is missing: {losses}" if losses else ""
