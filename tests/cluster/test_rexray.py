"""REX-Ray 0.11.4's rules on the stage: what is filled is never formatted, what is elsewhere never taken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from rehearsal.cluster import rexray
from rehearsal.cluster.ec2 import Ec2Error, Identity, Volume
from rehearsal.cluster.rexray import Rexray, RexrayConfig, VolumeFailed, configuration

ME, ZONE = "i-me", "us-east-1a"
EBS = RexrayConfig(service="ebs", create_disabled=True, create_implicit=False)
NAME = "kafka-1"


@dataclass
class Ec2:
    """EC2, for one instance."""

    named: dict[str, Volume] = field(default_factory=dict)  # by name, in this zone
    used: set[str] = field(default_factory=set)
    asked: list[tuple[str, ...]] = field(default_factory=list)

    async def identity(self) -> Identity:
        return Identity(instance_id=ME, region="us-east-1", availability_zone=ZONE)

    async def volumes(self, filters: dict[str, str]) -> list[Volume]:
        if "volume-id" in filters:
            return [one for one in self.named.values() if one.id == filters["volume-id"]]
        assert filters["availability-zone"] == ZONE
        return [one for name, one in self.named.items() if name == filters["tag:Name"]]

    async def devices(self) -> set[str]:
        return self.used

    async def attach(self, volume_id: str, device: str) -> None:
        self.asked.append(("attach", volume_id, device))
        self._change(volume_id, state="in-use", instance_id=ME, device=device, attachment_state="attached")

    async def detach(self, volume_id: str) -> None:
        self.asked.append(("detach", volume_id))
        self._change(volume_id, state="available", instance_id="", device="", attachment_state="")

    async def create(self, name: str, size: int, kind: str) -> str:
        self.asked.append(("create", name, str(size), kind))
        self.named[name] = Volume(id="vol-new", state="available")
        return "vol-new"

    def _change(self, volume_id: str, **state: str) -> None:
        (name,) = [name for name, one in self.named.items() if one.id == volume_id]
        self.named[name] = replace(self.named[name], **state)


@dataclass
class Machine:
    """What the agent's tools say and do."""

    blkid: tuple[int, str] = (2, "")
    failing: str = ""
    mounted: set[Path] = field(default_factory=set)
    ran: list[tuple[str, ...]] = field(default_factory=list)

    async def run(self, *command: str) -> tuple[int, str]:
        self.ran.append(command)
        if command[0] == self.failing:
            return 32, f"{command[0]} says no"
        if command[0] == "blkid":
            return self.blkid
        if command[0] == "mount":
            self.mounted.add(Path(command[2]))
        if command[0] == "umount":
            self.mounted.discard(Path(command[1]))
        return 0, ""

    @property
    def formatted(self) -> list[str]:
        return [command[-1] for command in self.ran if command[0].startswith("mkfs")]


