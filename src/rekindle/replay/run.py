"""Plans a replay and runs it, with everything bound to the rooms that do the work."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from pydantic import JsonValue

from rekindle import environment as environments
from rekindle import infrastructure, packages
from rekindle.aws import compute
from rekindle.environment.settings import RESTORE_KEY, STANDBY_KEY
from rekindle.errors import InputError, Refused
from rekindle.infrastructure import Lookup, Project, Recorded
from rekindle.journal.entries import Fenced, SupersededBy
from rekindle.journal.journal import Journal
from rekindle.operation import Operation, stores_of
from rekindle.packages import Package
from rekindle.replay import checks
from rekindle.replay.carry_out import Action, carry_out
from rekindle.replay.ledger import ANSWERS_SINCE, Ledger
from rekindle.replay.opening import Lost, Request, evidence, lost, recovered
from rekindle.replay.planning import Phase, ReplayPlan, plan_of
from rekindle.replay.public_name import PublicName
from rekindle.replay.report import ReplayReport
from rekindle.replay.situation import Situation
from rekindle.replay.survey import over, survey
from rekindle.replay.switch import await_switched, switch
from rekindle.replay.verbs import Apply, Verbs


def plan(request: Request) -> ReplayPlan:
    """What `run` would do, with all that forbids it; changes nothing but the folder, if it is not `only_plan`."""
    with lost(request, changes=False) as gone, recovered(request, gone, changes=False) as operation:
        return plan_of(survey(evidence(request, gone, operation), request.choices), request.choices)


def run(request: Request, verbs: Verbs) -> ReplayReport:
    """Rebuilds the lost environment as the recovery environment; a replay that is over is only reported.

    Refused, with every problem named and nothing changed, if the plan has any.
    """
    started = request.now()
    with lost(request, changes=True) as gone, recovered(request, gone, changes=True) as operation:
        if operation is None:
            return _refused(request, gone)
        ledger = Ledger.read(operation.journal)
        if report := over(ledger.report, request.environment, gone.journal.fold(), request.recovery):
            return report
        situation = survey(evidence(request, gone, operation), request.choices)
        return _carried_out(request, gone, operation, verbs, ledger, situation, started)


def last(journal: Journal) -> ReplayReport | None:
    """The report of the replay that built this journal's environment, None if there was none."""
    return Ledger.read(journal).report


def _refused(request: Request, gone: Lost) -> ReplayReport:
    planned = plan_of(survey(evidence(request, gone, None), request.choices), request.choices)
    planned.require_possible()
    raise Refused(f"{request.recovery} does not stand by", where=f"stack {request.recovery}")


def _carried_out(
    request: Request,
    gone: Lost,
    operation: Operation,
    verbs: Verbs,
    ledger: Ledger,
    situation: Situation,
    started: datetime,
) -> ReplayReport:
    planned = plan_of(situation, request.choices)
    planned.require_possible()
    if situation.begun and not situation.running and Phase.INFRASTRUCTURE in ledger.done:
        ledger.begin(request.environment, situation.begun)  # what was built is gone: build it again
    work = Work(request=request, gone=gone, operation=operation, verbs=verbs, planned=planned, situation=situation)
    if Phase.INFRASTRUCTURE in ledger.done:  # perhaps by a run from another folder
        infrastructure.configure(Project(directory=gone.folder), request.recovery, work.settings)
    return carry_out(
        planned,
        request.choices,
        work.actions(),
        ledger,
        request.progress,
        restore_point=situation.restore_point,
        started=started,
        folder=str(gone.folder),
        now=request.now,
    )


