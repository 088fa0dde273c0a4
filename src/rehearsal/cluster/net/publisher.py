"""The leading master tells every node the names and VIPs in force, through one document in ZooKeeper."""

from __future__ import annotations

import asyncio

from rehearsal.cluster.marathon.instances import RUNNING
from rehearsal.cluster.marathon.scheduler import Scheduler
from rehearsal.cluster.marathon.validation import port_list
from rehearsal.cluster.mesos.master import MesosMaster
from rehearsal.cluster.net.records import RunningTask, snapshot
from rehearsal.cluster.settings import Json
from rehearsal.cluster.store import Store

PATH = "/dcos-net/snapshot"
PAUSE_SECONDS = 0.2


class Publisher:
    """Writes the snapshot whenever it differs from the last."""

    def __init__(self, mesos: MesosMaster, scheduler: Scheduler, store: Store) -> None:
        self._mesos = mesos
        self._scheduler = scheduler
        self._store = store
        self._last: Json | None = None

    async def publish_for_ever(self) -> None:
        """Look after each change; changes close together make one write."""
        observer = self._scheduler.observer()
        self._mesos.observe_agents(observer.set)
        while True:
            observer.clear()
            current = self._snapshot()
            if current != self._last:
                await self._store.write(PATH, current)
                self._last = current
            await observer.wait()
            await asyncio.sleep(PAUSE_SECONDS)

    def _snapshot(self) -> Json:
        agents = [agent.hostname for agent in self._mesos.agents.values() if agent.is_reachable]
        settings = self._mesos.settings
        return snapshot(self._tasks(), settings.masters, settings.ip, agents)

    def _tasks(self) -> list[RunningTask]:
        found = []
        for instance in self._scheduler.instances.values():
            app = self._scheduler.apps.get(instance.app_id)
            if instance.state != RUNNING or app is None:
                continue
            is_healthy = instance.healthy is True or not app.has_health_checks
            ports = tuple(
                (port, definition.get("name", ""), definition.get("protocol", "tcp"),
                 tuple(sorted((instance.labels[index] if index < len(instance.labels) else {}).items())))
                for index, (port, definition) in enumerate(zip(instance.ports, port_list(app.document), strict=False))
            )  # fmt: skip
            found.append(RunningTask(
                name=app.name, framework="marathon", host=instance.host, agent_id=instance.agent_id,
                task_id=instance.task_id, is_healthy=is_healthy and not instance.is_killing, ports=ports))  # fmt: skip
        return found
