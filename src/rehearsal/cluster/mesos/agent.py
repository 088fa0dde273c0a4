"""The Mesos agent: registers with the leading master and runs tasks, which outlive it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from rehearsal.cluster.leadership import LeaderWatch
from rehearsal.cluster.mesos import fetcher, probes
from rehearsal.cluster.mesos.fetcher import Fetcher, FetchFailed
from rehearsal.cluster.mesos.resources import Resources
from rehearsal.cluster.mesos.runner import Exit, Launch, Runner, run
from rehearsal.cluster.rexray import Rexray, VolumeFailed
from rehearsal.cluster.settings import MESOS_VERSION, Json, NodeSettings

log = logging.getLogger(__name__)

PORT = 5051
TERMINAL = frozenset({"TASK_FINISHED", "TASK_FAILED", "TASK_KILLED", "TASK_LOST", "TASK_ERROR", "TASK_DROPPED",
                      "TASK_GONE", "TASK_GONE_BY_OPERATOR"})  # fmt: skip
RETRY_SECONDS = 1.0
EXECUTOR_OVERHEAD_MIB = 32
# dcos/dcos gen/dcos-config.yaml: mesos-executor-environment.json.
EXECUTOR_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "SHELL": "/usr/bin/bash", "LIBPROCESS_NUM_WORKER_THREADS": "8"}


@dataclass
class AgentTask:
    """A task here: what was asked, where it lives, and what has been said of it."""

    info: Json
    container_id: str
    sandbox: Path
    statuses: list[Json] = field(default_factory=list)
    is_killed: bool = False
    is_started: bool = False
    kill_reason: str = ""
    checks: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def id(self) -> str:
        """The task's id."""
        return str(self.info["task_id"])

    @property
    def state(self) -> str:
        """The last state reported."""
        return str(self.statuses[-1]["state"]) if self.statuses else "TASK_STAGING"

    def document(self) -> Json:
        """What is checkpointed, and told at registration."""
        return {
            "info": self.info, "container_id": self.container_id, "sandbox": str(self.sandbox),
            "statuses": self.statuses, "is_killed": self.is_killed, "is_started": self.is_started,
        }  # fmt: skip


def restored(document: Json) -> AgentTask:
    """A task from its checkpoint."""
    return AgentTask(
        info=document["info"],
        container_id=document["container_id"],
        sandbox=Path(document["sandbox"]),
        statuses=document["statuses"],
        is_killed=document["is_killed"],
        is_started=document["is_started"],
    )


@dataclass(frozen=True, kw_only=True)
class AgentIdentity:
    """What an agent offers and is."""

    attributes: dict[str, str]
    resources: Resources
    role: str


