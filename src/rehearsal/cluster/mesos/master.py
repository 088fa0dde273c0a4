"""The leading Mesos master: which agents there are, what they run, and what is free."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import aiohttp

from rehearsal.cluster.mesos.agent import TERMINAL
from rehearsal.cluster.mesos.resources import Resources, parse, total
from rehearsal.cluster.settings import Json, NodeSettings
from rehearsal.cluster.store import Store

log = logging.getLogger(__name__)

REGISTRY = "/mesos-registry/agents"
FRAMEWORKS = "/mesos-registry/frameworks"


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a silent agent is waited for. DC/OS: a ping each 15 s, unreachable after 20 missed."""

    ping_seconds: float = 15.0
    ping_timeout: float = 5.0
    missed_pings: int = 20


@dataclass
class AgentRecord:
    """An agent as the master knows it."""

    id: str
    hostname: str
    port: int
    attributes: dict[str, str]
    resources: Resources
    role: str
    version: str
    registered_at: float
    reregistered_at: float | None = None
    is_connected: bool = True
    is_reachable: bool = True
    missed: int = 0

    @property
    def is_active(self) -> bool:
        """True if its resources are offered."""
        return self.is_connected and self.is_reachable

    def document(self) -> Json:
        """What the registry keeps."""
        return {
            "id": self.id, "hostname": self.hostname, "port": self.port, "attributes": self.attributes,
            "resources": self.resources.document(), "role": self.role, "version": self.version,
            "registered_at": self.registered_at, "is_reachable": self.is_reachable,
        }  # fmt: skip


@dataclass
class TaskRecord:
    """A task as the master knows it; `info` is what its framework launched."""

    info: Json
    agent_id: str
    role: str
    statuses: list[Json] = field(default_factory=list)
    is_recovered: bool = False

    @property
    def id(self) -> str:
        """The task's id."""
        return str(self.info["task_id"])

    @property
    def state(self) -> str:
        """The last state known."""
        return str(self.statuses[-1]["state"]) if self.statuses else "TASK_STAGING"

    @property
    def is_terminal(self) -> bool:
        """True once it holds nothing any more."""
        return self.state in TERMINAL


class Framework(Protocol):
    """What a framework must answer."""

    name: str
    framework_id: str
    role: str

    def status_update(self, task: TaskRecord, status: Json) -> None:
        """A task's state or health changed."""

    def offers_changed(self) -> None:
        """Something became free or an agent came."""

    def knows(self, task_id: str) -> bool:
        """True if the framework still wants the task."""


