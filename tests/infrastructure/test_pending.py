"""What a killed engine leaves, as tables: the state exported in, the state to import out."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from moto import mock_aws

from rekindle.aws.clients import Clients
from rekindle.errors import Refused
from rekindle.infrastructure import Lookup, lock, pending, process
from rekindle.infrastructure.events import Events
from rekindle.infrastructure.lookup import STATES, _is_there, tags_of
from rekindle.infrastructure.pending import Pending
from rekindle.process import boot_id

URN = "urn:pulumi:dev::rekindle::aws:ebs/volume:Volume::kafka-1"


def resource(urn: str = URN, **more: Any) -> dict[str, Any]:
    return {"urn": urn, "custom": True, "type": "aws:ebs/volume:Volume", "inputs": {"size": 4}, **more}


def exported(*operations: tuple[str, dict[str, Any]], resources: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    open_ones = [{"type": kind, "resource": resource} for kind, resource in operations]
    return {"version": 3, "deployment": {"resources": list(resources), "pending_operations": open_ones}}


def test_nothing_open_is_nothing_to_settle() -> None:
    assert not pending.is_interrupted(exported())
    assert not pending.is_interrupted({"deployment": {"pending_operations": None}})


def test_a_creation_that_was_found_is_in_the_state() -> None:
    settled = pending.settled(exported(("creating", resource())), {URN: "vol-1"})["deployment"]
    assert settled["pending_operations"] == []
    assert [(r["urn"], r["id"], r["outputs"]) for r in settled["resources"]] == [(URN, "vol-1", {"size": 4})]


def test_a_creation_that_made_nothing_is_forgotten() -> None:
    settled = pending.settled(exported(("creating", resource())), {})["deployment"]
    assert settled == {"resources": [], "pending_operations": []}


def test_what_a_found_creation_replaces_is_left_to_be_deleted() -> None:
    before = exported(("creating", resource()), resources=(resource(id="vol-0"),))
    settled = pending.settled(before, {URN: "vol-1"})["deployment"]["resources"]
    assert [(r["id"], r.get("delete", False)) for r in settled] == [("vol-0", True), ("vol-1", False)]


def test_what_was_being_changed_is_read_again() -> None:
    state = exported(("updating", resource("a", id="1")), ("deleting", resource("b", id="2")), ("reading", resource()))
    assert pending.changing(state) == {"a", "b"}
    assert pending.creations(state) == ()


REFUSAL = """error: the stack is currently locked by 2 lock(s). Either wait for the other process(es) to end or delete
  s3://state/.pulumi/locks/a.json: created by ada@{host} (pid {pid}) at 2026-11-21T03:00:00Z
  s3://state/.pulumi/locks/b.json: created by bob@elsewhere (pid 7) at 2026-11-21T03:00:01Z"""


def test_only_locks_of_dead_engines_of_ours_are_accounted_for() -> None:
    ended = _ended()
    held = lock.holders(REFUSAL.format(host=ended.host, pid=ended.pid))
    assert [(h.user, h.pid) for h in held] == [("ada", ended.pid), ("bob", 7)]
    assert [h.user for h in lock.unaccounted(held, [ended])] == ["bob"]
    assert [h.user for h in lock.unaccounted(held, [])] == ["ada", "bob"]
    assert lock.holders("error: something else (pid 7)") == ()


def test_a_living_process_with_the_number_of_a_dead_one_keeps_its_lock() -> None:
    living = process.of(os.getpid())
    reused = replace(living, start=living.start - 1)
    held = lock.holders(REFUSAL.format(host=living.host, pid=living.pid))
    assert not reused.is_alive
    assert [h.user for h in lock.unaccounted(held, [reused])] == ["ada", "bob"]


def _ended() -> process.Process:
    child = subprocess.Popen(["sleep", "60"])
    known = process.of(child.pid)
    child.kill()
    child.wait()
    return known


