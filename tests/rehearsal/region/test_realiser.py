"""One round makes true what the API says: machines come and go with their instances, and a lost region's lose power."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from api_in_process import Clients, as_before
from moto.ec2.models import EC2Backend
from moto.ec2.models.instances import Instance
from moto.ec2.responses.general import General
from moto.elbv2.models import ELBv2Backend, FakeTargetGroup

from rehearsal.region import cloud
from rehearsal.region.behaviour import instances, load_balancers
from rehearsal.region.control import _VERBS
from rehearsal.region.outages import Outages
from rehearsal.region.realiser import Realiser

HERE, THERE = "us-west-2", "us-east-1"


@dataclass
class Fleet:
    """Machines by instance id: each is booting, up, or not there."""

    machines: dict[str, str] = field(default_factory=dict)
    disks: dict[str, tuple[str, str]] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    busy: set[str] = field(default_factory=set)
    began: list[tuple[str, str]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)

    def console(self, instance_id: str) -> str:
        return ""

    def is_busy(self, instance_id: str) -> bool:
        return instance_id in self.busy

    def is_alive(self, instance_id: str) -> bool:
        return instance_id in self.machines

    def is_booted(self, instance_id: str) -> bool:
        return self.machines.get(instance_id) == "up"

    def boot(self, instance_id: str) -> None:
        self.began.append(("boot", instance_id))
        self.machines[instance_id] = "booting"

    def reboot(self, instance_id: str) -> None:
        self.began.append(("reboot", instance_id))
        self.machines[instance_id] = "booting"

    def shut_down(self, instance_id: str) -> None:
        self.began.append(("shut down", instance_id))
        del self.machines[instance_id]

    def fail(self, instance_ids: Iterable[str]) -> None:
        for instance_id in instance_ids:
            self.machines.pop(instance_id, None)

    def delete(self, instance_id: str) -> None:
        self.deleted.append(instance_id)

    def attach(self, instance_id: str, region: str, volume: str, device: str) -> None:
        self.disks[volume] = (instance_id, device)

    def disconnect(self, region: str, volume: str) -> bool:
        self.disks.pop(volume, None)
        return volume not in self.held


class Told:
    """What the network, the balancers, the checkers and the snapshots were told last."""

    def __init__(self) -> None:
        self.applied: list[Any] = []
        self.kept: set[str] = set()
        self.settled = 0

    def apply(self, facts: Any) -> None:
        self.applied = list(facts)

    def stop_others(self, ids: Iterable[str]) -> None:
        self.kept = set(ids)

    def settle(self) -> None:
        self.settled += 1


class Region:
    def __init__(self, aws: Clients, finish: Any) -> None:
        self.aws, self.fleet, self.outages = aws, Fleet(), Outages()
        self.network, self.balancers, self.checks, self.snapshots = (Told() for _ in range(4))
        self.realiser = Realiser(
            outages=self.outages, network=self.network, fleet=self.fleet, balancers=self.balancers, checks=self.checks,
            snapshots=self.snapshots, finish_termination=finish,
        )  # type: ignore[arg-type]  # fmt: skip
        self.images: dict[str, str] = {}

    def host(self, region: str = HERE, **options: Any) -> str:
        ec2 = self.aws("ec2", region)
        if region not in self.images:
            self.images[region] = ec2.register_image(Name="image", RootDeviceName="/dev/sda1")["ImageId"]
        made = ec2.run_instances(ImageId=self.images[region], MinCount=1, MaxCount=1, **options)
        return str(made["Instances"][0]["InstanceId"])

    def running(self, region: str = HERE, **options: Any) -> str:
        host = self.host(region, **options)
        self.realiser.realise()
        self.fleet.machines[host] = "up"
        self.realiser.realise()
        assert state(host) == "running"
        return host

    def volume(self, host: str) -> str:
        ec2 = self.aws("ec2", HERE)
        made = str(ec2.create_volume(AvailabilityZone=f"{HERE}a", Size=1)["VolumeId"])
        ec2.attach_volume(VolumeId=made, InstanceId=host, Device="/dev/xvdf")
        return made


@pytest.fixture
def region(aws: Clients) -> Iterator[Region]:
    with as_before(Instance, General, EC2Backend, ELBv2Backend, FakeTargetGroup):
        finish = instances.install(Fleet())
        load_balancers.install(lambda balancer: {})
        yield Region(aws, finish)


def state(host: str) -> str:
    return str(cloud.instance(host).state)  # type: ignore[union-attr]


def test_an_instance_runs_when_its_machine_has_booted_with_its_disks(region: Region) -> None:
    host = region.host()
    volume = region.volume(host)
    assert region.realiser.realise()  # still on its way
    assert (state(host), region.fleet.began) == ("pending", [("boot", host)])
    region.realiser.realise()
    assert (state(host), region.fleet.began) == ("pending", [("boot", host)])
    region.fleet.machines[host] = "up"
    assert not region.realiser.realise()
    assert (state(host), region.fleet.disks) == ("running", {volume: (host, "/dev/xvdf")})


def test_a_machine_that_dies_while_it_boots_is_tried_three_times(region: Region) -> None:
    host = region.host()
    for _ in range(3):
        region.realiser.realise()
        assert state(host) == "pending"
        region.fleet.machines.clear()
    assert region.realiser.realise()
    assert (state(host), len(region.fleet.began)) == ("shutting-down", 3)
    region.realiser.realise()
    assert (state(host), region.fleet.deleted) == ("terminated", [host])


def test_the_tries_of_a_machine_that_came_up_are_forgotten(region: Region) -> None:
    host = region.running()
    assert cloud.instance(host).boots == 0  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("verb", "between", "end"), [("stop", "stopping", "stopped"), ("terminate", "shutting-down", "terminated")]
)
def test_an_instance_is_down_when_its_machine_is_and_its_disks_are_free(
    region: Region, verb: str, between: str, end: str
) -> None:
    host = region.running()
    volume = region.volume(host)
    region.realiser.realise()
    region.fleet.held.add(volume)
    getattr(region.aws("ec2", HERE), f"{verb}_instances")(InstanceIds=[host])
    assert region.realiser.realise()
    assert (state(host), region.fleet.began[-1], region.fleet.machines) == (between, ("shut down", host), {})
    region.realiser.realise()
    assert (state(host), region.fleet.deleted) == (between, [])
    region.fleet.held.clear()
    region.realiser.realise()
    assert (state(host), region.fleet.deleted) == (end, [host] if verb == "terminate" else [])
    assert not region.realiser.realise()


@pytest.mark.parametrize(("by_itself", "expected"), [("stop", "stopping"), ("terminate", "shutting-down")])
def test_a_machine_that_ended_itself_ends_its_instance(region: Region, by_itself: str, expected: str) -> None:
    host = region.running(InstanceInitiatedShutdownBehavior=by_itself)
    region.fleet.machines.clear()
    region.realiser.realise()
    assert state(host) == expected


def test_a_reboot_is_carried_out_once(region: Region) -> None:
    host = region.running()
    region.aws("ec2", HERE).reboot_instances(InstanceIds=[host])
    region.realiser.realise()
    assert (state(host), region.fleet.began[-1]) == ("pending", ("reboot", host))
    region.fleet.machines[host] = "up"
    for _ in range(2):
        region.realiser.realise()
    assert (state(host), [verb for verb, _ in region.fleet.began]) == ("running", ["boot", "reboot"])


def test_a_machine_that_is_busy_is_left_alone(region: Region) -> None:
    host = region.host()
    region.fleet.busy.add(host)
    region.realiser.realise()
    assert (state(host), region.fleet.began) == ("pending", [])


def test_a_stopped_instance_stays_stopped(region: Region) -> None:
    host = region.running()
    instances.set_state(cloud.instance(host), "stopped")
    before = list(region.fleet.began)
    assert not region.realiser.realise()
    assert (state(host), region.fleet.began) == ("stopped", before)


# -- disasters ------------------------------------------------------------------------------------------------


def test_a_lost_regions_machines_lose_power_and_the_others_run_on(region: Region) -> None:
    here, booting, there = region.running(), region.host(), region.running(THERE)
    stopped = region.running()
    instances.set_state(cloud.instance(stopped), "stopped")
    region.fleet.machines.pop(stopped)
    volume = region.volume(here)
    region.fleet.disks[volume] = (here, "/dev/xvdf")
    assert region.realiser.fail_region(HERE) == 2
    assert set(region.fleet.machines) == {there}
    assert (volume in region.fleet.disks, region.outages.is_down(HERE)) == (False, True)
    assert [state(host) for host in (here, booting, there)] == ["stopped", "stopped", "running"]
    assert cloud.instance(here).state_reason.code == "Server.InternalError"  # type: ignore[union-attr]


def test_nothing_is_made_true_of_a_lost_region_until_it_is_back(region: Region) -> None:
    elb = region.aws("elbv2", HERE)
    subnet = region.aws("ec2", HERE).describe_subnets()["Subnets"][0]["SubnetId"]
    elb.create_load_balancer(Name="edge", Type="network", Subnets=[subnet])
    (balancer,) = cloud.load_balancers(HERE)
    region.realiser.realise()
    assert region.balancers.kept == {cloud.load_balancer_id(balancer)}
    assert {topology.region for topology in region.network.applied} == {HERE, THERE}
    region.realiser.fail_region(HERE)
    assert region.balancers.kept == set()
    host = region.host()
    region.realiser.realise()
    assert {topology.region for topology in region.network.applied} == {THERE}
    assert (state(host), region.fleet.began, region.balancers.applied) == ("pending", [], [])
    region.realiser.restore_region(HERE)
    region.realiser.realise()
    assert (region.fleet.began, len(region.balancers.applied)) == ([("boot", host)], 1)


def test_one_host_fails_alone(region: Region) -> None:
    one, other = region.running(), region.running()
    volume = region.volume(one)
    region.fleet.disks[volume] = (one, "/dev/xvdf")
    region.realiser.fail_host(one)
    assert (state(one), state(other), set(region.fleet.machines)) == ("stopped", "running", {other})
    assert region.fleet.disks == {}
    region.realiser.fail_host("i-00000000000000000")


def test_snapshots_and_checks_are_settled_each_round(region: Region) -> None:
    region.aws("route53").create_health_check(
        CallerReference="1", HealthCheckConfig={"Type": "TCP", "IPAddress": "192.0.2.1", "Port": 80}
    )
    region.realiser.realise()
    assert (region.snapshots.settled, len(region.checks.applied)) == (1, 1)


def test_the_control_socket_tells_and_does_what_it_is_asked(region: Region) -> None:
    host = region.running(
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "master-1"}]}]
    )
    gone = region.running()
    instances.set_state(cloud.instance(gone), "terminated")
    told = _VERBS["status"](region)[HERE]
    assert told["up"] is True
    assert {number: (one["state"], one["name"]) for number, one in told["instances"].items()} == {
        host: ("running", "master-1")
    }
    assert _VERBS["fail-region"](region, region=HERE) == 1
    assert (_VERBS["status"](region)[HERE]["up"], _VERBS["status"](region)[THERE]["up"]) == (False, True)
    _VERBS["restore-region"](region, region=HERE)
    assert _VERBS["status"](region)[HERE]["up"] is True
    other = region.running()
    _VERBS["fail-host"](region, instance=other)
    assert state(other) == "stopped"


def test_the_loop_goes_on_after_a_failure_and_ends_when_it_is_stopped(
    region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds: list[int] = []

    def realise() -> bool:
        rounds.append(1)
        if len(rounds) == 1:
            raise RuntimeError("once")
        region.realiser.stop()
        return False

    monkeypatch.setattr("rehearsal.region.realiser._TICK_SECONDS", 0.001)
    monkeypatch.setattr(region.realiser, "realise", realise)
    region.realiser.run()
    assert len(rounds) == 2