class MesosMaster:
    """The leader's view. It holds no task state of its own in ZooKeeper: agents bring theirs, as in Mesos."""

    def __init__(
        self, settings: NodeSettings, store: Store, session: aiohttp.ClientSession, patience: Patience
    ) -> None:
        self.settings = settings
        self.agents: dict[str, AgentRecord] = {}
        self.recovered: dict[str, AgentRecord] = {}
        self.tasks: dict[str, TaskRecord] = {}
        self.completed: deque[TaskRecord] = deque(maxlen=200)
        self.frameworks: dict[str, Framework] = {}
        self.started_at = time.time()
        self.elected_at: float | None = None
        self.is_recovered = False
        self._store = store
        self._session = session
        self._patience = patience
        self._work: set[asyncio.Task[None]] = set()
        self._agents_changed: list[Callable[[], None]] = []

    async def lead(self) -> None:
        """Take over: read the registry, then wait for agents to register again."""
        self.elected_at = time.time()
        for document in (await self._store.documents(REGISTRY)).values():
            agent = _record(document)
            (self.recovered if agent.is_reachable else self.agents)[agent.id] = agent
            if not agent.is_reachable:
                agent.is_connected = False

    def open(self) -> None:
        """Let agents register: the frameworks have recovered what they knew."""
        self.is_recovered = True
        self.spawn(self._ping_all())

    def recover_task(self, info: Json, agent_id: str, role: str, status: Json) -> None:
        """A task a framework remembers from an earlier leader; its agent will confirm it or not."""
        self.tasks[info["task_id"]] = TaskRecord(
            info=info, agent_id=agent_id, role=role, statuses=[status], is_recovered=True
        )

    async def stop(self) -> None:
        """Stop pinging."""
        for work in list(self._work):
            work.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)

    async def framework_id(self, name: str) -> str:
        """The id a framework keeps over failovers."""
        known = await self._store.read(f"{FRAMEWORKS}/{name}")
        if known is None:
            known = f"{uuid.uuid4()}-{len(self.frameworks):04d}"
            await self._store.write(f"{FRAMEWORKS}/{name}", known)
        return str(known)

    def subscribe(self, framework: Framework) -> None:
        """Take a framework in."""
        self.frameworks[framework.framework_id] = framework

    def observe_agents(self, changed: Callable[[], None]) -> None:
        """Call back when an agent comes or goes."""
        self._agents_changed.append(changed)

    # -- agents ----------------------------------------------------------------------------------------------

    async def register(self, introduction: Json) -> Json:
        """Take an agent in, new or known; tells it which of its tasks nobody wants."""
        now = time.time()
        agent_id = introduction["id"] or f"{uuid.uuid4()}-S{len(self.agents) + len(self.recovered)}"
        known = self.recovered.pop(agent_id, None) or self.agents.get(agent_id)
        agent = AgentRecord(
            id=agent_id, hostname=introduction["hostname"], port=introduction["port"],
            attributes=introduction["attributes"], resources=parse(introduction["resources"]),
            role=introduction["role"], version=introduction["version"],
            registered_at=known.registered_at if known else now, reregistered_at=now if known else None,
        )  # fmt: skip
        if known is None or known.document() != agent.document():
            await self._store.write(f"{REGISTRY}/{agent_id}", agent.document())
        self.agents[agent_id] = agent
        log.info("agent %s at %s registered", agent_id, agent.hostname)
        unwanted = self._reconcile(agent, introduction["tasks"])
        self._tell_agents_changed()
        return {"agent_id": agent_id, "kill": unwanted}

    def _reconcile(self, agent: AgentRecord, told: list[Json]) -> list[str]:
        present = {document["info"]["task_id"]: document for document in told}
        for task in [task for task in self.tasks.values() if task.agent_id == agent.id and not task.is_terminal]:
            if task.id not in present and (task.is_recovered or task.state != "TASK_STAGING"):
                self.update(task.id, _status(task.id, "TASK_GONE", "The agent no longer runs it"))
        unwanted = []
        for task_id, document in present.items():
            framework = self.frameworks.get(document["info"]["framework_id"])
            if framework is None or not framework.knows(task_id):
                unwanted.append(task_id)
            self._adopt(agent, document)
        return unwanted

    def _adopt(self, agent: AgentRecord, document: Json) -> None:
        task_id = document["info"]["task_id"]
        task = self.tasks.get(task_id)
        if task is None:
            task = self.tasks[task_id] = TaskRecord(
                info=document["info"], agent_id=agent.id, role=document["info"].get("role", "*")
            )
        task.info, task.is_recovered = document["info"], False
        if document["statuses"]:
            task.statuses = []
            healthy = [one for one in document["statuses"] if "healthy" in one][-1:]
            for status in [*healthy, document["statuses"][-1]]:
                self.update(task_id, status)

    async def _ping_all(self) -> None:
        while True:
            await asyncio.sleep(self._patience.ping_seconds)
            await asyncio.gather(*(self._ping(agent) for agent in list(self.agents.values()) if agent.is_reachable))
            await self._expire_recovered()

    async def _expire_recovered(self) -> None:
        allowed = self._patience.ping_seconds * self._patience.missed_pings
        if self.elected_at is None or time.time() - self.elected_at < allowed:
            return
        for agent in list(self.recovered.values()):
            self.agents[agent.id] = self.recovered.pop(agent.id)
            await self._unreachable(agent)

    async def _ping(self, agent: AgentRecord) -> None:
        url = f"http://{agent.hostname}:{agent.port}/internal/ping"
        parameters = {"connected": "true" if agent.is_connected else "false"}
        try:
            async with self._session.get(
                url, params=parameters, timeout=aiohttp.ClientTimeout(self._patience.ping_timeout)
            ) as response:
                is_answered = response.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            is_answered = False
        if is_answered:
            agent.missed = 0
            return
        agent.missed += 1
        if agent.is_connected:
            agent.is_connected = False
            self._tell_agents_changed()
        if agent.missed >= self._patience.missed_pings:
            await self._unreachable(agent)

    async def _unreachable(self, agent: AgentRecord) -> None:
        log.warning("agent %s at %s is unreachable", agent.id, agent.hostname)
        agent.is_reachable = agent.is_connected = False
        await self._store.write(f"{REGISTRY}/{agent.id}", agent.document())
        for task in [task for task in self.tasks.values() if task.agent_id == agent.id and not task.is_terminal]:
            self.update(task.id, _status(task.id, "TASK_UNREACHABLE", "The agent is unreachable"))
        self._tell_agents_changed()

    def _tell_agents_changed(self) -> None:
        for changed in self._agents_changed:
            changed()
        for framework in self.frameworks.values():
            framework.offers_changed()

    # -- tasks -----------------------------------------------------------------------------------------------

    def used(self, agent_id: str) -> Resources:
        """What the agent's tasks hold."""
        return total(
            parse(task.info["resources"])
            for task in self.tasks.values() if task.agent_id == agent_id and not task.is_terminal
        )  # fmt: skip

    async def launch(self, info: Json, agent_id: str, role: str) -> None:
        """Hand a task to its agent; a failure comes back as TASK_DROPPED."""
        self.tasks[info["task_id"]] = TaskRecord(info=info, agent_id=agent_id, role=role)
        agent = self.agents[agent_id]
        error = await self._ask(agent, "/internal/tasks", {**info, "agent_id": agent_id})
        if error is not None:
            self.update(info["task_id"], _status(info["task_id"], "TASK_DROPPED", error))

    def kill(self, task_id: str) -> None:
        """Have a task ended; the agent is asked until it hears."""
        self.spawn(self._kill(task_id))

    async def _kill(self, task_id: str) -> None:
        while (task := self.tasks.get(task_id)) is not None and not task.is_terminal:
            agent = self.agents.get(task.agent_id)
            if agent is None or not agent.is_reachable:
                return
            if await self._ask(agent, "/internal/kill", {"task_id": task_id}) is None:
                return
            await asyncio.sleep(2.0)

    async def _ask(self, agent: AgentRecord, path: str, body: Json) -> str | None:
        url = f"http://{agent.hostname}:{agent.port}{path}"
        try:
            async with self._session.post(url, json=body, timeout=aiohttp.ClientTimeout(10)) as response:
                return None if response.status == 200 else f"agent answered {response.status}"
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return f"agent {agent.hostname} did not answer: {error}"

    def update(self, task_id: str, status: Json) -> None:
        """Take a status in and tell the framework."""
        task = self.tasks.get(task_id)
        if task is None or task.is_terminal:
            return
        task.statuses = [*task.statuses[-9:], status]
        framework = self.frameworks.get(task.info["framework_id"])
        if framework is not None:
            framework.status_update(task, status)
        if task.is_terminal:
            self.tasks.pop(task_id, None)
            self.completed.append(task)
            for other in self.frameworks.values():
                other.offers_changed()

    def spawn(self, coroutine: object) -> None:
        """Run something in the background until the master stops."""
        work: asyncio.Task[None] = asyncio.ensure_future(coroutine)  # type: ignore[call-overload]
        self._work.add(work)
        work.add_done_callback(self._work.discard)


def _record(document: Json) -> AgentRecord:
    return AgentRecord(
        id=document["id"], hostname=document["hostname"], port=document["port"],
        attributes=document["attributes"], resources=parse(document["resources"]), role=document["role"],
        version=document["version"], registered_at=document["registered_at"],
        is_reachable=document["is_reachable"],
    )  # fmt: skip


def _status(task_id: str, state: str, message: str) -> Json:
    return {"task_id": task_id, "state": state, "message": message, "timestamp": time.time(),
            "uuid": str(uuid.uuid4()), "source": "SOURCE_MASTER"}  # fmt: skip