def test_a_process_is_known_by_more_than_its_number() -> None:
    here = process.of(os.getpid())
    assert here.is_alive
    assert not replace(here, start=here.start + 1).is_alive
    assert not replace(here, boot_id="another").is_alive
    assert not _ended().is_alive


def test_what_is_left_of_a_dead_session_is_ended() -> None:
    script = "setsid sh -c 'sleep 60 >/dev/null 2>&1 & echo $$'"
    printed = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    leader = process.Process(host=process.of(os.getpid()).host, boot_id=boot_id(), pid=int(printed), start=0)
    assert process.end_session(leader) == 1
    assert process.end_session(leader) == 0


def test_events_become_one_line_of_progress(tmp_path: Path) -> None:
    log, told = tmp_path / "events", list[str]()
    events = Events(log, told.append)
    events.read()
    step = {"metadata": {"op": "create", "urn": URN}}
    with log.open("w") as stream:
        stream.write(json.dumps({"resourcePreEvent": step}) + "\n")
        stream.write(json.dumps({"resOutputsEvent": step}) + "\n")
        stream.write(json.dumps({"diagnosticEvent": {"severity": "error", "message": "no\n  room"}}) + "\n")
        stream.write('{"cut')
    events.read()
    assert told == ["0 done; creating aws:ebs/volume:Volume kafka-1"]
    assert (events.changed, events.errors) == (1, ["no room"])


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield Lookup(Clients(), "us-west-2")


def creation(kind: str, **inputs: Any) -> Pending:
    return Pending(urn=f"urn:pulumi:dev::rekindle::{kind}::it", type=kind, inputs=inputs)


TAGS = {"Name": "kafka-1", "rekindle:urn": URN}


def test_a_creation_is_found_by_its_urn(look: Lookup) -> None:
    ec2 = look.of("ec2")
    wanted = creation("aws:ebs/volume:Volume", tags=TAGS)
    assert look(wanted) is None
    tagged = [{"ResourceType": "volume", "Tags": [{"Key": k, "Value": v} for k, v in TAGS.items()]}]
    made = ec2.create_volume(AvailabilityZone="us-west-2a", Size=1, TagSpecifications=tagged)["VolumeId"]
    ec2.create_volume(AvailabilityZone="us-west-2a", Size=1)
    assert look(wanted) == made
    twin = ec2.create_volume(AvailabilityZone="us-west-2a", Size=1, TagSpecifications=tagged)["VolumeId"]
    with pytest.raises(Refused, match=twin):
        look(wanted)
    ec2.delete_volume(VolumeId=twin)
    assert look(wanted) == made


class Nobody:
    """Clients of an AWS that is not to be asked."""

    def of(self, service: str, region: str) -> None:
        return None


def tagged(kind: str, tags: dict[str, str] = TAGS) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}]


def test_what_was_tagged_anew_since_is_still_found_by_its_urn(look: Lookup) -> None:
    ec2 = look.of("ec2")
    made = ec2.create_volume(AvailabilityZone="us-west-2a", Size=1, TagSpecifications=tagged("volume"))["VolumeId"]
    ec2.create_tags(Resources=[made], Tags=[{"Key": "Name", "Value": "renamed"}, {"Key": "Owner", "Value": "x"}])
    assert look(creation("aws:ebs/volume:Volume", tags=TAGS)) == made
    assert look(creation("aws:ebs/volume:Volume", tags={"Name": "old"}, tagsAll=TAGS)) == made


def test_without_a_urn_all_tags_must_be_there(look: Lookup) -> None:
    ec2, plain = look.of("ec2"), {"Name": "a", "Owner": "b"}
    ec2.create_volume(AvailabilityZone="us-west-2a", Size=1, TagSpecifications=tagged("volume", {"Name": "a"}))
    wanted = creation("aws:ebs/volume:Volume", tags=plain)
    assert look(wanted) is None
    made = ec2.create_volume(AvailabilityZone="us-west-2a", Size=1, TagSpecifications=tagged("volume", plain))
    assert look(wanted) == made["VolumeId"]


