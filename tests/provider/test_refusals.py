"""What the provider tells the engine when AWS refuses: what was made is kept in the state, what was not is not."""

from typing import Any

import pytest
from botocore.exceptions import ClientError
from pulumi.runtime.proto import provider_pb2, status_pb2

from rehearsal.provider.aws import TimedOut
from rehearsal.provider.registry import TYPES
from rehearsal.provider.values import decode

VOLUME, VPC = "aws:ebs/volume:Volume", "aws:ec2/vpc:Vpc"
INPUTS = {"availabilityZone": "us-west-2a", "size": 4}


def refuse(*args: Any, **options: Any) -> Any:
    raise TimedOut("it takes too long")


def half_made(engine: Any) -> Any:
    """What the engine is told, beside the text, of a resource that exists and is not ready."""
    ((name, detail),) = engine.context.metadata
    assert name == "grpc-status-details-bin"
    status = status_pb2.Status.FromString(detail)
    told = provider_pb2.ErrorResourceInitFailed()
    assert status.details[0].Unpack(told)
    return told


@pytest.mark.parametrize("step", ["settle", "observe"])
def test_what_was_made_and_is_not_ready_is_kept_in_the_state(engine, aws, monkeypatch, step):
    """The engine keeps what ErrorResourceInitFailed names; any other error means that nothing was made."""
    monkeypatch.setattr(TYPES[VOLUME], step, refuse)
    with pytest.raises(Exception, match=r"vol-[0-9a-f]+ was created, but: it takes too long"):
        engine.create(VOLUME, INPUTS)
    told = half_made(engine)
    (volume,) = aws.of("us-west-2").ec2.describe_volumes()["Volumes"]
    assert (told.id, decode(told.properties), decode(told.inputs)) == (volume["VolumeId"], INPUTS, INPUTS)
    assert "it takes too long" in told.reasons[0]


def test_what_was_not_made_leaves_nothing_in_the_state(engine, monkeypatch):
    monkeypatch.setattr(TYPES[VOLUME], "create", refuse)
    with pytest.raises(Exception, match="::it: it takes too long"):
        engine.create(VOLUME, INPUTS)
    assert not hasattr(engine.context, "metadata")


def test_what_aws_says_is_told(engine):
    with pytest.raises(Exception, match=r"::it: InvalidVpcID.NotFound: .*vpc-none"):
        engine.create(
            "aws:ec2/subnet:Subnet", {"vpcId": "vpc-none", "availabilityZone": "us-west-2a", "cidrBlock": "a"}
        )


@pytest.mark.parametrize("verb", ["update", "read", "delete"])
def test_a_refusal_of_any_verb_names_the_resource(engine, monkeypatch, verb):
    id, outputs = engine.create(VPC, {"cidrBlock": "10.0.0.0/16"})
    monkeypatch.setattr(TYPES[VPC], {"read": "observe"}.get(verb, verb), refuse)
    acts = {
        "update": lambda: engine.update(VPC, id, {"cidrBlock": "10.0.0.0/16"}, {"enableDnsSupport": False}),
        "read": lambda: engine.read(VPC, id),
        "delete": lambda: engine.delete(VPC, id, outputs),
    }
    with pytest.raises(Exception, match="::it: it takes too long"):
        acts[verb]()


def test_what_is_gone_is_deleted(engine, monkeypatch):
    def gone(*args: Any) -> None:
        raise ClientError({"Error": {"Code": "InvalidVpcID.NotFound", "Message": "m"}}, "DeleteVpc")

    monkeypatch.setattr(TYPES[VPC], "delete", gone)
    engine.delete(VPC, "vpc-1", {})


def test_a_preview_makes_and_changes_nothing(engine, aws, monkeypatch):
    for step in ("create", "update", "settle"):
        monkeypatch.setattr(TYPES[VPC], step, refuse)
    assert engine.create(VPC, {"cidrBlock": "10.0.0.0/16"}, preview=True) == ("", {"cidrBlock": "10.0.0.0/16"})
    changed = engine.update(VPC, "vpc-1", {"cidrBlock": "a"}, {"cidrBlock": "a", "tags": {}}, preview=True)
    assert changed == {"cidrBlock": "a", "tags": {}}


def test_a_resource_lives_in_the_region_it_names(engine, aws):
    id, outputs = engine.create(VPC, {"cidrBlock": "10.0.0.0/16", "region": "us-east-1"})
    assert outputs["region"] == "us-east-1"
    assert id in {vpc["VpcId"] for vpc in aws.of("us-east-1").ec2.describe_vpcs()["Vpcs"]}
    assert id not in {vpc["VpcId"] for vpc in aws.of("us-west-2").ec2.describe_vpcs()["Vpcs"]}
    assert engine.read(VPC, id) is None
    assert engine.read(VPC, id, {"region": "us-east-1"}) is not None
