"""The real Pulumi CLI, killed in mid-create: what it left is outlived, found, taken in or cleared."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

import pytest
from slow_api import REGION, SlowApi

from rekindle import infrastructure
from rekindle.aws.clients import Clients
from rekindle.errors import CommandFailed, LockHeld
from rekindle.infrastructure import Lookup, Project, engine, pending, process
from rekindle.infrastructure.process import Process

pytestmark = pytest.mark.integration


@dataclass
class Record:
    """Engines on record, in memory."""

    begun: list[Process] = field(default_factory=list)
    over: list[tuple[Process, str]] = field(default_factory=list)

    def unfinished(self) -> Sequence[Process]:
        ended = [engine for engine, _ in self.over]
        return [engine for engine in self.begun if engine not in ended]

    def began(self, engine: Process, command: str) -> None:
        self.begun.append(engine)

    def ended(self, engine: Process, outcome: str) -> None:
        self.over.append((engine, outcome))


@dataclass
class Forgetful(Record):
    """The record of a caller that is killed with its engine: no end is ever written."""

    def ended(self, engine: Process, outcome: str) -> None:
        pass


def up(project: Project, record: Record, clients: Clients, told: list[str], **config: str) -> None:
    infrastructure.up(project, "dev", record, Lookup(clients, REGION), told.append, config=config)


def try_up(project: Project, record: Record) -> None:
    with suppress(CommandFailed):
        infrastructure.up(project, "dev", record, lambda _: None, lambda _: None)


def kill_in_mid_create(project: Project, api: SlowApi) -> Record:
    """An engine is killed after EC2 made the volume and before it said so."""
    record = Forgetful()
    api.held = "CreateVolume"
    runner = threading.Thread(target=try_up, args=(project, record))
    runner.start()
    assert api.done.wait(30)
    os.kill(record.begun[0].pid, signal.SIGKILL)
    runner.join(20)
    api.held = ""
    exported = engine.ask_json(project, "stack", "export", "--stack", "dev")
    assert [p.type for p in pending.creations(exported)] == ["aws:ebs/volume:Volume"]
    return Record(begun=list(record.begun))


def test_what_a_killed_engine_made_is_taken_in_and_not_made_twice(
    project: Project, api: SlowApi, clients: Clients, volumes: Callable[[], list[str]]
) -> None:
    record, told = kill_in_mid_create(project, api), list[str]()
    assert volumes() == ["kafka-1"]
    assert process.end_session(record.begun[0]) == 0, "its plugins live on"
    refuses_the_lock_of_others(project, clients, record)
    up(project, record, clients, told)
    assert volumes() == ["kafka-1"]
    assert any("cut short" in line for line in told)
    assert any("killed" in line for line in told)
    assert record.unfinished() == []
    assert engine.ask(project, "preview", "--stack", "dev", "--expect-no-changes")


def refuses_the_lock_of_others(project: Project, clients: Clients, record: Record) -> None:
    """A lock of an engine that is not on record, or is of another machine, is left alone."""
    elsewhere = [replace(p, host="elsewhere") for p in record.begun]
    for others in (Record(), Record(begun=elsewhere)):
        with pytest.raises(LockHeld, match="process"):
            up(project, others, clients, [])


def test_a_creation_that_made_nothing_is_cleared_and_made(
    project: Project, api: SlowApi, clients: Clients, volumes: Callable[[], list[str]]
) -> None:
    record = kill_in_mid_create(project, api)
    ec2 = clients.ec2(REGION)
    ec2.delete_volume(VolumeId=ec2.describe_volumes()["Volumes"][0]["VolumeId"])
    up(project, record, clients, [])
    assert volumes() == ["kafka-1"]


def test_an_engine_that_still_runs_is_waited_for(project: Project, clients: Clients) -> None:
    with sleeping() as live:
        record, told = Record(begun=[live]), list[str]()
        began = time.monotonic()
        up(project, record, clients, told)
        assert time.monotonic() - began > 2
    assert any(str(live.pid) in line and "waiting" in line for line in told)


def test_the_program_is_run_under_the_settings_given(
    project: Project, clients: Clients, volumes: Callable[[], list[str]]
) -> None:
    told: list[str] = []
    up(project, Record(), clients, told, **{"rekindle:size": "7"})
    assert clients.ec2(REGION).describe_volumes()["Volumes"][0]["Size"] == 7
    assert any("creating aws:ebs/volume:Volume kafka-1" in line for line in told)
    assert infrastructure.inventory(project, "dev").environment == "dev"


def test_a_failure_carries_what_the_engine_said(project: Project, clients: Clients) -> None:
    (project.directory / "__main__.py").write_text("raise ValueError('no such zone')")
    with pytest.raises(CommandFailed, match="no such zone"):
        up(project, Record(), clients, [])


@contextmanager
def sleeping():  # type: ignore[no-untyped-def]
    child = subprocess.Popen(["sleep", "2.5"], start_new_session=True)
    yield process.of(child.pid)
    child.wait()