def test_what_was_terminated_is_gone_though_its_tags_are_not(look: Lookup) -> None:
    ec2 = look.of("ec2")
    image = ec2.describe_images()["Images"][0]["ImageId"] if ec2.describe_images()["Images"] else "ami-12345678"
    made = ec2.run_instances(
        ImageId=image, MinCount=1, MaxCount=1, InstanceType="t3.micro", TagSpecifications=tagged("instance")
    )["Instances"][0]["InstanceId"]
    wanted = creation("aws:ec2/instance:Instance", tags=TAGS)
    assert look(wanted) == made
    ec2.terminate_instances(InstanceIds=[made])
    assert look(wanted) is None


@pytest.mark.parametrize(
    ("state", "is_there"),
    [
        ("pending", True),
        ("running", True),
        ("stopped", True),
        ("available", True),
        ("creating", True),
        ("shutting-down", False),
        ("terminated", False),
        ("deleting", False),
        ("deleted", False),
        ("failed", False),
    ],
)
@pytest.mark.parametrize("kind", sorted(STATES))
def test_only_what_lives_is_taken_in(kind: str, state: str, is_there: bool) -> None:
    answers = {
        "describe_instances": {"Reservations": [{"Instances": [{"State": {"Name": state}}]}]},
        "describe_volumes": {"Volumes": [{"State": state}]},
        "describe_nat_gateways": {"NatGateways": [{"State": state}]},
    }
    client = SimpleNamespace(**{call: lambda answer=answer, **ids: answer for call, answer in answers.items()})
    assert _is_there(client, kind, "id-1") is is_there


@pytest.mark.parametrize(
    ("kind", "inputs"),
    [
        ("aws:ec2/route:Route", {}),
        ("aws:ec2/route:Route", {"routeTableId": {"secret": 1}, "destinationCidrBlock": "0.0.0.0/0"}),
        ("aws:ec2/routeTableAssociation:RouteTableAssociation", {"routeTableId": "rtb-1"}),
        ("aws:lb/listener:Listener", {"port": 80}),
        ("aws:lb/targetGroup:TargetGroup", {"name": ["a"]}),
        ("aws:s3/bucket:Bucket", {}),
    ],
)
def test_what_the_state_does_not_say_is_not_guessed(kind: str, inputs: dict[str, Any]) -> None:
    look = Lookup(Nobody(), "us-west-2")  # type: ignore[arg-type]
    with pytest.raises(Refused, match="is not known, by which to look for it"):
        look(creation(kind, **inputs))


@pytest.mark.parametrize("tags", [None, [], "x", {"Name": 1}, {"Name": {"secret": "x"}}])
def test_tags_that_are_none_find_nothing(tags: Any) -> None:
    assert tags_of(creation("aws:ebs/volume:Volume", tags=tags, tagsAll=tags)) == {}


def test_what_has_a_name_of_its_own_is_found_by_it(look: Lookup) -> None:
    group = creation("aws:lb/targetGroup:TargetGroup", name="edge")
    assert look(group) is None
    vpc = look.of("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    made = look.of("elbv2").create_target_group(Name="edge", Protocol="TCP", Port=80, VpcId=vpc)
    assert look(group) == made["TargetGroups"][0]["TargetGroupArn"]


def test_relations_are_found_by_what_they_relate(look: Lookup) -> None:
    ec2 = look.of("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    between = creation("aws:ec2/routeTableAssociation:RouteTableAssociation", routeTableId=table, subnetId=subnet)
    out = creation("aws:ec2/route:Route", routeTableId=table, destinationCidrBlock="0.0.0.0/0")
    assert look(between) is None
    assert look(out) is None
    made = ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)["AssociationId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    assert look(between) == made
    assert look(out) == f"{table}_0.0.0.0/0"


def test_what_nobody_knows_how_to_look_for_is_not_guessed(look: Lookup) -> None:
    with pytest.raises(Refused, match="cannot be found out"):
        look(creation("aws:rds/instance:Instance", tags=TAGS))
