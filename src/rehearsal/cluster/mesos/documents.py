"""What the Mesos master tells of itself, in the shapes of Mesos 1.10 (src/master/{http,readonly_handler}.cpp)."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from rehearsal.cluster.leadership import LeaderWatch
from rehearsal.cluster.mesos.master import AgentRecord, Framework, MesosMaster, TaskRecord
from rehearsal.cluster.mesos.resources import Resources, parse, total
from rehearsal.cluster.settings import MESOS_VERSION, Json

STATES = ("TASK_STAGING", "TASK_STARTING", "TASK_RUNNING", "TASK_KILLING", "TASK_FINISHED", "TASK_KILLED",
          "TASK_FAILED", "TASK_LOST", "TASK_ERROR", "TASK_UNREACHABLE")  # fmt: skip
CAPABILITIES = ["MULTI_ROLE", "HIERARCHICAL_ROLE", "RESERVATION_REFINEMENT"]
EMPTY = Resources()


def flags(master: MesosMaster) -> dict[str, str]:
    """The master's settings."""
    return {
        "cluster": master.settings.cluster_name, "zk": "zk://zk-1.zk:2181/mesos", "port": "5050",
        "hostname_lookup": "false", "ip": master.settings.ip, "quorum": str(len(master.settings.masters) // 2 + 1),
        "agent_ping_timeout": "15secs", "max_agent_ping_timeouts": "20", "weights": "slave_public=1",
    }  # fmt: skip


def metrics(master: MesosMaster, is_leading: bool) -> Json:
    """The metrics that gates and dashboards read."""
    agents = list(master.agents.values())
    states = Counter(task.state for task in master.tasks.values())
    counted = {f"master/tasks_{state[5:].lower()}": states[state] for state in STATES}
    held = total(master.used(agent.id) for agent in agents)
    all_of = total(agent.resources for agent in agents if agent.is_active)
    return {
        "master/elected": 1 if is_leading else 0,
        "master/uptime_secs": time.time() - master.started_at,
        "master/slaves_active": sum(agent.is_active for agent in agents),
        "master/slaves_connected": sum(agent.is_connected for agent in agents),
        "master/slaves_disconnected": sum(agent.is_reachable and not agent.is_connected for agent in agents),
        "master/slaves_inactive": sum(agent.is_reachable and not agent.is_active for agent in agents),
        "master/slaves_unreachable": sum(not agent.is_reachable for agent in agents),
        "master/frameworks_active": len(master.frameworks),
        "master/frameworks_connected": len(master.frameworks),
        "master/cpus_total": all_of.cpus, "master/cpus_used": held.cpus,
        "master/mem_total": all_of.mem, "master/mem_used": held.mem,
        "master/disk_total": all_of.disk, "master/disk_used": held.disk,
        "registrar/log/recovered": 1 if master.is_recovered or not is_leading else 0,
        **counted,
    }  # fmt: skip


def slave(master: MesosMaster, agent: AgentRecord) -> Json:
    """One agent."""
    used = master.used(agent.id)
    reserved = {} if agent.role == "*" else {agent.role: agent.resources.document()}
    document: Json = {
        "id": agent.id, "hostname": agent.hostname, "port": agent.port,
        "attributes": agent.attributes, "pid": f"slave(1)@{agent.hostname}:{agent.port}",
        "registered_time": agent.registered_at, "resources": agent.resources.document(),
        "used_resources": used.document(), "offered_resources": EMPTY.document(),
        "reserved_resources": reserved,
        "unreserved_resources": (EMPTY if reserved else agent.resources).document(),
        "active": agent.is_active, "deactivated": False, "version": agent.version,
        "capabilities": CAPABILITIES,
    }  # fmt: skip
    if agent.reregistered_at is not None:
        document["reregistered_time"] = agent.reregistered_at
    return document


def slaves(master: MesosMaster, _: LeaderWatch | None = None) -> Json:
    """All reachable agents, and those that a new leader still waits for."""
    return {
        "slaves": [slave(master, agent) for agent in master.agents.values() if agent.is_reachable],
        "recovered_slaves": [slave(master, agent) for agent in master.recovered.values()],
    }


def task(record: TaskRecord) -> Json:
    """One task."""
    info = record.info
    document: Json = {
        "id": record.id, "name": info["name"], "framework_id": info["framework_id"], "executor_id": "",
        "slave_id": record.agent_id, "state": record.state, "resources": info["resources"], "role": record.role,
        "statuses": [_status(status) for status in record.statuses],
        "user": info["command"].get("user", "root"),
        "labels": [{"key": key, "value": value} for key, value in info.get("labels", {}).items()],
        "discovery": info.get("discovery", {}),
        "container": {"type": "MESOS"},
    }  # fmt: skip
    if info.get("health_check"):
        document["health_check"] = info["health_check"]
    return document


def _status(status: Json) -> Json:
    kept = ("state", "timestamp", "healthy", "container_status", "message", "reason")
    return {key: status[key] for key in kept if key in status}


def framework(master: MesosMaster, one: Framework) -> Json:
    """One framework with its tasks."""
    mine = [record for record in master.tasks.values() if record.info["framework_id"] == one.framework_id]
    done = [record for record in master.completed if record.info["framework_id"] == one.framework_id]
    used = total(parse(record.info["resources"]) for record in mine)
    return {
        "id": one.framework_id, "name": one.name, "pid": f"scheduler-{one.name}@{master.settings.ip}:15101",
        "hostname": master.settings.ip, "webui_url": f"http://{master.settings.ip}:8080",
        "active": True, "connected": True, "recovered": False, "user": "root", "failover_timeout": 604800.0,
        "checkpoint": True, "registered_time": master.elected_at or 0.0, "unregistered_time": 0.0,
        "roles": sorted({one.role, *(record.role for record in mine)}),
        "used_resources": used.document(), "offered_resources": EMPTY.document(),
        "resources": used.document(),
        "tasks": [task(record) for record in mine if record.state != "TASK_UNREACHABLE"],
        "unreachable_tasks": [task(record) for record in mine if record.state == "TASK_UNREACHABLE"],
        "completed_tasks": [task(record) for record in done], "offers": [], "executors": [],
        "capabilities": ["TASK_KILLING_STATE", "PARTITION_AWARE", "GPU_RESOURCES"],
    }  # fmt: skip


def frameworks(master: MesosMaster, _: LeaderWatch) -> Json:
    """All frameworks."""
    return {
        "frameworks": [framework(master, one) for one in master.frameworks.values()],
        "completed_frameworks": [],
        "unregistered_frameworks": [],
    }


def tasks(master: MesosMaster, _: LeaderWatch) -> Json:
    """All tasks, live and completed."""
    return {"tasks": [task(record) for record in [*master.tasks.values(), *master.completed]]}


def roles(master: MesosMaster, _: LeaderWatch) -> Json:
    """Roles in use."""
    used: dict[str, list[TaskRecord]] = {"*": [], "slave_public": []}
    for record in master.tasks.values():
        used.setdefault(record.role, []).append(record)
    return {"roles": [_role(master, name, records) for name, records in sorted(used.items())]}


def _role(master: MesosMaster, name: str, records: list[TaskRecord]) -> Json:
    held = total(parse(record.info["resources"]) for record in records)
    return {
        "name": name, "weight": 1.0, "frameworks": sorted({record.info["framework_id"] for record in records}),
        "resources": held.document(), "allocated": held.document(), "offered": EMPTY.document(),
        "reserved": EMPTY.document(), "quota": {"role": name, "guarantee": {}, "limit": {}, "consumed": {}},
    }  # fmt: skip


def state(master: MesosMaster, leader: LeaderWatch) -> Json:
    """Everything."""
    info: Any = leader.leader or {}
    agents = list(master.agents.values())
    return {
        "version": MESOS_VERSION, "git_sha": "", "git_branch": "", "git_tag": "", "build_date": "", "build_time": 0.0,
        "build_user": "", "start_time": master.started_at, "elected_time": master.elected_at,
        "id": info.get("id", ""), "pid": f"master@{master.settings.ip}:5050", "hostname": master.settings.ip,
        "capabilities": ["AGENT_UPDATE", "AGENT_DRAINING"],
        "activated_slaves": sum(agent.is_active for agent in agents),
        "deactivated_slaves": sum(agent.is_reachable and not agent.is_active for agent in agents),
        "unreachable_slaves": sum(not agent.is_reachable for agent in agents),
        "leader": info.get("pid", ""), "leader_info": info, "cluster": master.settings.cluster_name,
        "flags": flags(master), "orphan_tasks": [], **slaves(master), **frameworks(master, leader),
    }  # fmt: skip


def state_summary(master: MesosMaster, _: LeaderWatch) -> Json:
    """Agents and frameworks with counts of task states."""
    return {
        "hostname": master.settings.ip,
        "cluster": master.settings.cluster_name,
        "slaves": [_slave_summary(master, agent) for agent in master.agents.values() if agent.is_reachable],
        "frameworks": [_framework_summary(master, one) for one in master.frameworks.values()],
    }


def _slave_summary(master: MesosMaster, agent: AgentRecord) -> Json:
    mine = [record for record in [*master.tasks.values(), *master.completed] if record.agent_id == agent.id]
    return {**slave(master, agent), **_counts(mine),
            "framework_ids": sorted({record.info["framework_id"] for record in mine})}  # fmt: skip


def _framework_summary(master: MesosMaster, one: Framework) -> Json:
    mine = [record for record in [*master.tasks.values(), *master.completed]
            if record.info["framework_id"] == one.framework_id]  # fmt: skip
    whole = framework(master, one)
    kept = {
        key: value for key, value in whole.items() if not key.endswith("tasks") and key not in {"offers", "executors"}
    }
    return {**kept, **_counts(mine), "slave_ids": sorted({record.agent_id for record in mine})}


def _counts(records: list[TaskRecord]) -> dict[str, int]:
    states = Counter(record.state for record in records)
    return {state: states[state] for state in STATES}


def v1_agents(master: MesosMaster) -> Json:
    """GET_AGENTS."""
    return {
        "agents": [_v1_agent(agent) for agent in master.agents.values() if agent.is_reachable],
        "recovered_agents": [_v1_agent(agent)["agent_info"] for agent in master.recovered.values()],
    }


def _v1_agent(agent: AgentRecord) -> Json:
    return {
        "agent_info": {
            "id": {"value": agent.id}, "hostname": agent.hostname, "port": agent.port,
            "attributes": [{"name": name, "type": "TEXT", "text": {"value": value}}
                           for name, value in agent.attributes.items()],
            "resources": _v1_resources(agent.resources, agent.role),
        },
        "active": agent.is_active, "deactivated": False, "version": agent.version,
        "pid": f"slave(1)@{agent.hostname}:{agent.port}",
        "registered_time": {"nanoseconds": int(agent.registered_at * 1e9)},
        "total_resources": _v1_resources(agent.resources, agent.role),
    }  # fmt: skip


def _v1_resources(resources: Resources, role: str) -> list[Json]:
    scalars = {"cpus": resources.cpus, "mem": resources.mem, "disk": resources.disk}
    found: list[Json] = [{"name": name, "type": "SCALAR", "role": role, "scalar": {"value": value}}
                         for name, value in scalars.items()]  # fmt: skip
    ranges = [{"begin": low, "end": high} for low, high in resources.ports]
    return [*found, {"name": "ports", "type": "RANGES", "role": role, "ranges": {"range": ranges}}]


def v1_tasks(master: MesosMaster) -> Json:
    """GET_TASKS."""
    return {
        "tasks": [_v1_task(record) for record in master.tasks.values()],
        "completed_tasks": [_v1_task(record) for record in master.completed],
    }


def _v1_task(record: TaskRecord) -> Json:
    return {
        "name": record.info["name"], "task_id": {"value": record.id}, "state": record.state,
        "framework_id": {"value": record.info["framework_id"]}, "agent_id": {"value": record.agent_id},
        "resources": _v1_resources(parse(record.info["resources"]), record.role),
    }  # fmt: skip


def v1_frameworks(master: MesosMaster) -> Json:
    """GET_FRAMEWORKS."""
    return {"frameworks": [
        {"framework_info": {"id": {"value": one.framework_id}, "name": one.name, "user": "root"},
         "active": True, "connected": True, "recovered": False}
        for one in master.frameworks.values()
    ]}  # fmt: skip
