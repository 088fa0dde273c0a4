"""What the provider refuses, what it replaces, and what it changes in place."""

from collections.abc import Iterator

import pytest
from moto.cloudwatch.models import CloudWatchBackend
from moto.route53.models import HealthCheck as Made
from moto.route53.models import Route53Backend
from moto.route53.responses import Route53

from rehearsal.dns.alarms import State
from rehearsal.dns.health_checks import HealthChecks
from rehearsal.provider.values import UNKNOWN, aligned
from rehearsal.region.behaviour import alarms, names

EIP = "aws:ec2/eip:Eip"
METRIC_ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
HEALTH_CHECK = "aws:route53/healthCheck:HealthCheck"
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


ALARM = {
    "name": "Rekindle/x/dev-dr",
    "namespace": "Rekindle/x",
    "metricName": "TakenOver",
    "dimensions": {"Environment": "dev-dr"},
    "statistic": "Maximum",
    "period": 60,
    "evaluationPeriods": 1,
    "comparisonOperator": "GreaterThanThreshold",
    "threshold": 0.5,
    "treatMissingData": "ignore",
    "tags": {"a": "1", "b": "1"},
}


def test_an_alarm_changes_in_place_and_by_its_name_only_it_is_another(engine):
    id, _ = engine.create(METRIC_ALARM, ALARM)
    new = ALARM | {"threshold": 1.5, "treatMissingData": "missing", "dimensions": {"E": "x"}, "tags": {"a": "2"}}
    outputs = engine.update(METRIC_ALARM, id, ALARM, new)
    assert {name: outputs[name] for name in new} == new
    assert engine.diff(METRIC_ALARM, ALARM, new)[1] == set()
    assert engine.diff(METRIC_ALARM, ALARM, ALARM | {"name": "other"})[1] == {"name"}
    needs = ("comparisonOperator", "evaluationPeriods", "metricName", "namespace", "period", "statistic", "threshold")
    assert sorted(engine.check(METRIC_ALARM, {"name": "a"})) == [f"{name} AWS needs this input" for name in needs]


@pytest.fixture
def strict(engine) -> Iterator[None]:
    """Route 53 and CloudWatch as the region's API has them."""
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in (
            (Route53, "create_health_check"),
            (Route53, "update_health_check"),
            (Route53, "get_health_check_status"),
            (Route53Backend, "change_resource_record_sets"),
            (Made, "health_check_config"),
            (CloudWatchBackend, "put_metric_alarm"),
            (CloudWatchBackend, "put_metric_data"),
        ):
            patch.setattr(owner, name, vars(owner)[name])  # put back after the test
        names.install(HealthChecks(lambda name: [], lambda alarm: State.OK), lambda region: False)
        alarms.install()
        yield


CHECK = {
    "type": "CLOUDWATCH_METRIC",
    "cloudwatchAlarmName": ALARM["name"],
    "cloudwatchAlarmRegion": "us-west-2",
    "insufficientDataHealthStatus": "LastKnownStatus",
    "tags": {"a": "1"},
}


def test_a_check_of_an_alarm_is_made_read_and_changed(engine, strict):
    engine.create(METRIC_ALARM, ALARM)
    assert engine.check(HEALTH_CHECK, CHECK) == []
    id, outputs = engine.create(HEALTH_CHECK, CHECK)
    assert {name: outputs[name] for name in CHECK} == CHECK
    assert engine.read(HEALTH_CHECK, id, CHECK) == (CHECK, outputs)
    assert engine.diff(HEALTH_CHECK, CHECK, CHECK) == (set(), set())
    assert not outputs.keys() & {"port", "requestInterval", "failureThreshold"}

    engine.create(METRIC_ALARM, ALARM | {"name": "other"})
    new = CHECK | {"cloudwatchAlarmName": "other", "insufficientDataHealthStatus": "Healthy", "invertHealthcheck": True}
    assert engine.diff(HEALTH_CHECK, CHECK, new)[1] == set()
    outputs = engine.update(HEALTH_CHECK, id, CHECK, new)
    assert {name: outputs[name] for name in new} == new
    engine.delete(HEALTH_CHECK, id, outputs)
    assert engine.read(HEALTH_CHECK, id, new) is None


def test_another_kind_of_check_is_another_check(engine):
    http = {"type": "HTTP", "fqdn": "b.s3.us-west-2.amazonaws.com"}
    assert "type" in engine.diff(HEALTH_CHECK, http, CHECK)[1]
