"""Keeps as many instances of each app running as are wanted at the moment: launches, health, restarts, kills."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from dataclasses import dataclass, field

import aiohttp

from rehearsal.cluster.marathon import matching
from rehearsal.cluster.marathon.app import App
from rehearsal.cluster.marathon.events import EventBus
from rehearsal.cluster.marathon.instances import RUNNING, STARTING, Instance
from rehearsal.cluster.marathon.matching import Match, Offer
from rehearsal.cluster.marathon.task_info import check_port, task_info
from rehearsal.cluster.marathon.validation import port_list
from rehearsal.cluster.mesos import probes
from rehearsal.cluster.mesos.agent import TERMINAL
from rehearsal.cluster.mesos.master import AgentRecord, MesosMaster, TaskRecord
from rehearsal.cluster.mesos.resources import Resources, of_ports, ports_of
from rehearsal.cluster.settings import Json
from rehearsal.cluster.store import Store
from rehearsal.cluster.times import timestamp

log = logging.getLogger(__name__)
INSTANCES = "/marathon/instances"
FAILED = frozenset({"TASK_FAILED", "TASK_DROPPED", "TASK_ERROR", "TASK_LOST", "TASK_GONE", "TASK_FINISHED"})
STAGING_SECONDS = 300.0  # Marathon's --task_launch_timeout


@dataclass
class Waiting:
    """An app's place in the launch queue."""

    since: float
    count: int = 0
    processed: int = 0
    unused: int = 0
    last_unused_at: float | None = None
    last_used_at: float | None = None
    last_matches: list[tuple[Offer, Match]] = field(default_factory=list)


@dataclass
class Backoff:
    """How long an app that keeps failing must wait."""

    delay: float
    until: float