@dataclass
class Agent:
    ec2: Ec2
    machine: Machine
    mounts: Path

    def mount(self, config: RexrayConfig = EBS, size: int | None = None, **options: str) -> Path:
        dvdi = {f"dvdi/{name}": value for name, value in options.items()}
        return asyncio.run(Rexray(self.ec2, config, self.mounts).mount(NAME, dvdi, size))  # type: ignore[arg-type]

    def unmount(self) -> None:
        asyncio.run(Rexray(self.ec2, EBS, self.mounts).unmount(NAME))  # type: ignore[arg-type]


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Agent:
    made = Agent(Ec2({NAME: Volume(id="vol-1", state="available")}), Machine(), tmp_path)
    monkeypatch.setattr(rexray, "run", made.machine.run)
    monkeypatch.setattr(rexray, "_is_block_device", lambda path: True)
    monkeypatch.setattr(rexray, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(Path, "is_mount", lambda path: path in made.machine.mounted)
    return made


def test_a_volume_is_attached_mounted_and_its_data_kept_apart(agent: Agent) -> None:
    assert agent.mount() == agent.mounts / NAME / "data"
    assert agent.ec2.asked == [("attach", "vol-1", "/dev/xvdf")]
    assert agent.machine.ran[-1] == ("mount", "/dev/xvdf", str(agent.mounts / NAME))


@pytest.mark.parametrize(
    ("blkid", "options", "formatted"),
    [
        ((2, ""), {}, True),  # blkid(8): 2, nothing was found
        ((0, "xfs"), {}, False),
        ((0, "ext4"), {}, False),
        ((0, "xfs"), {"overwritefs": "false"}, False),
        ((0, "xfs"), {"overwritefs": "true"}, True),
    ],
)
def test_only_an_empty_volume_is_formatted(
    agent: Agent, blkid: tuple[int, str], options: dict[str, str], formatted: bool
) -> None:
    agent.machine.blkid = blkid
    agent.mount(**options)
    assert agent.machine.formatted == (["/dev/xvdf"] if formatted else [])


def test_it_is_formatted_as_asked(agent: Agent) -> None:
    agent.mount(newfstype="xfs")
    assert [command[0] for command in agent.machine.ran if command[0].startswith("mkfs")] == ["mkfs.xfs"]


def test_what_cannot_be_told_is_not_formatted(agent: Agent) -> None:
    agent.machine.blkid = (8, "ambivalent result")
    with pytest.raises(VolumeFailed, match="ambivalent"):
        agent.mount()
    assert (agent.machine.formatted, agent.machine.mounted) == ([], set())


@pytest.mark.parametrize("failing", ["mkfs.ext4", "mount"])
def test_what_fails_is_said(agent: Agent, failing: str) -> None:
    agent.machine.failing = failing
    with pytest.raises(VolumeFailed, match="says no"):
        agent.mount()


def test_a_second_task_shares_the_mount(agent: Agent) -> None:
    first, second = agent.mount(), agent.mount()
    assert first == second
    assert len(agent.ec2.asked) == 1


@pytest.mark.parametrize(
    ("disabled", "implicit", "is_made"),
    [(False, True, True), (True, True, False), (False, False, False), (True, False, False)],
)
def test_an_empty_volume_is_made_only_where_nothing_forbids_it(
    agent: Agent, disabled: bool, implicit: bool, is_made: bool
) -> None:
    agent.ec2.named.clear()
    config = RexrayConfig(service="ebs", create_disabled=disabled, create_implicit=implicit)
    if is_made:
        agent.mount(config, size=4, volumetype="gp3")
        assert agent.ec2.asked[0] == ("create", NAME, "4", "gp3")
    else:
        with pytest.raises(VolumeFailed, match=f"does not exist in {ZONE}"):
            agent.mount(config)
        assert agent.ec2.asked == []


def test_by_default_it_is_made_with_16_gib(agent: Agent) -> None:
    agent.ec2.named.clear()
    agent.mount(RexrayConfig(service="ebs"))
    assert agent.ec2.asked[0] == ("create", NAME, "16", "gp2")


@pytest.mark.parametrize("state", ["deleting", "deleted"])
def test_what_is_being_deleted_is_not_there(agent: Agent, state: str) -> None:
    agent.ec2.named[NAME] = Volume(id="vol-1", state=state)
    with pytest.raises(VolumeFailed, match="does not exist"):
        agent.mount()


@pytest.mark.parametrize("preempt", [False, True])
def test_another_agents_volume_is_never_taken(agent: Agent, preempt: bool) -> None:
    agent.ec2.named[NAME] = Volume(id="vol-1", state="in-use", instance_id="i-other", attachment_state="attached")
    with pytest.raises(VolumeFailed, match="i-other" if not preempt else "preempt is not built"):
        agent.mount(replace(EBS, preempt=preempt))
    assert agent.ec2.asked == []


def test_what_is_attached_here_already_is_only_mounted(agent: Agent) -> None:
    agent.ec2.named[NAME] = Volume(
        id="vol-1", state="in-use", instance_id=ME, device="/dev/xvdk", attachment_state="attached"
    )
    agent.mount()
    assert agent.ec2.asked == []
    assert agent.machine.ran[-1][1] == "/dev/xvdk"


def test_a_free_device_is_taken_and_when_there_is_none_it_is_said(agent: Agent) -> None:
    agent.ec2.used = {"/dev/xvdf", "/dev/xvdg"}
    agent.mount()
    assert agent.ec2.asked == [("attach", "vol-1", "/dev/xvdh")]
    agent.ec2.named[NAME], agent.ec2.used = Volume(id="vol-1", state="available"), set(rexray.DEVICES)
    agent.machine.mounted.clear()
    with pytest.raises(VolumeFailed, match="no free device"):
        agent.mount()


def test_without_the_ebs_service_nothing_is_mounted(agent: Agent) -> None:
    with pytest.raises(VolumeFailed, match="'vfs', not 'ebs'"):
        agent.mount(RexrayConfig())


def test_unmounted_it_is_free_for_another(agent: Agent) -> None:
    agent.mount()
    agent.unmount()
    assert (agent.machine.mounted, agent.ec2.asked[-1]) == (set(), ("detach", "vol-1"))
    assert agent.ec2.named[NAME].state == "available"


def test_what_is_still_in_use_stays_attached(agent: Agent) -> None:
    agent.mount()
    agent.machine.failing = "umount"
    with pytest.raises(VolumeFailed, match="umount says no"):
        agent.unmount()
    assert agent.ec2.named[NAME].instance_id == ME


def test_another_agents_volume_is_not_detached(agent: Agent) -> None:
    agent.ec2.named[NAME] = Volume(id="vol-1", state="in-use", instance_id="i-other")
    agent.unmount()
    assert agent.ec2.asked == []


@pytest.mark.parametrize("act", [Agent.mount, Agent.unmount])
def test_what_ec2_refuses_names_the_volume(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, act: Callable[[Agent], Any]
) -> None:
    async def refuse(filters: dict[str, str]) -> list[Volume]:
        raise Ec2Error("DescribeVolumes: UnauthorizedOperation: no")

    monkeypatch.setattr(agent.ec2, "volumes", refuse)
    with pytest.raises(VolumeFailed, match=r"kafka-1: DescribeVolumes: Unauthorized"):
        act(agent)


def test_a_volume_that_never_becomes_what_it_should_is_given_up(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rexray, "ATTACH_SECONDS", -1.0)

    async def nothing(volume_id: str, device: str) -> None:
        pass

    monkeypatch.setattr(agent.ec2, "attach", nothing)
    with pytest.raises(VolumeFailed, match="did not become attached"):
        agent.mount()


def operations(**found: dict[str, bool]) -> dict[str, Any]:
    return {"libstorage": {"integration": {"volume": {"operations": found}}}}


@pytest.mark.parametrize(
    ("document", "config"),
    [
        ({}, RexrayConfig()),
        ({"rexray": {"service": "ebs"}}, RexrayConfig(service="ebs")),
        ({"libstorage": {"service": "ebs"}}, RexrayConfig(service="ebs")),
        ({"rexray": {"volume": {"create": {"disable": True}}}}, RexrayConfig(create_disabled=True)),
        (
            operations(create={"disable": True, "implicit": False}),
            RexrayConfig(create_disabled=True, create_implicit=False),
        ),
        (
            operations(mount={"preempt": True}),
            RexrayConfig(preempt=True),
        ),
        ({"libstorage": "text"}, RexrayConfig()),
    ],
)  # fmt: skip
def test_what_rexrays_configuration_says(document: dict[str, Any], config: RexrayConfig) -> None:
    assert configuration(document) == config
