"""What the provider refuses, what it replaces, and what it changes in place."""

import pytest

from rehearsal.provider.values import UNKNOWN, aligned

EIP = "aws:ec2/eip:Eip"
GROUP = "aws:ec2/securityGroup:SecurityGroup"
INSTANCE = "aws:ec2/instance:Instance"
LISTENER = "aws:lb/listener:Listener"
RULE = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
SUBNET = "aws:ec2/subnet:Subnet"
VOLUME = "aws:ebs/volume:Volume"
VPC = "aws:ec2/vpc:Vpc"


@pytest.mark.parametrize(
    ("kind", "inputs", "sentences"),
    [
        (
            VPC,
            {"cidrBlok": "10.0.0.0/16"},
            ["cidrBlock AWS needs this input", "cidrBlok pulumi-aws knows no such input"],
        ),
        (SUBNET, {"cidrBlock": "c", "availabilityZone": "a"}, ["vpcId pulumi-aws requires this input"]),
        (VOLUME, {"size": 4}, ["availabilityZone pulumi-aws requires this input"]),
        (VOLUME, {"availabilityZone": "a", "outpostArn": "o"}, ["outpostArn is not built in the rehearsal's provider"]),
        (
            LISTENER,
            {"loadBalancerArn": "l", "port": 80, "protocol": "TCP", "defaultActions": [{"targetGroupArn": "t"}]},
            ["defaultActions[0].type pulumi-aws requires this input"],
        ),
        (
            INSTANCE,
            {"ami": "a", "instanceType": "t", "subnetId": "s", "metadataOptions": {"httpToken": "required"}},
            ["metadataOptions.httpToken pulumi-aws knows no such input"],
        ),
        (VPC, {"cidrBlock": UNKNOWN}, []),
    ],
)
def test_inputs_are_refused_as_pulumi_aws_refuses_them(engine, kind, inputs, sentences):
    assert sorted(engine.check(kind, inputs)) == sorted(sentences)


def test_a_type_that_is_not_built_is_named(engine):
    with pytest.raises(Exception, match="aws:ec2/flowLog:FlowLog is not built"):
        engine.check("aws:ec2/flowLog:FlowLog", {})


@pytest.mark.parametrize(
    ("kind", "old", "new", "changed", "replaced"),
    [
        (VPC, {"cidrBlock": "a"}, {"cidrBlock": "a"}, set(), set()),
        (VPC, {"cidrBlock": "a"}, {"cidrBlock": "b"}, {"cidrBlock"}, {"cidrBlock"}),
        (VPC, {"tags": {"a": "1"}}, {"tags": {"a": "2"}}, {"tags"}, set()),
        (VOLUME, {"snapshotId": "s"}, {}, {"snapshotId"}, {"snapshotId"}),
        (VOLUME, {"size": 4}, {"size": 5}, {"size"}, set()),
        (VOLUME, {"region": "us-east-1"}, {"region": "us-west-2"}, {"region"}, {"region"}),
        (INSTANCE, {"ami": "a"}, {"ami": UNKNOWN}, {"ami"}, {"ami"}),
        (INSTANCE, {"instanceType": "a"}, {"instanceType": "b"}, {"instanceType"}, set()),
        (
            INSTANCE,
            {"rootBlockDevice": {"encrypted": True, "volumeSize": 20}},
            {"rootBlockDevice": {"encrypted": True, "volumeSize": 40}},
            {"rootBlockDevice"},
            set(),
        ),
        (
            INSTANCE,
            {"rootBlockDevice": {"encrypted": False}},
            {"rootBlockDevice": {"encrypted": True}},
            {"rootBlockDevice"},
            {"rootBlockDevice"},
        ),
    ],
)
def test_differences_name_what_replaces(engine, kind, old, new, changed, replaced):
    assert engine.diff(kind, old, new) == (changed, replaced)


def test_an_instance_changes_in_place(engine, ground):
    old = {
        "ami": ground["image"],
        "instanceType": "t3.micro",
        "subnetId": ground["subnet"],
        "tags": {"a": "1", "b": "1"},
    }
    id, _ = engine.create(INSTANCE, old)
    options = {"httpTokens": "required", "httpEndpoint": "enabled", "httpPutResponseHopLimit": 1}
    new = old | {"instanceType": "t3.large", "tags": {"a": "2"}, "metadataOptions": options}
    assert engine.update(INSTANCE, id, old, new, preview=True)["instanceType"] == "t3.large"
    assert engine.read(INSTANCE, id, old)[0] == old  # a preview changes nothing
    outputs = engine.update(INSTANCE, id, old, new)
    assert {name: outputs[name] for name in new} == new
    assert outputs["instanceState"] == "running"


def test_a_rule_changes_in_place(engine, ground):
    old = {
        "securityGroupId": ground["group"],
        "cidrIpv4": "10.0.0.0/8",
        "ipProtocol": "tcp",
        "fromPort": 1,
        "toPort": 1,
    }
    id, _ = engine.create(RULE, old)
    new = old | {"fromPort": 2, "toPort": 3, "description": "why"}
    engine.update(RULE, id, old, new)
    assert engine.read(RULE, id, old | new)[0] == new


def test_a_group_lets_nothing_out_of_itself(engine, aws, ground):
    group = aws.of("us-west-2").ec2.describe_security_groups(GroupIds=[ground["group"]])
    assert group["SecurityGroups"][0]["IpPermissionsEgress"] == []


def test_a_refresh_sees_what_somebody_changed(engine, aws, ground):
    inputs = {"vpcId": ground["vpc"], "availabilityZone": "us-west-2a", "cidrBlock": "10.0.7.0/24", "tags": {"a": "1"}}
    id, _ = engine.create(SUBNET, inputs)
    ec2 = aws.of("us-west-2").ec2
    ec2.create_tags(Resources=[id], Tags=[{"Key": "a", "Value": "2"}])
    found, _ = engine.read(SUBNET, id, inputs)
    assert found["tags"] == {"a": "2"}
    ec2.delete_subnet(SubnetId=id)
    assert engine.read(SUBNET, id, inputs) is None


def test_awss_own_words_reach_the_person(engine):
    with pytest.raises(Exception, match=r"InvalidVpcID.NotFound: .*vpc-0404"):
        engine.create(SUBNET, {"vpcId": "vpc-0404", "availabilityZone": "us-west-2a", "cidrBlock": "10.0.0.0/24"})


def test_an_image_is_looked_up_by_exactly_one_name(engine):
    with pytest.raises(Exception, match="0 images in us-west-2 pass"):
        engine.invoke("aws:ec2/getAmi:getAmi", {"filters": [{"name": "name", "values": ["none"]}]})
    assert engine.invoke("aws:index/getCallerIdentity:getCallerIdentity", {})["accountId"] == "123456789012"


@pytest.mark.parametrize(
    ("wanted", "seen", "result"),
    [
        (["a", "b"], ["b", "a"], ["a", "b"]),
        (["a"], ["a", "b"], ["a", "b"]),
        ({"a": 1}, {"a": 1, "default": 2}, {"a": 1}),
        ({"a": 1}, {"a": 2}, {"a": 2}),
        ([{"s": "x"}, {"s": "y"}], [{"s": "y", "d": 1}, {"s": "x", "d": 1}], [{"s": "x"}, {"s": "y"}]),
        ("a", "b", "b"),
    ],
)
def test_order_and_defaults_are_no_drift(wanted, seen, result):
    assert aligned(wanted, seen) == result
