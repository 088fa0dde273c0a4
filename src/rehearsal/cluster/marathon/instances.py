"""An instance of an app: one task, where it is and how it does."""

from __future__ import annotations

from dataclasses import dataclass, field

from rehearsal.cluster.settings import Json
from rehearsal.cluster.times import timestamp

RUNNING = "TASK_RUNNING"
STARTING = frozenset({"TASK_STAGING", "TASK_STARTING"})


@dataclass
class Instance:
    """Times are epoch seconds; `health` holds one document for each health check."""

    task_id: str
    app_id: str
    version: str
    config_version: str
    agent_id: str
    host: str
    ports: list[int]
    role: str
    staged_at: float
    resources: Json
    labels: list[Json] = field(default_factory=list)
    started_at: float | None = None
    state: str = "TASK_STAGING"
    unreachable_since: float | None = None
    is_killing: bool = False
    is_ready: bool = False
    was_healthy: bool = False
    healthy: bool | None = None
    health: dict[int, Json] = field(default_factory=dict)

    @property
    def instance_id(self) -> str:
        """The id without the container's part."""
        return self.task_id.split("._app", 1)[0]

    @property
    def is_running(self) -> bool:
        """True while its process runs, as far as anybody knows."""
        return self.state in {RUNNING, "TASK_KILLING"}

    def is_inactive(self, now: float, inactive_after: float) -> bool:
        """True if it is unreachable for so long that another may be started."""
        return self.unreachable_since is not None and now - self.unreachable_since >= inactive_after

    def document(self) -> Json:
        """What is kept in ZooKeeper."""
        return {
            "task_id": self.task_id, "app_id": self.app_id, "version": self.version,
            "config_version": self.config_version, "agent_id": self.agent_id, "host": self.host,
            "ports": self.ports, "role": self.role, "staged_at": self.staged_at, "resources": self.resources,
            "labels": self.labels, "started_at": self.started_at, "state": self.state,
            "unreachable_since": self.unreachable_since, "is_killing": self.is_killing, "is_ready": self.is_ready,
            "was_healthy": self.was_healthy, "healthy": self.healthy,
        }  # fmt: skip

    def task_document(self, service_ports: list[int]) -> Json:
        """The task as the API shows it."""
        document: Json = {
            "ipAddresses": [{"ipAddress": self.host, "protocol": "IPv4"}], "stagedAt": timestamp(self.staged_at),
            "state": self.state, "ports": self.ports, "version": self.version, "id": self.task_id,
            "appId": self.app_id, "slaveId": self.agent_id, "host": self.host, "role": self.role,
            "servicePorts": service_ports,
        }  # fmt: skip
        if self.started_at is not None:
            document["startedAt"] = timestamp(self.started_at)
        if self.health:
            document["healthCheckResults"] = [self.health[index] for index in sorted(self.health)]
        return document