@dataclass
class Work:
    """The phases of one replay, each an action that may be repeated."""

    request: Request
    gone: Lost
    operation: Operation
    verbs: Verbs
    planned: ReplayPlan
    situation: Situation

    def actions(self) -> Mapping[Phase, Action]:
        return {
            Phase.SUPERSEDE: self.supersede,
            Phase.INFRASTRUCTURE: self.build,
            Phase.SECRETS: self.keep_secrets,
            Phase.CLUSTER: self.bootstrap,
            Phase.DATA_SERVICES: self.start_data_services,
            Phase.SERVICES: partial(self.apply, names=None, suspend=True),
            Phase.CHECKS: self.check,
            Phase.PUBLIC_NAME: self.move_name,
            Phase.SUSPENDED: self.release_suspended,
        }

    def supersede(self) -> dict[str, JsonValue]:
        """From now on every command on the lost environment refuses."""
        mark = self.gone.journal.fold().superseded
        if mark is None or (mark.environment, mark.epoch) != (self.planned.recovery, self.planned.epoch):
            self.gone.journal.append(SupersededBy(environment=self.planned.recovery, epoch=self.planned.epoch))
        return {}

    def build(self) -> dict[str, JsonValue]:
        """Hosts, and volumes from snapshots, by the program of the release."""
        self.operation.releases.save(self.gone.release)
        self.operation.journal.append(self.gone.release.entry("replay"))
        infrastructure.up(
            Project(directory=self.gone.folder),
            self.planned.recovery,
            Recorded(self.operation.journal, self.planned.recovery),
            Lookup(self.request.clients, self._region),
            self.request.progress.tell,
            config=self.settings,
        )
        self.fence_former_hosts()
        return {}

    def fence_former_hosts(self) -> None:
        """Commands on the recovery environment work, even if another once took its place."""
        journal = self.operation.journal
        if mark := journal.fold().mark_in_force:
            # the mark was for its former hosts: it had none when this replay began, and these are new
            journal.append(Fenced(epoch=mark.epoch, evidence=f"rebuilt on new hosts from {self.planned.environment}"))

    @property
    def settings(self) -> dict[str, str]:
        """What makes the environment that stands by one that runs, on the restored volumes."""
        return {STANDBY_KEY: "false", RESTORE_KEY: json.dumps(self.planned.restores, sort_keys=True)}

    def keep_secrets(self) -> dict[str, JsonValue]:
        """The recovery environment has the lost one's secrets, under its own key."""
        for name in self.gone.secrets.names():
            self.operation.secrets.set(name, self.gone.secrets.get(name))
        return {}

    def bootstrap(self) -> dict[str, JsonValue]:
        self.verbs.bootstrap(self._standing())
        return {}

    def start_data_services(self) -> dict[str, JsonValue]:
        """Services on restored volumes, once each is proven to be from its own snapshot, and alone of its name."""
        client = self.request.clients.ec2(self._region)
        standing = self._standing()
        found = compute.volumes(client, ids=[v.volume_id for v in standing.inventory.volumes])
        checks.require_restored(self.planned.restores, {v.tags.get("Name", ""): v for v in found})
        names = sorted(v.name for v in standing.inventory.volumes)
        checks.require_single(v for name in names for v in compute.volumes(client, tags={"Name": name}))
        holders = {p.name for p in packages.load(self.gone.folder / "packages", self.planned.recovery) if p.spec.backup}
        return self.apply(names=frozenset(holders), suspend=True)

    def apply(self, *, names: frozenset[str] | None, suspend: bool) -> dict[str, JsonValue]:
        standing = self._standing()
        found = packages.load(self.gone.folder / "packages", self.planned.recovery)
        known = packages.holders(found, self.planned.restores)
        wanted = Apply(packages=names, suspend_outbound=suspend, known=known)
        self.verbs.apply(standing, wanted)
        return {}

    def check(self) -> dict[str, JsonValue]:
        """What came back is at least what was promised; of a group that lost a volume nothing is promised any more."""
        point = self.situation.restore_point
        hurt = {p.name for p in self._packages() if p.spec.backup and self._accepted & set(p.spec.backup.volumes)}
        promised = {group: said for group, said in (point.barrier if point else {}).items() if group not in hurt}
        if promised:
            checks.require_barrier(promised, self.verbs.barriers(self._standing()))
        return {}

    def move_name(self) -> dict[str, JsonValue]:
        """The public name leads here, and is answered."""
        inventory = self._standing().inventory
        planned, stores = self.planned, stores_of(inventory)
        turn = partial(switch, self.request.clients, stores, planned.environment, planned.recovery)
        turn()
        if inventory.public_name:
            await_switched(PublicName(inventory.public_name), inventory, self.request.progress.tell, turn)
        return {ANSWERS_SINCE: self.request.now().isoformat()}

    def release_suspended(self) -> dict[str, JsonValue]:
        """What acts on the outside does so again, now that only this environment can."""
        if not any(package.spec.outbound for package in self._packages()):
            return {}
        return self.apply(names=None, suspend=False)

    def _standing(self) -> Operation:
        """The operation with what stands now that it was built."""
        if not self.operation.inventory.hosts:
            built = infrastructure.inventory(Project(directory=self.gone.folder), self.planned.recovery)
            self.operation = replace(self.operation, inventory=built)
        return self.operation

    @property
    def _accepted(self) -> frozenset[str]:
        before = self.situation.begun.accepted if self.situation.begun else ()
        return self.request.choices.accept_loss | frozenset(before)

    def _packages(self) -> tuple[Package, ...]:
        values = environments.load(self.gone.folder, self.planned.recovery).values
        return packages.load(self.gone.folder / "packages", self.planned.recovery, values)

    @property
    def _region(self) -> str:
        if self.operation.inventory.region is None:
            raise InputError("it has no region", where=f"inventory of {self.planned.recovery}")
        return self.operation.inventory.region
