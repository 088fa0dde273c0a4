"""Each type is made, read back as declared, not made by a preview, and gone after its deletion."""

import json

import pytest

from rehearsal.provider.registry import TYPES

STATEMENT = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::bucket-1/*"}
POLICY = json.dumps({"Version": "2012-10-17", "Statement": [STATEMENT]})
BUCKET_POLICY = json.dumps({"Version": "2012-10-17", "Statement": [STATEMENT | {"Principal": "*"}]})
ASSUME = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
    }
)
TAGS = {"Name": "it", "rekindle:environment": "dev"}
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE1mMjJUvLnk9Lqeb1xB7o2yTqDgmNcB0Zk4SPMZr3yG"
CHECK = {
    "type": "HTTP",
    "fqdn": "b.s3.us-west-2.amazonaws.com",
    "port": 80,
    "resourcePath": "/a",
    "requestInterval": 10,
}

# type: inputs, where "$name" is an id of the ground and "@type" the id of another type's row, made before
ROWS = {
    "aws:ec2/vpc:Vpc": {"cidrBlock": "10.1.0.0/16", "enableDnsHostnames": True, "enableDnsSupport": True, "tags": TAGS},
    "aws:ec2/subnet:Subnet": {
        "vpcId": "$vpc", "availabilityZone": "us-west-2b", "cidrBlock": "10.0.1.0/24",
        "mapPublicIpOnLaunch": False, "tags": TAGS,
    },
    "aws:ec2/internetGateway:InternetGateway": {"vpcId": "$vpc", "tags": TAGS},
    "aws:ec2/eip:Eip": {"domain": "vpc", "tags": TAGS},
    "aws:ec2/instance:Instance": {
        "ami": "$image", "instanceType": "t3.micro", "subnetId": "$subnet", "privateIp": "10.0.0.10",
        "vpcSecurityGroupIds": ["$group"], "userData": "#!/bin/sh\n",
        "metadataOptions": {"httpTokens": "required", "httpEndpoint": "enabled", "httpPutResponseHopLimit": 1},
        "rootBlockDevice": {"encrypted": True, "volumeSize": 20, "volumeType": "gp3"}, "tags": TAGS,
    },
    "aws:ec2/eipAssociation:EipAssociation": {
        "allocationId": "@aws:ec2/eip:Eip", "instanceId": "@aws:ec2/instance:Instance",
    },
    "aws:ec2/natGateway:NatGateway": {"allocationId": "@aws:ec2/eip:Eip", "subnetId": "$subnet", "tags": TAGS},
    "aws:ec2/routeTable:RouteTable": {"vpcId": "$vpc", "tags": TAGS},
    "aws:ec2/route:Route": {
        "routeTableId": "@aws:ec2/routeTable:RouteTable", "destinationCidrBlock": "0.0.0.0/0",
        "gatewayId": "@aws:ec2/internetGateway:InternetGateway",
    },
    "aws:ec2/routeTableAssociation:RouteTableAssociation": {
        "routeTableId": "@aws:ec2/routeTable:RouteTable", "subnetId": "$subnet",
    },
    "aws:ec2/vpcEndpoint:VpcEndpoint": {
        "vpcId": "$vpc", "serviceName": "com.amazonaws.us-west-2.s3", "vpcEndpointType": "Gateway",
        "routeTableIds": ["@aws:ec2/routeTable:RouteTable"], "tags": TAGS,
    },
    "aws:ec2/securityGroup:SecurityGroup": {"name": "s", "description": "s", "vpcId": "$vpc", "tags": TAGS},
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": {
        "securityGroupId": "$group", "referencedSecurityGroupId": "$group", "ipProtocol": "tcp",
        "fromPort": 22, "toPort": 22, "description": "why", "tags": TAGS,
    },
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": {
        "securityGroupId": "$group", "cidrIpv4": "0.0.0.0/0", "ipProtocol": "-1",
    },
    "aws:ec2/keyPair:KeyPair": {"keyName": "k", "publicKey": KEY, "tags": TAGS},
    "aws:ebs/volume:Volume": {
        "availabilityZone": "us-west-2a", "size": 4, "type": "gp3", "encrypted": True, "tags": TAGS,
    },
    "aws:lb/loadBalancer:LoadBalancer": {
        "name": "l", "loadBalancerType": "network", "internal": False, "enableCrossZoneLoadBalancing": True,
        "securityGroups": ["$group"],
        "subnetMappings": [{"subnetId": "$subnet", "allocationId": "@aws:ec2/eip:Eip"}], "tags": TAGS,
    },
    "aws:lb/targetGroup:TargetGroup": {
        "name": "t", "port": 80, "protocol": "TCP", "targetType": "instance", "vpcId": "$vpc",
        "deregistrationDelay": 30, "healthCheck": {"protocol": "TCP", "port": "80", "interval": 10}, "tags": TAGS,
    },
    "aws:lb/targetGroupAttachment:TargetGroupAttachment": {
        "targetGroupArn": "@aws:lb/targetGroup:TargetGroup", "targetId": "@aws:ec2/instance:Instance",
    },
    "aws:lb/listener:Listener": {
        "loadBalancerArn": "@aws:lb/loadBalancer:LoadBalancer", "port": 80, "protocol": "TCP",
        "defaultActions": [{"type": "forward", "targetGroupArn": "@aws:lb/targetGroup:TargetGroup"}], "tags": TAGS,
    },
    "aws:iam/role:Role": {"name": "r", "assumeRolePolicy": ASSUME, "description": "d", "tags": TAGS},
    "aws:iam/rolePolicy:RolePolicy": {"name": "p", "role": "@aws:iam/role:Role", "policy": POLICY},
    "aws:iam/instanceProfile:InstanceProfile": {"name": "i", "role": "@aws:iam/role:Role", "tags": TAGS},
    "aws:route53/zone:Zone": {"name": "example.test", "comment": "c", "tags": TAGS},
    "aws:route53/healthCheck:HealthCheck": {**CHECK, "failureThreshold": 1, "invertHealthcheck": True, "tags": TAGS},
    "aws:route53/record:Record": {
        "zoneId": "@aws:route53/zone:Zone", "name": "orders.example.test", "type": "CNAME", "ttl": 10,
        "records": ["dev.example.test"], "failoverRoutingPolicies": [{"type": "PRIMARY"}],
        "setIdentifier": "orders-primary", "healthCheckId": "@aws:route53/healthCheck:HealthCheck",
    },
    "aws:cloudwatch/metricAlarm:MetricAlarm": {
        "name": "Rekindle/x/dev-dr", "alarmDescription": "d", "namespace": "Rekindle/x", "metricName": "TakenOver",
        "dimensions": {"Environment": "dev-dr"}, "statistic": "Maximum", "period": 60, "evaluationPeriods": 1,
        "comparisonOperator": "GreaterThanThreshold", "threshold": 0.5, "treatMissingData": "ignore", "tags": TAGS,
    },
    "aws:kms/key:Key": {"description": "d", "enableKeyRotation": True, "deletionWindowInDays": 7, "tags": TAGS},
    "aws:kms/alias:Alias": {"name": "alias/a", "targetKeyId": "@aws:kms/key:Key"},
    "aws:s3/bucket:Bucket": {"bucket": "bucket-1", "objectLockEnabled": True, "tags": TAGS},
    "aws:s3/bucketVersioning:BucketVersioning": {
        "bucket": "@aws:s3/bucket:Bucket", "versioningConfiguration": {"status": "Enabled"},
    },
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": {
        "bucket": "@aws:s3/bucket:Bucket", "blockPublicAcls": True, "blockPublicPolicy": True,
    },
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": {
        "bucket": "@aws:s3/bucket:Bucket",
        "rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "AES256"}}],
    },
    "aws:s3/bucketPolicy:BucketPolicy": {"bucket": "@aws:s3/bucket:Bucket", "policy": BUCKET_POLICY},
}  # fmt: skip
UNDELETED = {"aws:s3/bucketVersioning:BucketVersioning"}  # S3 has no such call


def resolved(engine, ground, value):
    """Inputs with ids in the place of references, whose targets are made first."""
    if isinstance(value, dict):
        return {name: resolved(engine, ground, item) for name, item in value.items()}
    if isinstance(value, list):
        return [resolved(engine, ground, item) for item in value]
    if isinstance(value, str) and value.startswith("$"):
        return ground[value[1:]]
    if isinstance(value, str) and value.startswith("@"):
        if value not in ground:
            ground[value] = engine.create(value[1:], resolved(engine, ground, ROWS[value[1:]]))[0]
        return ground[value]
    return value


def test_every_type_has_a_row():
    assert ROWS.keys() == TYPES.keys()


@pytest.mark.parametrize("kind", ROWS)
def test_made_read_and_deleted(engine, ground, kind):
    inputs = resolved(engine, ground, ROWS[kind])
    assert engine.check(kind, inputs) == []
    id, outputs = engine.create(kind, inputs)
    assert {name: outputs[name] for name in inputs} == inputs
    assert engine.read(kind, id, inputs) == (inputs, outputs)
    assert engine.diff(kind, inputs, inputs) == (set(), set())
    engine.delete(kind, id, outputs)
    if kind not in UNDELETED:
        assert engine.read(kind, id, inputs) is None
        engine.delete(kind, id, outputs)  # what is gone already is no error


@pytest.mark.parametrize("kind", ROWS)
def test_an_import_finds_inputs_that_declare_what_is_there(engine, ground, kind):
    inputs = resolved(engine, ground, ROWS[kind])
    id, _ = engine.create(kind, inputs)
    found, outputs = engine.read(kind, id)
    plain = {name for name in inputs.keys() & found.keys() if isinstance(inputs[name], str | int | bool)}
    documents = {name for name in plain if str(inputs[name]).startswith("{")}  # the same JSON, spelled otherwise
    assert {name: found[name] for name in plain - documents} == {name: inputs[name] for name in plain - documents}
    assert engine.check(kind, {**inputs, **found}) == []
    assert outputs


def test_a_preview_makes_nothing(engine, aws):
    id, outputs = engine.create("aws:ec2/vpc:Vpc", {"cidrBlock": "10.9.0.0/16"}, preview=True)
    assert (id, outputs) == ("", {"cidrBlock": "10.9.0.0/16"})
    cidrs = {vpc["CidrBlock"] for vpc in aws.of("us-west-2").ec2.describe_vpcs()["Vpcs"]}
    assert "10.9.0.0/16" not in cidrs


def test_a_resource_may_live_in_another_region(engine, aws):
    kind, inputs = "aws:ec2/eip:Eip", {"domain": "vpc", "region": "us-east-1"}
    id, outputs = engine.create(kind, inputs)
    assert outputs["region"] == "us-east-1"
    assert aws.of("us-east-1").ec2.describe_addresses(AllocationIds=[id])["Addresses"]
    engine.delete(kind, id, outputs)
    assert not aws.of("us-east-1").ec2.describe_addresses()["Addresses"]
