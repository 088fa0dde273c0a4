"""Carries plans out step by step, and holds the locks on the apps they touch."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from rehearsal.cluster.marathon.app import App
from rehearsal.cluster.marathon.instances import Instance
from rehearsal.cluster.marathon.plan import Action, Plan
from rehearsal.cluster.marathon.scheduler import Scheduler
from rehearsal.cluster.settings import Json
from rehearsal.cluster.store import Store

log = logging.getLogger(__name__)
DEPLOYMENTS = "/marathon/deployments"


@dataclass
class Deployment:
    """A plan under way."""

    plan: Plan
    current_step: int = 0
    current: tuple[Action, ...] = ()
    task: asyncio.Task[None] | None = None
    results: list[Json] = field(default_factory=list)

    def document(self, readiness: dict[str, Json]) -> Json:
        """As `GET /v2/deployments` shows it."""
        return {
            "id": self.plan.id, "version": self.plan.version, "affectedApps": self.plan.affected, "affectedPods": [],
            "steps": [{"actions": [action.document() for action in step]} for step in self.plan.steps],
            "currentActions": [
                {**action.document(), "readinessCheckResults": [
                    one for one in readiness.values() if one["taskId"].startswith(_prefix(action.app))]}
                for action in self.current
            ],
            "currentStep": self.current_step, "totalSteps": len(self.plan.steps),
        }  # fmt: skip


def _prefix(app_id: str) -> str:
    return app_id.strip("/").replace("/", "_") + ".instance-"


class Deployments:
    """All deployments of the leader."""

    def __init__(self, scheduler: Scheduler, store: Store) -> None:
        self.running: dict[str, Deployment] = {}
        self._scheduler = scheduler
        self._store = store

    async def recover(self) -> None:
        """Go on with what an earlier leader had begun."""
        for document in (await self._store.documents(DEPLOYMENTS)).values():
            plan_steps = tuple(tuple(Action(**action) for action in step) for step in document["steps"])
            self._run(Plan(id=document["id"], version=document["version"], original=document["original"],
                           target=document["target"], steps=plan_steps))  # fmt: skip

    def holding(self, app_ids: set[str]) -> list[str]:
        """Ids of the deployments that lock any of the apps."""
        return [name for name, one in self.running.items() if app_ids & set(one.plan.affected)]

    async def start(self, plan: Plan) -> None:
        """Begin a plan, having recorded it."""
        await self._store.write(f"{DEPLOYMENTS}/{plan.id}", {
            "id": plan.id, "version": plan.version, "original": plan.original, "target": plan.target,
            "steps": [[action.document() for action in step] for step in plan.steps],
        })  # fmt: skip
        self._run(plan)

    async def cancel(self, deployment_id: str) -> None:
        """Stop a deployment where it is."""
        deployment = self.running.pop(deployment_id, None)
        if deployment is None:
            return
        if deployment.task is not None:
            deployment.task.cancel()
        await self._ended(deployment, "deployment_failed")

    def stop(self) -> None:
        """Stop all, leaving their records for the next leader."""
        for deployment in self.running.values():
            if deployment.task is not None:
                deployment.task.cancel()

    def _run(self, plan: Plan) -> None:
        deployment = Deployment(plan=plan)
        self.running[plan.id] = deployment
        for step in plan.steps:
            for action in step:
                if action.action in {"StartApplication", "RestartApplication", "ScaleApplication"}:
                    self._hold(action.app)
        deployment.task = asyncio.get_running_loop().create_task(self._carry_out(deployment))

    def _hold(self, app_id: str) -> None:
        """Until its turn comes, an app keeps what it has."""
        current = [one for one in self._scheduler.active(app_id) if self._scheduler.is_current(one)]
        self._scheduler.targets[app_id] = len(current)

    async def _carry_out(self, deployment: Deployment) -> None:
        plan = deployment.plan
        self._scheduler.events.publish("deployment_info", plan={"id": plan.id, "version": plan.version},
                                       currentStep={"actions": []})  # fmt: skip
        for number, step in enumerate(plan.steps, 1):
            deployment.current_step, deployment.current = number, step
            await asyncio.gather(*(self._act(action) for action in step))
            self._scheduler.events.publish("deployment_step_success", plan={"id": plan.id, "version": plan.version},
                                           currentStep={"actions": [one.document() for one in step]})  # fmt: skip
        self.running.pop(plan.id, None)
        await self._ended(deployment, "deployment_success")

    async def _ended(self, deployment: Deployment, event: str) -> None:
        for app_id in deployment.plan.affected:
            if not self.holding({app_id}):
                self._scheduler.targets.pop(app_id, None)
        await self._store.delete(f"{DEPLOYMENTS}/{deployment.plan.id}")
        self._scheduler.events.publish(event, id=deployment.plan.id, plan={
            "id": deployment.plan.id, "version": deployment.plan.version})  # fmt: skip
        self._scheduler.poke()

    async def _act(self, action: Action) -> None:
        app = self._scheduler.apps.get(action.app)
        if action.action == "StopApplication":
            await self._until(lambda: not self._scheduler.of_app(action.app))
        elif app is None or action.action == "StartApplication":
            return
        elif action.action == "ScaleApplication":
            await self._scale(app)
        else:
            await self._restart(app)

    async def _scale(self, app: App) -> None:
        scheduler = self._scheduler

        def is_done() -> bool:
            active = scheduler.active(app.id)
            for instance in scheduler.kill_order(app, active)[: max(0, len(active) - app.instances)]:
                scheduler.kill(instance)
            serving = [one for one in active if scheduler.is_serving(one) and not one.is_killing]
            return len(serving) >= app.instances and len(scheduler.of_app(app.id)) <= app.instances

        scheduler.targets[app.id] = app.instances
        await self._until(is_done)

    async def _restart(self, app: App) -> None:
        """Replace the old instances as Marathon's TaskReplaceActor does: one old goes for each new that serves."""
        scheduler = self._scheduler
        scheduler.backoffs.pop(app.id, None)
        if app.instances == 0:
            await self._scale(app)
            return
        old = [one for one in scheduler.active(app.id) if not scheduler.is_current(one)]
        current = len(scheduler.active(app.id)) - len(old)
        kill_at_once, most = app.restart_strategy(len(old) + current)
        replaced: set[str] = set()

        def is_done() -> bool:
            new = [one for one in scheduler.active(app.id) if scheduler.is_current(one)]
            replaced.update(one.task_id for one in new if scheduler.is_serving(one))
            for instance in old[: kill_at_once + len(replaced)]:
                scheduler.kill(instance)
            left = self._present(old)
            scheduler.targets[app.id] = max(len(new), min(app.instances, most - left))
            scheduler.offers_changed()
            serving = sum(1 for one in new if scheduler.is_serving(one))
            return serving >= app.instances and left == 0

        await self._until(is_done)

    def _present(self, instances: list[Instance]) -> int:
        return sum(one.task_id in self._scheduler.instances for one in instances)

    async def _until(self, is_done: Callable[[], bool]) -> None:
        observer = self._scheduler.observer()
        try:
            self._scheduler.poke()
            while not is_done():
                observer.clear()
                await observer.wait()
        finally:
            self._scheduler.dismiss(observer)