class Agent:
    """One agent process."""

    def __init__(
        self, settings: NodeSettings, identity: AgentIdentity, leader: LeaderWatch, runner: Runner,
        session: aiohttp.ClientSession, rexray: Rexray,
    ) -> None:  # fmt: skip
        self.settings = settings
        self.identity = identity
        self.tasks: dict[str, AgentTask] = {}
        self.completed: list[AgentTask] = []
        self.agent_id = ""
        self.is_registered = False
        self.started_at = time.time()
        self._leader = leader
        self._runner = runner
        self._session = session
        self._rexray = rexray
        self._fetcher = Fetcher(session, settings.directories.agent / "fetch")
        self._meta = settings.directories.agent / "meta"
        self._updates: asyncio.Queue[tuple[str, Json]] = asyncio.Queue()
        self._register = asyncio.Event()
        self._work: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Recover what ran before, then register and follow the leader."""
        (self._meta / "tasks").mkdir(parents=True, exist_ok=True)
        await self._recover()
        self._leader.observe(lambda _: self._leader_changed())
        self._leader_changed()
        self._spawn(self._registration())
        self._spawn(self._send_updates())

    async def stop(self) -> None:
        """Leave the tasks running and go."""
        for task in [*self._work, *(check for one in self.tasks.values() for check in one.checks)]:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        await self._runner.close()

    def register_again(self) -> None:
        """Introduce oneself anew, as when the master does not know this agent."""
        self._leader_changed()

    def launch(self, info: Json) -> None:
        """Take a task on; all that follows is told in status updates."""
        if info["task_id"] in self.tasks:
            return
        container = str(uuid.uuid4())
        sandbox = self._sandbox(info, container)
        task = AgentTask(info=info, container_id=container, sandbox=sandbox)
        self.tasks[task.id] = task
        self._checkpoint(task)
        self._spawn(self._run(task))

    async def kill(self, task_id: str, reason: str = "") -> None:
        """End a task; one that is not here is reported as gone."""
        task = self.tasks.get(task_id)
        if task is None:
            await self._updates.put((task_id, self._status(task_id, "TASK_DROPPED", "Unknown task", "")))
            return
        if task.is_killed:
            return
        task.is_killed, task.kill_reason = True, reason
        self._checkpoint(task)
        if task.is_started:
            self._update(task, "TASK_KILLING", "")
            await self._runner.stop(task_id)

    # -- a task's life ---------------------------------------------------------------------------------------

    async def _run(self, task: AgentTask) -> None:
        try:
            await self._prepare(task)
            if task.is_killed:
                await self._end(task, "TASK_KILLED", "Command terminated before it started", "")
                return
            task.is_started = True
            self._checkpoint(task)
            self._update(task, "TASK_STARTING", "")
            await self._runner.start(self._launch_of(task))
        except (FetchFailed, VolumeFailed, RuntimeError, OSError, KeyError) as error:
            task.is_started = False
            log.warning("task %s: %s", task.id, error)
            await self._end(task, "TASK_FAILED", f"Failed to launch container: {error}",
                            "REASON_CONTAINER_LAUNCH_FAILED")  # fmt: skip
            return
        self._update(task, "TASK_RUNNING", "")
        self._start_checks(task)
        if task.is_killed:
            await self._runner.stop(task.id)

    async def _prepare(self, task: AgentTask) -> None:
        if "image" in task.info.get("container", {}):
            image = task.info["container"]["image"]
            raise RuntimeError(f"image {image}: container images are not built in the rehearsal cluster")
        task.sandbox.mkdir(parents=True, exist_ok=True)
        latest = task.sandbox.parent / "latest"
        latest.unlink(missing_ok=True)
        latest.symlink_to(task.sandbox.name)
        for stream in ("stdout", "stderr"):
            (task.sandbox / stream).touch()
        await self._fetcher.fetch([fetcher.parse(uri) for uri in task.info["command"].get("uris", [])], task.sandbox)
        user = task.info["command"].get("user", "root")
        if user != "root":
            code, output = await run("chown", "-R", user, str(task.sandbox))
            if code != 0:
                raise RuntimeError(output)
        await self._mount_volumes(task)

    async def _mount_volumes(self, task: AgentTask) -> None:
        for volume in task.info.get("container", {}).get("volumes", []):
            if "external" in volume:
                external = volume["external"]
                source = await self._rexray.mount(external["name"], external.get("options", {}), external.get("size"))
            else:
                source = Path(volume["host_path"])
            await self._bind(source, task.sandbox / volume["container_path"].lstrip("/"))

    async def _bind(self, source: Path, target: Path) -> None:
        if not source.is_dir():
            raise VolumeFailed(f"{source} is not a directory")
        target.mkdir(parents=True, exist_ok=True)
        code, output = await run("mount", "--bind", str(source), str(target))
        if code != 0:
            raise VolumeFailed(f"bind {source}: {output}")

    async def _unmount_volumes(self, task: AgentTask) -> None:
        for volume in task.info.get("container", {}).get("volumes", []):
            target = task.sandbox / volume["container_path"].lstrip("/")
            if target.is_mount():
                await run("umount", str(target))
            if "external" in volume and not self._is_used(volume["external"]["name"], task):
                try:
                    await self._rexray.unmount(volume["external"]["name"])
                except VolumeFailed as error:
                    log.warning("task %s: %s", task.id, error)

    def _is_used(self, volume_name: str, but: AgentTask) -> bool:
        return any(
            volume.get("external", {}).get("name") == volume_name
            for task in self.tasks.values() if task is not but
            for volume in task.info.get("container", {}).get("volumes", [])
        )  # fmt: skip

    def _exited(self, task_id: str, how: Exit) -> None:
        task = self.tasks.get(task_id)
        if task is None or not task.is_started:
            return
        if task.is_killed:
            self._spawn(self._end(task, "TASK_KILLED", f"Command terminated; {task.kill_reason}".rstrip("; "), ""))
        elif how.is_success:
            self._spawn(self._end(task, "TASK_FINISHED", how.message, ""))
        else:
            reason = (
                "REASON_CONTAINER_LIMITATION_MEMORY" if how.result == "oom-kill" else "REASON_COMMAND_EXECUTOR_FAILED"
            )
            self._spawn(self._end(task, "TASK_FAILED", how.message, reason))

    async def _end(self, task: AgentTask, state: str, message: str, reason: str) -> None:
        for check in task.checks:
            check.cancel()
        await self._unmount_volumes(task)
        self._update(task, state, message, reason)
        self.completed = [*self.completed[-49:], task]

    # -- checks ----------------------------------------------------------------------------------------------

    def _start_checks(self, task: AgentTask) -> None:
        check = task.info.get("health_check")
        if check is None:
            return
        times = probes.CheckTimes(
            grace=check["grace_period_seconds"], interval=check["interval_seconds"],
            timeout=check["timeout_seconds"], delay=check["delay_seconds"],
            max_failures=check["consecutive_failures"],
        )  # fmt: skip
        watching = probes.watch(
            self._probe(task, check, times.timeout), times, time.time(),
            lambda verdict: self._checked(task, verdict), kill_at_zero=True,
        )  # fmt: skip
        task.checks.append(asyncio.get_running_loop().create_task(watching))

    def _probe(self, task: AgentTask, check: Json, timeout: float) -> probes.Probe:
        if check["type"] == "COMMAND":
            return lambda: probes.command(self._inside(task, check["command"]), timeout, cwd=task.sandbox)
        if check["type"] == "TCP":
            return lambda: probes.tcp("127.0.0.1", check["port"], timeout)
        url = f"{check['scheme']}://127.0.0.1:{check['port']}{check['path']}"
        return lambda: probes.http(self._session, url, timeout)

    def _inside(self, task: AgentTask, text: str) -> list[str]:
        settings = [f"{name}={value}" for name, value in self._environment(task).items()]
        user = task.info["command"].get("user", "root")
        switch = [] if user == "root" else ["runuser", "-u", user, "--"]
        return [*switch, "env", "-i", *settings, "/bin/sh", "-c", text]

    def _checked(self, task: AgentTask, verdict: probes.Verdict) -> None:
        known = next((one["healthy"] for one in reversed(task.statuses) if "healthy" in one), None)
        if verdict.alive != known and (verdict.alive or verdict.consecutive_failures or known is not None):
            self._update(task, "TASK_RUNNING", verdict.last_failure_cause or "", healthy=verdict.alive)
        if verdict.is_kill_due:
            self._spawn(self.kill(task.id, f"health check failed: {verdict.last_failure_cause}"))

    # -- what a task is given --------------------------------------------------------------------------------

    def _sandbox(self, info: Json, container: str) -> Path:
        executors = (
            self.settings.directories.agent / "slaves" / self.agent_id / "frameworks" / str(info["framework_id"])
        )
        return executors / "executors" / str(info["task_id"]) / "runs" / container

    def _launch_of(self, task: AgentTask) -> Launch:
        command, resources = task.info["command"], task.info["resources"]
        argv = ("/bin/sh", "-c", command["value"]) if command["shell"] else tuple(command["arguments"])
        return Launch(
            task_id=task.id, command=argv, sandbox=task.sandbox, user=command.get("user", "root"),
            environment=self._environment(task), cpus=resources.get("cpus", 1),
            mem=resources.get("mem", 0) + EXECUTOR_OVERHEAD_MIB,
            grace_seconds=task.info.get("kill_grace_seconds", 3),
        )  # fmt: skip

    def _environment(self, task: AgentTask) -> dict[str, str]:
        return {
            **EXECUTOR_ENVIRONMENT,
            "LIBPROCESS_IP": self.settings.ip,
            "LIBPROCESS_PORT": "0",
            "MESOS_AGENT_ENDPOINT": f"{self.settings.ip}:{PORT}",
            "MESOS_CONTAINER_IP": self.settings.ip,
            "MESOS_DIRECTORY": str(task.sandbox),
            "MESOS_EXECUTOR_ID": task.id,
            "MESOS_FRAMEWORK_ID": task.info["framework_id"],
            "MESOS_SANDBOX": str(task.sandbox),
            "MESOS_SLAVE_ID": self.agent_id,
            **task.info["command"].get("environment", {}),
        }

    # -- status updates and registration ---------------------------------------------------------------------

    def _status(self, task_id: str, state: str, message: str, reason: str) -> Json:
        status: Json = {"task_id": task_id, "state": state, "timestamp": time.time(), "uuid": str(uuid.uuid4())}
        if message:
            status["message"] = message
        if reason:
            status["reason"] = reason
        return status

    def _update(self, task: AgentTask, state: str, message: str, reason: str = "", healthy: bool | None = None) -> None:
        if task.state in TERMINAL:
            return
        status = self._status(task.id, state, message, reason)
        status["container_status"] = {
            "container_id": {"value": task.container_id},
            "network_infos": [{"ip_addresses": [{"protocol": "IPv4", "ip_address": self.settings.ip}]}],
        }
        if healthy is not None:
            status["healthy"] = healthy
        task.statuses = [*task.statuses[-9:], status]
        self._checkpoint(task)
        self._updates.put_nowait((task.id, status))

    async def _send_updates(self) -> None:
        while True:
            task_id, status = await self._updates.get()
            while await self._send(f"/internal/agents/{self.agent_id}/status", status) is None:
                await asyncio.sleep(RETRY_SECONDS)
            if status["state"] in TERMINAL:
                self._forget(task_id)

    async def _send(self, path: str, body: Json) -> Json | None:
        if not self.is_registered or self._leader.ip is None:
            return None
        try:
            return await self._post(path, body)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.warning("master %s: %s", self._leader.ip, error)
            return None

    async def _post(self, path: str, body: Json) -> Json | None:
        url = f"http://{self._leader.ip}:5050{path}"
        async with self._session.post(
            url, json=body, timeout=aiohttp.ClientTimeout(10), allow_redirects=False
        ) as response:
            if response.status == 404:
                self._leader_changed()
            if response.status != 200:
                return None
            answer: Json = await response.json()
            return answer

    def _leader_changed(self) -> None:
        self.is_registered = False
        self._register.set()

    async def _registration(self) -> None:
        while True:
            await self._register.wait()
            await self._leader.known.wait()
            try:
                answer = await self._post("/internal/agents", self._introduction())
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                log.info("not registered yet: %s", error)
                answer = None
            if answer is None:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            self._register.clear()
            await self._registered(answer)

    async def _registered(self, answer: Json) -> None:
        self.agent_id = answer["agent_id"]
        (self._meta / "agent.json").write_text(json.dumps({"id": self.agent_id}))
        self.is_registered = True
        log.info("registered with %s as %s", self._leader.ip, self.agent_id)
        for task_id in answer["kill"]:
            await self.kill(task_id, "the framework does not know it any more")

    def _introduction(self) -> Json:
        return {
            "id": self.agent_id,
            "hostname": self.settings.ip,
            "port": PORT,
            "attributes": self.identity.attributes,
            "resources": self.identity.resources.document(),
            "role": self.identity.role,
            "version": MESOS_VERSION,
            "tasks": [task.document() for task in self.tasks.values() if task.state not in TERMINAL],
        }

    # -- checkpoints -----------------------------------------------------------------------------------------

    def _checkpoint(self, task: AgentTask) -> None:
        path = self._meta / "tasks" / f"{task.id}.json"
        part = path.with_suffix(".tmp")
        part.write_text(json.dumps(task.document()))
        os.replace(part, path)

    def _forget(self, task_id: str) -> None:
        self.tasks.pop(task_id, None)
        (self._meta / "tasks" / f"{task_id}.json").unlink(missing_ok=True)

    async def _recover(self) -> None:
        known = self._meta / "agent.json"
        if known.exists():
            self.agent_id = json.loads(known.read_text())["id"]
        for path in sorted((self._meta / "tasks").glob("*.json")):
            task = restored(json.loads(path.read_text()))
            self.tasks[task.id] = task
        await self._runner.open(self._exited)
        running = await self._runner.running()
        for task in list(self.tasks.values()):
            await self._recover_task(task, task.id in running)

    async def _recover_task(self, task: AgentTask, is_running: bool) -> None:
        if task.state in TERMINAL:
            self._updates.put_nowait((task.id, task.statuses[-1]))
        elif is_running:
            self._start_checks(task)
        elif not any(work.get_name() == task.id for work in self._work):
            await self._end(task, "TASK_FAILED", "Executor terminated while the agent was away",
                            "REASON_EXECUTOR_TERMINATED")  # fmt: skip

    def _spawn(self, coroutine: Any) -> None:
        work: asyncio.Task[None] = asyncio.get_running_loop().create_task(coroutine)
        self._work.add(work)
        work.add_done_callback(self._work.discard)