class Scheduler:
    """Marathon as a Mesos framework, while it leads."""

    name = "marathon"
    role = "slave_public"

    def __init__(self, mesos: MesosMaster, store: Store, session: aiohttp.ClientSession, events: EventBus) -> None:
        self.framework_id = ""
        self.apps: dict[str, App] = {}
        self.instances: dict[str, Instance] = {}
        self.queue: dict[str, Waiting] = {}
        self.backoffs: dict[str, Backoff] = {}
        self.failures: dict[str, Json] = {}
        self.targets: dict[str, int] = {}
        self.readiness: dict[str, Json] = {}
        self.events = events
        self._mesos = mesos
        self._store = store
        self._session = session
        self._changed = asyncio.Event()
        self._wake = asyncio.Event()
        self._alarm: asyncio.TimerHandle | None = None
        self._checks: dict[str, list[asyncio.Task[None]]] = {}
        self._writes: asyncio.Queue[tuple[str, Json | None]] = asyncio.Queue()
        self._observers: list[asyncio.Event] = []

    async def lead(self) -> None:
        """Read what an earlier leader left and begin to schedule."""
        self.framework_id = await self._mesos.framework_id(self.name)
        for document in (await self._store.documents(INSTANCES)).values():
            self._recover(Instance(**document))
        self._mesos.subscribe(self)
        self._mesos.spawn(self._schedule_for_ever())
        self._mesos.spawn(self._write_for_ever())

    def _recover(self, instance: Instance) -> None:
        self.instances[instance.task_id] = instance
        status = {"task_id": instance.task_id, "state": instance.state, "timestamp": instance.staged_at}
        info = {"task_id": instance.task_id, "name": instance.app_id, "framework_id": self.framework_id,
                "role": instance.role, "command": {}, "resources": instance.resources, "labels": {}}  # fmt: skip
        self._mesos.recover_task(info, instance.agent_id, instance.role, status)
        if instance.state == RUNNING:
            self._start_checks(instance)

    # -- what others ask -------------------------------------------------------------------------------------

    def of_app(self, app_id: str) -> list[Instance]:
        """The app's instances, oldest first."""
        found = [instance for instance in self.instances.values() if instance.app_id == app_id]
        return sorted(found, key=lambda instance: instance.staged_at)

    def active(self, app_id: str) -> list[Instance]:
        """The app's instances that count: not being killed, not given up as unreachable."""
        patience = self._inactive_after(app_id)
        now = time.time()
        return [one for one in self.of_app(app_id) if not one.is_killing and not one.is_inactive(now, patience)]

    def is_current(self, instance: Instance) -> bool:
        """True if it runs the app's present configuration."""
        app = self.apps.get(instance.app_id)
        return app is not None and instance.config_version == app.config_version

    def is_serving(self, instance: Instance) -> bool:
        """True if it runs, and is healthy and ready where the app says how to tell."""
        app = self.apps.get(instance.app_id)
        if app is None or instance.state != RUNNING:
            return False
        is_ready = app.readiness_check is None or instance.is_ready
        return is_ready and (not app.has_health_checks or instance.healthy is True)

    def kill(self, instance: Instance) -> None:
        """Have an instance ended; it stays known until Mesos says so."""
        if instance.is_killing:
            return
        instance.is_killing = True
        self._save(instance)
        if instance.unreachable_since is not None:
            self._expunge(instance)
            return
        self._mesos.kill(instance.task_id)

    def reset_backoff(self, app_id: str) -> bool:
        """Forget the app's delay; False if it is not queued."""
        self.backoffs.pop(app_id, None)
        self.poke()
        return app_id in self.queue

    def poke(self) -> None:
        """Look at everything again."""
        self._wake.set()
        for observer in self._observers:
            observer.set()

    def observer(self) -> asyncio.Event:
        """An event that is set whenever something may have changed."""
        event = asyncio.Event()
        self._observers.append(event)
        return event

    def dismiss(self, observer: asyncio.Event) -> None:
        """Stop telling an observer."""
        self._observers.remove(observer)

    # -- Mesos' side -----------------------------------------------------------------------------------------

    def knows(self, task_id: str) -> bool:
        """True if the task is an instance."""
        return task_id in self.instances

    def offers_changed(self) -> None:
        """Something became free."""
        self._wake.set()

    def status_update(self, task: TaskRecord, status: Json) -> None:
        """A task changed: follow it."""
        instance = self.instances.get(task.id)
        if instance is None:
            return
        was, instance.state = instance.state, status["state"]
        if instance.state == RUNNING:
            self._is_running(instance, status, was)
        elif instance.state == "TASK_UNREACHABLE":
            self._is_unreachable(instance)
        elif instance.state in TERMINAL:
            self._is_over(instance, status)
        if was != instance.state:
            self._publish_status(instance, status)
            self._save(instance)
        self.poke()

    def _is_running(self, instance: Instance, status: Json, was: str) -> None:
        instance.unreachable_since = None
        if instance.started_at is None:
            instance.started_at = status["timestamp"]
        if instance.task_id not in self._checks:
            self._start_checks(instance)
        if "healthy" in status:
            self._mesos_check(instance, status)
        if was == RUNNING:
            self._save(instance)

    def _is_unreachable(self, instance: Instance) -> None:
        instance.unreachable_since = instance.unreachable_since or time.time()
        self._stop_checks(instance)

    def _is_over(self, instance: Instance, status: Json) -> None:
        is_failure = instance.state in FAILED and not instance.is_killing
        if is_failure:
            self._failed(instance, status)
        self._expunge(instance)

    def _failed(self, instance: Instance, status: Json) -> None:
        log.warning("%s: %s %s", instance.task_id, instance.state, status.get("message", ""))
        self.failures[instance.app_id] = {
            "appId": instance.app_id, "host": instance.host, "message": status.get("message", ""),
            "slaveId": instance.agent_id, "state": instance.state, "taskId": instance.task_id,
            "timestamp": timestamp(status["timestamp"]), "version": instance.version,
        }  # fmt: skip
        app = self.apps.get(instance.app_id)
        if app is None:
            return
        old = self.backoffs.get(app.id)
        delay = min(app.document["maxLaunchDelaySeconds"],
                    old.delay * app.document["backoffFactor"] if old else app.document["backoffSeconds"])  # fmt: skip
        self.backoffs[app.id] = Backoff(delay=delay, until=time.time() + delay)

    def _expunge(self, instance: Instance) -> None:
        self._stop_checks(instance)
        self.instances.pop(instance.task_id, None)
        self.readiness.pop(instance.task_id, None)
        self._writes.put_nowait((instance.task_id, None))
        self.poke()

    def _publish_status(self, instance: Instance, status: Json) -> None:
        self.events.publish(
            "status_update_event", slaveId=instance.agent_id, taskId=instance.task_id, taskStatus=instance.state,
            message=status.get("message", ""), appId=instance.app_id, host=instance.host, ports=instance.ports,
            version=instance.version, ipAddresses=[{"ipAddress": instance.host, "protocol": "IPv4"}],
        )  # fmt: skip

    # -- launching -------------------------------------------------------------------------------------------

    async def _schedule_for_ever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                self._schedule()
            except Exception:
                log.exception("scheduling failed; it is tried again at the next change")
            await asyncio.sleep(0.02)

    def _schedule(self) -> None:
        now = time.time()
        self._end_orphans()
        self._end_unreachable(now)
        for app in list(self.apps.values()):
            self._converge(app, now)
        for app_id in [name for name in self.queue if name not in self.apps]:
            del self.queue[app_id]
        self._set_alarm(now)

    def _converge(self, app: App, now: float) -> None:
        target = self.targets.get(app.id, app.instances)
        active = self.active(app.id)
        missing = target - sum(1 for one in active if self.is_current(one))
        if app.id not in self.targets:
            missing = target - len(active)
            self._trim(app, active, -missing)
        if missing <= 0:
            self.queue.pop(app.id, None)
            return
        waiting = self.queue.setdefault(app.id, Waiting(since=now))
        waiting.count = missing
        backoff = self.backoffs.get(app.id)
        if backoff is None or backoff.until <= now:
            self._launch_some(app, waiting)

    def _trim(self, app: App, active: list[Instance], excess: int) -> None:
        for instance in self.kill_order(app, active)[: max(0, excess)]:
            self.kill(instance)

    def kill_order(self, app: App, instances: list[Instance]) -> list[Instance]:
        """Whom to kill first: what is not serving, then by the app's killSelection."""
        is_youngest = app.document["killSelection"] == "YOUNGEST_FIRST"
        return sorted(
            instances, key=lambda one: (self.is_serving(one), -one.staged_at if is_youngest else one.staged_at)
        )

    def _launch_some(self, app: App, waiting: Waiting) -> None:
        while waiting.count > 0 and self._launch_one(app, waiting):
            waiting.count -= 1
        if waiting.count == 0:
            self.queue.pop(app.id, None)

    def _launch_one(self, app: App, waiting: Waiting) -> bool:
        siblings = [(one, self._mesos.agents[one.agent_id]) for one in self.of_app(app.id)
                    if one.agent_id in self._mesos.agents]  # fmt: skip
        offers = [self._offer(agent) for agent in self._mesos.agents.values() if agent.is_active]
        matches = [(offer, matching.match(app, offer, siblings)) for offer in offers]
        waiting.processed += len(matches)
        fitting = [(offer, found) for offer, found in matches if found.ports is not None]
        if not fitting:
            waiting.unused += len(matches)
            waiting.last_unused_at = time.time()
            waiting.last_matches = matches
            return False
        offer, found = max(fitting, key=lambda pair: (pair[0].free.cpus, pair[0].free.mem))
        waiting.last_used_at = time.time()
        self._launch(app, offer.agent, found.ports or [])
        return True

    def _offer(self, agent: AgentRecord) -> Offer:
        used = self._mesos.used(agent.id)
        whole = agent.resources
        free = Resources(cpus=whole.cpus - used.cpus, mem=whole.mem - used.mem,
                         disk=whole.disk - used.disk, gpus=whole.gpus - used.gpus)  # fmt: skip
        return Offer(agent=agent, free=free, used_ports=frozenset(ports_of(used.ports)))

    def _launch(self, app: App, agent: AgentRecord, ports: list[int]) -> None:
        document = app.document
        resources = Resources(cpus=document["cpus"], mem=document["mem"], disk=document["disk"],
                              gpus=document["gpus"], ports=of_ports(ports))  # fmt: skip
        name = app.id.strip("/").replace("/", "_")
        instance = Instance(
            task_id=f"{name}.instance-{uuid.uuid1()}._app.1", app_id=app.id, version=app.version,
            config_version=app.config_version, agent_id=agent.id, host=agent.hostname, ports=ports,
            role=app.role, staged_at=time.time(), resources=resources.document(),
            labels=[port.get("labels", {}) for port in port_list(document)],
        )  # fmt: skip
        self.instances[instance.task_id] = instance
        self._mesos.spawn(self._hand_over(app, instance))

    async def _hand_over(self, app: App, instance: Instance) -> None:
        await self._store.write(f"{INSTANCES}/{instance.task_id}", instance.document())
        info = task_info(app, instance, self.framework_id)
        await self._mesos.launch(info, instance.agent_id, instance.role)
        if instance.is_killing:
            self._mesos.kill(instance.task_id)

    def _end_orphans(self) -> None:
        for instance in list(self.instances.values()):
            if instance.app_id not in self.apps:
                self.kill(instance)

    def _end_unreachable(self, now: float) -> None:
        for instance in list(self.instances.values()):
            strategy = self._strategy(instance.app_id)
            if instance.unreachable_since is None or not isinstance(strategy, dict):
                continue
            if now - instance.unreachable_since >= strategy["expungeAfterSeconds"]:
                self._expunge(instance)

    def _strategy(self, app_id: str) -> object:
        app = self.apps.get(app_id)
        return app.document["unreachableStrategy"] if app else {"inactiveAfterSeconds": 0, "expungeAfterSeconds": 0}

    def _inactive_after(self, app_id: str) -> float:
        strategy = self._strategy(app_id)
        return float(strategy["inactiveAfterSeconds"]) if isinstance(strategy, dict) else float("inf")

    def _set_alarm(self, now: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        times = [backoff.until for name, backoff in self.backoffs.items() if name in self.queue]
        for instance in self.instances.values():
            strategy = self._strategy(instance.app_id)
            if instance.unreachable_since is not None and isinstance(strategy, dict):
                times += [instance.unreachable_since + strategy["inactiveAfterSeconds"],
                          instance.unreachable_since + strategy["expungeAfterSeconds"]]  # fmt: skip
        later = [moment for moment in times if moment > now]
        if later:
            self._alarm = asyncio.get_running_loop().call_later(min(later) - now + 0.01, self.poke)

    # -- health and readiness --------------------------------------------------------------------------------

    def _start_checks(self, instance: Instance) -> None:
        app = self.apps.get(instance.app_id)
        running: list[asyncio.Task[None]] = []
        self._checks[instance.task_id] = running
        if app is None or (not self.is_current(instance) and app.document.get("healthChecks") is None):
            return
        loop = asyncio.get_running_loop()
        for index, check in enumerate(app.document.get("healthChecks", [])):
            if check["protocol"] in {"HTTP", "HTTPS", "TCP"}:
                running.append(loop.create_task(self._watch(instance, index, check)))
        if app.readiness_check is not None and not instance.is_ready:
            running.append(loop.create_task(self._watch_readiness(instance, app)))

    def _stop_checks(self, instance: Instance) -> None:
        for check in self._checks.pop(instance.task_id, []):
            check.cancel()

    async def _watch(self, instance: Instance, index: int, check: Json) -> None:
        times = probes.CheckTimes(
            grace=check["gracePeriodSeconds"], interval=check["intervalSeconds"], timeout=check["timeoutSeconds"],
            max_failures=check["maxConsecutiveFailures"],
        )  # fmt: skip
        await probes.watch(
            self._probe(instance, check), times, instance.started_at or instance.staged_at,
            lambda verdict: self._checked(instance, index, verdict), kill_at_zero=False,
        )  # fmt: skip

    def _probe(self, instance: Instance, check: Json) -> probes.Probe:
        port, timeout = check_port(check, instance), check["timeoutSeconds"]
        if check["protocol"] == "TCP":
            return lambda: probes.tcp(instance.host, port or 0, timeout)
        url = f"{check['protocol'].lower()}://{instance.host}:{port}{check.get('path', '/')}"
        return lambda: probes.http(self._session, url, timeout)

    def _checked(self, instance: Instance, index: int, verdict: probes.Verdict) -> None:
        instance.health[index] = _health_document(instance, verdict)
        self._judge(instance)
        if verdict.is_kill_due and not instance.is_killing:
            self.events.publish("unhealthy_instance_kill_event", appId=instance.app_id, instanceId=instance.instance_id,
                                taskId=instance.task_id, version=instance.version, host=instance.host,
                                reason=verdict.last_failure_cause, slaveId=instance.agent_id)  # fmt: skip
            self._failed(instance, {"message": f"health check failed: {verdict.last_failure_cause}",
                                    "timestamp": time.time()})  # fmt: skip
            self.kill(instance)
            self.poke()

    def _mesos_check(self, instance: Instance, status: Json) -> None:
        app = self.apps.get(instance.app_id)
        checks = app.document.get("healthChecks", []) if app else []
        for index, check in enumerate(checks):
            if check["protocol"] not in {"HTTP", "HTTPS", "TCP"}:
                instance.health[index] = _health_document(instance, probes.Verdict(
                    alive=status["healthy"], consecutive_failures=0 if status["healthy"] else 1,
                    first_success=status["timestamp"] if status["healthy"] else None,
                    last_success=status["timestamp"] if status["healthy"] else None,
                    last_failure=None if status["healthy"] else status["timestamp"],
                    last_failure_cause=status.get("message"),
                ))  # fmt: skip
        self._judge(instance)

    def _judge(self, instance: Instance) -> None:
        app = self.apps.get(instance.app_id)
        count = len(app.document.get("healthChecks", [])) if app else 0
        healthy = len(instance.health) == count and all(one["alive"] for one in instance.health.values())
        if healthy == instance.healthy:
            return
        instance.healthy = healthy
        if healthy:
            self.backoffs.pop(instance.app_id, None)
            instance.was_healthy = True
        self._save(instance)
        self.events.publish("health_status_changed_event", appId=instance.app_id, instanceId=instance.instance_id,
                            taskId=instance.task_id, version=instance.version, alive=healthy)  # fmt: skip
        self.poke()

    async def _watch_readiness(self, instance: Instance, app: App) -> None:
        check = app.readiness_check or {}
        names = [port.get("name") for port in port_list(app.document)]
        port = instance.ports[names.index(check["portName"])]
        url = f"{check['protocol'].lower()}://{instance.host}:{port}{check['path']}"
        while not instance.is_ready:
            result = await self._ask_readiness(url, check)
            self.readiness[instance.task_id] = {**result, "name": check["name"], "taskId": instance.task_id}
            if result["ready"]:
                instance.is_ready = True
                self._save(instance)
                self.poke()
                return
            await asyncio.sleep(check["intervalSeconds"])

    async def _ask_readiness(self, url: str, check: Json) -> Json:
        try:
            async with self._session.get(
                url, timeout=aiohttp.ClientTimeout(check["timeoutSeconds"]), ssl=False
            ) as response:
                body = await response.text()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return {"ready": False, "lastResponse": {"status": 504, "contentType": "text/plain", "body": str(error)}}
        result: Json = {"ready": response.status in check["httpStatusCodesForReady"]}
        if check["preserveLastResponse"]:
            result["lastResponse"] = {
                "status": response.status,
                "contentType": response.content_type,
                "body": body[:2000],
            }
        return result

    # -- keeping ---------------------------------------------------------------------------------------------

    def _save(self, instance: Instance) -> None:
        self._writes.put_nowait((instance.task_id, instance.document()))

    async def _write_for_ever(self) -> None:
        while True:
            task_id, document = await self._writes.get()
            if document is None:
                await self._store.delete(f"{INSTANCES}/{task_id}")
            elif task_id in self.instances:
                await self._store.write(f"{INSTANCES}/{task_id}", document)

    def counts(self, app_id: str) -> Json:
        """The numbers that the API adds to an app."""
        found = self.of_app(app_id)
        return {
            "tasksStaged": sum(one.state in STARTING for one in found),
            "tasksRunning": sum(one.is_running for one in found),
            "tasksHealthy": sum(one.is_running and one.healthy is True for one in found),
            "tasksUnhealthy": sum(one.is_running and one.healthy is False for one in found),
        }


def _health_document(instance: Instance, verdict: probes.Verdict) -> Json:
    found: Json = {"alive": verdict.alive, "consecutiveFailures": verdict.consecutive_failures,
                   "instanceId": instance.instance_id}  # fmt: skip
    times = {"firstSuccess": verdict.first_success, "lastSuccess": verdict.last_success,
             "lastFailure": verdict.last_failure}  # fmt: skip
    found.update({name: timestamp(moment) for name, moment in times.items() if moment is not None})
    if verdict.last_failure_cause and not verdict.alive:
        found["lastFailureCause"] = verdict.last_failure_cause
    return found
