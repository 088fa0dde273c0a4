"""What each resource must have to keep data, and to keep people out; the tables are AWS's rules and the ADRs'."""

import json
from ipaddress import IPv4Network
from typing import Any

import pytest
from program import RESTORED, Recorder

INSTANCE, VOLUME, BUCKET = "aws:ec2/instance:Instance", "aws:ebs/volume:Volume", "aws:s3/bucket:Bucket"
KEY, ZONE = "aws:kms/key:Key", "aws:route53/zone:Zone"
ALARM, CHECK = "aws:cloudwatch/metricAlarm:MetricAlarm", "aws:route53/healthCheck:HealthCheck"
BLOCK = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
ENCRYPTION = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
VERSIONING = "aws:s3/bucketVersioning:BucketVersioning"
JOURNAL, MIRROR, SWITCH = (f"rekindle-example-{name}" for name in ("journal", "mirror", "switch"))
RUNNING = {"ignore_changes": ["ami", "userData"]}
DATA = {"protect": True, "retain_on_delete": True, "ignore_changes": ["snapshotId"]}
Stack = tuple[Recorder, dict[str, Any]]


def options(stack: Stack) -> dict[tuple[str, str], dict[str, Any]]:
    """Of what has any; those of components reach their children, so they stand here too."""
    return {key: found for key, found in stack[0].options.items() if found}


def test_what_pulumi_may_never_do_in_an_environment(dev):
    """A new image replaces no host (ADR 15); masters and volumes are destroyed by nobody's mistake."""
    assert options(dev) == {
        (INSTANCE, "dev-bastion"): RUNNING,
        (INSTANCE, "dev-bootstrap"): {**RUNNING, "delete_before_replace": True},
        (INSTANCE, "dev-master-1"): {**RUNNING, "delete_before_replace": True, "protect": True},
        (INSTANCE, "dev-private-agent-1"): RUNNING,
        (INSTANCE, "dev-private-agent-2"): RUNNING,
        (INSTANCE, "dev-private-agent-3"): RUNNING,
        (INSTANCE, "dev-public-agent-1"): RUNNING,
        (VOLUME, "dev-kafka-1"): DATA,
        (VOLUME, "dev-kafka-2"): DATA,
        (VOLUME, "dev-kafka-3"): DATA,
    }


def test_what_pulumi_may_never_do_in_the_foundation(ground):
    """It outlives every environment: without bucket, key or zone nothing is rebuilt.

    A check, or its alarm, that is made anew knows of no takeover, and sends the names back (ADR 12).
    """
    assert options(ground) == {
        (BUCKET, JOURNAL): {"protect": True},
        (BUCKET, MIRROR): {"protect": True},
        (ALARM, f"{SWITCH}-dev-dr"): {"protect": True},
        (CHECK, "foundation-dev-dr"): {"protect": True},
        (KEY, "foundation-recovery"): {"protect": True},
        (ZONE, "example.test"): {"protect": True},
    }


def test_a_switch_that_is_a_bucket_is_kept_too(ground, switched_by_bucket):
    with_alarm, with_bucket = options(ground), options(switched_by_bucket)
    assert with_alarm.keys() - with_bucket.keys() == {(ALARM, f"{SWITCH}-dev-dr")}
    assert {key: with_bucket[key] for key in with_bucket.keys() - with_alarm.keys()} == {
        (BUCKET, SWITCH): {"protect": True}
    }


def test_a_standbys_restored_volumes_are_kept_as_any_others(awake):
    assert {name: options(awake)[VOLUME, name] for name in awake[0].of(VOLUME)} == dict.fromkeys(
        ("dev-dr-kafka-1", "dev-dr-kafka-2", "dev-dr-kafka-3"), DATA
    )
    assert {made["tags"]["Name"]: made["snapshotId"] for made in awake[0].of(VOLUME).values()} == RESTORED


PARENTS = {
    "ec2/instance": "hosts:Hosts",
    "ebs/volume": "volumes:Volumes",
    "ec2/eipAssociation": "bastion:BastionAddress",
    "ec2/securityGroup": "security:Security",
    "vpc/securityGroupEgressRule": "security:Security",
    "vpc/securityGroupIngressRule": "security:Security",
    "lb/listener": "load_balancers:PublicLoadBalancer",
    "lb/loadBalancer": "load_balancers:PublicLoadBalancer",
    "lb/targetGroup": "load_balancers:PublicLoadBalancer",
    "lb/targetGroupAttachment": "load_balancers:PublicLoadBalancer",
    "cloudwatch/metricAlarm": "switch:AlarmSwitch",
    "route53/healthCheck": "names:Names",
    "route53/zone": "names:Names",
    "s3/bucket": "buckets:PrivateBucket",
    "s3/bucketPublicAccessBlock": "buckets:PrivateBucket",
    "s3/bucketServerSideEncryptionConfiguration": "buckets:PrivateBucket",
    "s3/bucketVersioning": "buckets:PrivateBucket",
    "kms/key": "keys:Keys",
    "kms/alias": "keys:Keys",
    "iam/role": "iam:HostRoles",
    "iam/rolePolicy": "iam:HostRoles",
    "iam/instanceProfile": "iam:HostRoles",
    **dict.fromkeys(
        ("ec2/vpc", "ec2/subnet", "ec2/route", "ec2/routeTable", "ec2/routeTableAssociation", "ec2/internetGateway"),
        "network:Network",
    ),
    "ec2/natGateway": "network:Network",
    "ec2/vpcEndpoint": "network:Network",
}


@pytest.mark.parametrize("stack", ["dev", "ground"])
def test_no_resource_changes_its_urn(request, stack):
    """Its parent's type is part of it: another parent is, to the engine, another resource in the first one's place."""
    recorder: Recorder = request.getfixturevalue(stack)[0]
    found = {(kind.split(":")[1], parent) for (kind, _), parent in recorder.parents.items() if kind.startswith("aws:")}
    assert {(kind, parent) for kind, parent in found if kind in PARENTS} == {
        (kind, f"rekindle:{parent}") for kind, parent in PARENTS.items() if kind in dict(found)
    }
    assert {parent for kind, parent in found if kind == "ec2/eip"} <= {
        f"rekindle:{parent}" for parent in ("bastion:BastionAddress", "network:Network", PARENTS["lb/listener"])
    }


# -- data --------------------------------------------------------------------------------------


def test_a_volume_is_as_it_is_declared(dev):
    found = {name: {k: v for k, v in made.items() if k != "tags"} for name, made in dev[0].of(VOLUME).items()}
    assert found == {
        f"dev-kafka-{number}": {"size": 4, "type": "gp3", "encrypted": True, "availabilityZone": f"us-east-1{az}"}
        for number, az in ((1, "a"), (2, "b"), (3, "c"))
    }
    tags = dev[0].of(VOLUME)["dev-kafka-2"]["tags"]
    assert {k: tags[k] for k in ("Name", "rekindle:cluster", "rekindle:service")} == {
        "Name": "kafka-2",
        "rekindle:cluster": "dev",
        "rekindle:service": "kafka-2",
    }


@pytest.mark.parametrize(
    ("stack", "bucket", "is_locked", "goes_with_its_stack", "encryption"),
    [
        ("ground", JOURNAL, True, False, ("aws:kms", "foundation-recovery-arn")),
        ("ground", MIRROR, False, False, ("AES256", None)),
        ("switched_by_bucket", SWITCH, False, False, ("AES256", None)),
        ("dev", "dev-artifacts", False, True, ("AES256", None)),
    ],
)
def test_a_bucket_keeps_what_is_in_it(request, stack, bucket, is_locked, goes_with_its_stack, encryption):
    recorder: Recorder = request.getfixturevalue(stack)[0]
    made = recorder.of(BUCKET)[bucket]
    assert (made.get("objectLockEnabled", False), made.get("forceDestroy", False)) == (is_locked, goes_with_its_stack)
    assert recorder.of(VERSIONING)[bucket]["versioningConfiguration"] == {"status": "Enabled"}
    (rule,) = recorder.of(ENCRYPTION)[bucket]["rules"]
    default = rule["applyServerSideEncryptionByDefault"]
    assert (default["sseAlgorithm"], default.get("kmsMasterKeyId")) == encryption
    assert {recorder.of(kind)[bucket]["bucket"] for kind in (VERSIONING, ENCRYPTION, BLOCK)} == {made["bucket"]}


def test_a_journal_encrypted_by_kms_does_not_ask_it_for_each_object(ground):
    (rule,) = ground[0].of(ENCRYPTION)[JOURNAL]["rules"]
    assert rule["bucketKeyEnabled"] is True


def test_the_key_is_renewed_and_its_deletion_can_be_taken_back_for_as_long_as_aws_lets_it(ground):
    (key,) = ground[0].of(KEY).values()
    assert (key["enableKeyRotation"], key["deletionWindowInDays"]) == (True, 30)
    (alias,) = ground[0].of("aws:kms/alias:Alias").values()
    assert alias["targetKeyId"] == "foundation-recovery-key"


def test_every_disk_of_a_host_is_encrypted_and_as_large_as_declared(dev):
    found = {name.removeprefix("dev-"): made["rootBlockDevice"] for name, made in dev[0].of(INSTANCE).items()}
    sizes = {"bootstrap": 40, "master-1": 60, "public-agent-1": 40, "private-agent-1": 60}
    assert {name: found[name]["volumeSize"] for name in sizes} == sizes
    assert all(disk["encrypted"] is True and disk["volumeType"] == "gp3" for disk in found.values())


# -- people ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stack", "bucket", "takes_public_policies"),
    [
        ("ground", JOURNAL, False),
        ("ground", MIRROR, False),
        ("dev", "dev-artifacts", False),  # bound to one endpoint, so not public (S3 user guide, block public access)
    ],
)
def test_a_bucket_is_nobody_elses(request, stack, bucket, takes_public_policies):
    made = request.getfixturevalue(stack)[0].of(BLOCK)[bucket]
    assert (made["blockPublicAcls"], made["ignorePublicAcls"]) == (True, True)
    assert (made["blockPublicPolicy"], made["restrictPublicBuckets"]) == (not takes_public_policies,) * 2


def test_artifacts_are_read_through_the_vpcs_own_endpoint_and_not_otherwise(dev):
    (policy,) = dev[0].of("aws:s3/bucketPolicy:BucketPolicy").values()
    (statement,) = json.loads(policy["policy"])["Statement"]
    assert policy["bucket"] == dev[0].of(BUCKET)["dev-artifacts"]["bucket"]
    assert {k: v for k, v in statement.items() if k != "Sid"} == {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::example-artifacts-dev/*",
        "Condition": {"StringEquals": {"aws:SourceVpce": "dev-s3-id"}},
    }


HOSTS = {
    "dev-bastion": ("dev-public-us-east-1a-id", "dev-bastion-id", None, "required"),
    "dev-bootstrap": ("dev-admin-us-east-1a-id", "dev-bootstrap-id", "dev-bootstrap", "required"),
    "dev-master-1": ("dev-admin-us-east-1a-id", "dev-master-id", "dev-master", "required"),
    "dev-public-agent-1": ("dev-public-us-east-1a-id", "dev-public-agent-id", "dev-public_agent", "required"),
    "dev-private-agent-1": ("dev-private-us-east-1a-id", "dev-private-agent-id", "dev-private_agent", "optional"),
    "dev-private-agent-2": ("dev-private-us-east-1b-id", "dev-private-agent-id", "dev-private_agent", "optional"),
    "dev-private-agent-3": ("dev-private-us-east-1c-id", "dev-private-agent-id", "dev-private_agent", "optional"),
}
"""By name: subnet, the one security group, instance profile, whether metadata wants a token (ADR 13)."""


def test_where_a_host_stands_and_what_it_may_do(dev):
    found = {
        name: (made["subnetId"], *made["vpcSecurityGroupIds"], made.get("iamInstanceProfile"))
        for name, made in dev[0].of(INSTANCE).items()
    }
    assert found == {name: host[:3] for name, host in HOSTS.items()}


def test_a_host_is_what_is_declared_of_it(dev):
    instances = dev[0].of(INSTANCE)
    assert {made["ami"] for made in instances.values()} == {"ami-0a1b2c3d4e5f60001"}
    assert {made["keyName"] for made in instances.values()} == {"dev"}
    types = {"bastion": "t3.micro", "bootstrap": "t3.large", "master-1": "t3.xlarge", "public-agent-1": "t3.large"}
    assert {name: instances[f"dev-{name}"]["instanceType"] for name in types} == types
    assert "hostnamectl set-hostname master-1\n" in instances["dev-master-1"]["userData"]
    tags = instances["dev-private-agent-2"]["tags"]
    assert {k: v for k, v in tags.items() if k not in {"rekindle:urn", "rekindle:environment"}} == {
        "Name": "dev-private-agent-2",
        "rekindle:cluster": "dev",
        "rekindle:host": "private-agent-2",
        "rekindle:pool": "private-agent",
        "rekindle:role": "private_agent",
    }


def test_metadata_is_asked_with_a_token_and_never_through_a_hop(dev):
    found = {name: made["metadataOptions"] for name, made in dev[0].of(INSTANCE).items()}
    assert found == {
        name: {"httpEndpoint": "enabled", "httpTokens": tokens, "httpPutResponseHopLimit": 1}
        for name, (*_, tokens) in HOSTS.items()
    }


def test_a_role_is_taken_on_by_hosts_alone_and_each_profile_has_its_own(ground):
    roles = ground[0].of("aws:iam/role:Role")
    assert len(roles) == 8  # four kinds of host, two environments
    for made in roles.values():
        (statement,) = json.loads(made["assumeRolePolicy"])["Statement"]
        assert statement["Principal"] == {"Service": "ec2.amazonaws.com"}
        assert (statement["Effect"], statement["Action"]) == ("Allow", "sts:AssumeRole")
    profiles = ground[0].of("aws:iam/instanceProfile:InstanceProfile")
    policies = ground[0].of("aws:iam/rolePolicy:RolePolicy")
    assert {name: made["role"] for name, made in profiles.items()} == {name: name for name in roles}
    assert {name: made["role"] for name, made in policies.items()} == {name: name for name in roles}


@pytest.mark.parametrize("environment", ["dev", "dev-dr"])
def test_a_hosts_policy_names_its_own_environment(ground, environment):
    policies = {
        name: json.loads(made["policy"])["Statement"]
        for name, made in ground[0].of("aws:iam/rolePolicy:RolePolicy").items()
        if name in {f"rekindle-example-{environment}-{role}" for role in ("master", "private-agent")}
    }
    (read,) = policies[f"rekindle-example-{environment}-master"]
    assert read["Action"] == ["s3:GetObject"]
    assert read["Resource"] == [f"arn:aws:s3:::rekindle-example-artifacts-{environment}/*"]
    moves = policies[f"rekindle-example-{environment}-private-agent"][-1]
    assert moves["Condition"] == {"StringEquals": {"aws:ResourceTag/rekindle:environment": environment}}


# -- the network -------------------------------------------------------------------------------

ZONES, AZS = ("public", "private", "admin"), ("us-east-1a", "us-east-1b", "us-east-1c")


def routes(recorder: Recorder) -> dict[str, dict[str, Any]]:
    """By table: where it sends what is not of the VPC."""
    return {made["routeTableId"]: made for made in recorder.of("aws:ec2/route:Route").values()}


def test_only_the_public_zone_is_reached_from_the_internet(dev):
    tables = {
        name: made["routeTableId"]
        for name, made in dev[0].of("aws:ec2/routeTableAssociation:RouteTableAssociation").items()
    }
    assert tables == {
        f"dev-{zone}-{az}": "dev-public-id" if zone == "public" else f"dev-inner-{az}-id"
        for zone in ZONES
        for az in AZS
    }
    subnets = dev[0].of("aws:ec2/routeTableAssociation:RouteTableAssociation")
    assert {name: made["subnetId"] for name, made in subnets.items()} == {name: f"{name}-id" for name in subnets}
    ways = {table: ("gatewayId" in made, "natGatewayId" in made) for table, made in routes(dev[0]).items()}
    assert ways == {"dev-public-id": (True, False), **{f"dev-inner-{az}-id": (False, True) for az in AZS}}
    assert {made["destinationCidrBlock"] for made in routes(dev[0]).values()} == {"0.0.0.0/0"}


@pytest.mark.parametrize(("stack", "azs"), [("dev", AZS[:1]), ("varied", AZS)])
def test_what_is_behind_nat_leaves_by_the_gateway_of_its_az_where_there_is_one(request, stack, azs):
    recorder: Recorder = request.getfixturevalue(stack)[0]
    made = recorder.of("aws:ec2/natGateway:NatGateway")
    assert {name: (gateway["subnetId"], gateway["allocationId"]) for name, gateway in made.items()} == {
        f"dev-nat-{az}": (f"dev-public-{az}-id", f"dev-nat-{az}-allocation") for az in azs
    }
    ways = {table: made.get("natGatewayId") for table, made in routes(recorder).items() if "inner" in table}
    assert ways == {f"dev-inner-{az}-id": f"dev-nat-{az if az in azs else azs[0]}-id" for az in AZS}


def test_every_subnet_reaches_s3_without_nat(dev):
    (endpoint,) = dev[0].of("aws:ec2/vpcEndpoint:VpcEndpoint").values()
    assert endpoint["serviceName"] == "com.amazonaws.us-east-1.s3"
    assert endpoint["vpcEndpointType"] == "Gateway"
    assert set(endpoint["routeTableIds"]) == {f"{name}-id" for name in dev[0].of("aws:ec2/routeTable:RouteTable")}


def test_names_are_answered_inside_the_vpc(dev):
    (vpc,) = dev[0].of("aws:ec2/vpc:Vpc").values()
    assert (vpc["cidrBlock"], vpc["enableDnsHostnames"], vpc["enableDnsSupport"]) == ("10.10.0.0/16", True, True)
    inside = [IPv4Network(made["cidrBlock"]) for made in dev[0].of("aws:ec2/subnet:Subnet").values()]
    assert all(subnet.subnet_of(IPv4Network("10.10.0.0/16")) for subnet in inside)


def test_hosts_come_after_the_ways_out_and_the_rules_they_need(dev):
    """A host that boots before its route or rule gives up what it would have fetched."""
    needed = {
        (made.kind, made.name)
        for made in dev[0].made
        if made.kind.startswith(("aws:ec2/route:", "aws:ec2/routeTableAssociation", "aws:ec2/vpcEndpoint:"))
        or made.kind.startswith(("aws:vpc/securityGroup", "aws:ec2/keyPair:"))
    }
    assert len(needed) > 60
    for name in dev[0].of(INSTANCE):
        assert needed <= dev[0].after[INSTANCE, name]


def test_what_the_gateway_lets_out_comes_after_it(dev):
    gateway = ("aws:ec2/internetGateway:InternetGateway", "dev")
    assert gateway in dev[0].after["aws:ec2/natGateway:NatGateway", "dev-nat-us-east-1a"]
    routes_out = {key for key in dev[0].after["aws:lb/loadBalancer:LoadBalancer", "dev-public"] if "/route:" in key[0]}
    assert ("aws:ec2/route:Route", "dev-public") in routes_out


# -- the load balancer and the names ---------------------------------------------------------------


def test_clients_reach_public_agents_through_the_load_balancer_in_every_az(dev):
    (balancer,) = dev[0].of("aws:lb/loadBalancer:LoadBalancer").values()
    assert (balancer["loadBalancerType"], balancer["internal"]) == ("network", False)
    assert balancer["enableCrossZoneLoadBalancing"] is True
    assert balancer["securityGroups"] == ["dev-load-balancer-id"]
    assert {mapping["subnetId"] for mapping in balancer["subnetMappings"]} == {f"dev-public-{az}-id" for az in AZS}
    (listener,) = dev[0].of("aws:lb/listener:Listener").values()
    assert (listener["port"], listener["protocol"], listener["loadBalancerArn"]) == (80, "TCP", "dev-public-arn")
    assert listener["defaultActions"] == [{"type": "forward", "targetGroupArn": "dev-public-arn"}]
    targets = dev[0].of("aws:lb/targetGroupAttachment:TargetGroupAttachment").values()
    assert [(t["targetId"], t["targetGroupArn"]) for t in targets] == [("dev-public-agent-1-id", "dev-public-arn")]


def test_a_target_that_does_not_answer_gets_no_clients(dev):
    (group,) = dev[0].of("aws:lb/targetGroup:TargetGroup").values()
    assert (group["port"], group["protocol"], group["targetType"]) == (80, "TCP", "instance")
    assert group["vpcId"] == "dev-id"
    check = group["healthCheck"]
    assert check == {"protocol": "TCP", "port": "80", "interval": 10, "healthyThreshold": 2, "unhealthyThreshold": 2}


def test_an_environments_own_name_follows_its_load_balancer(dev):
    (record,) = dev[0].of("aws:route53/record:Record").values()
    assert (record["name"], record["type"], record["zoneId"]) == ("dev.example.test", "A", "Z1")
    assert record["aliases"] == [{"name": "l.elb.amazonaws.com", "zoneId": "Z2", "evaluateTargetHealth": True}]


def test_the_bastions_address_leads_to_the_bastion_alone(dev):
    (association,) = dev[0].of("aws:ec2/eipAssociation:EipAssociation").values()
    assert (association["instanceId"], association["allocationId"]) == ("dev-bastion-id", "dev-bastion-allocation")


def test_outwards_all_may(dev):
    rules = dev[0].of("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule").values()
    groups = {f"{name}-id" for name in dev[0].of("aws:ec2/securityGroup:SecurityGroup")}
    assert {(r["securityGroupId"], r["ipProtocol"], r["cidrIpv4"]) for r in rules} == {
        (group, "-1", "0.0.0.0/0") for group in groups
    }
    assert {made["vpcId"] for made in dev[0].of("aws:ec2/securityGroup:SecurityGroup").values()} == {"dev-id"}


def test_from_each_network_of_operators_the_bastion_is_reached(varied):
    recorder, _ = varied
    rules = recorder.of("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule").values()
    operators = {(r["cidrIpv4"], r["securityGroupId"]) for r in rules if r.get("cidrIpv4", "0.0.0.0/0") != "0.0.0.0/0"}
    assert operators == {(network, "dev-bastion-id") for network in ("198.51.100.0/24", "203.0.113.7/32")}


def test_a_rules_description_has_only_characters_that_aws_takes(dev):
    """IpRange in the EC2 API reference: a-z, A-Z, 0-9, spaces and ._-:/()#,@[]+=&;{}!$*"""
    taken = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ._-:/()#,@[]+=&;{}!$*")
    rules = dev[0].of("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule").values()
    assert all(set(rule["description"]) <= taken and len(rule["description"]) <= 255 for rule in rules)


def test_an_agents_attributes_are_its_pools_and_its_az(varied):
    _, inventory = varied
    found = {host["name"]: host["attributes"] for host in inventory["hosts"]}
    assert found["private-agent-2"] == {"disks": "fast", "zone": "us-east-1b"}
    assert found["public-agent-1"] == {"zone": "us-east-1a"}
    assert found["master-1"] == {}


def test_masters_in_one_az_have_an_address_each(varied):
    recorder, _ = varied
    fixed = {name: made["privateIp"] for name, made in recorder.of(INSTANCE).items() if "master" in name}
    assert fixed == {
        "dev-master-1": "10.10.128.10",
        "dev-master-2": "10.10.144.10",
        "dev-master-3": "10.10.160.10",
        "dev-master-4": "10.10.128.11",
        "dev-master-5": "10.10.144.11",
    }
    assert all(options(varied)[INSTANCE, name].get("protect") for name in fixed)


def test_the_inventory_says_what_was_made(dev):
    _, found = dev
    assert (found["environment"], found["region"], found["cluster_name"]) == ("dev", "us-east-1", "dev")
    assert (found["standby"], found["public_name"], found["load_balancer"]) == (
        False,
        "orders.example.test",
        "l.elb.amazonaws.com",
    )
    assert found["ssh"] == {
        "user": "admin",
        "bastion": "bastion",
        **{k: v for k, v in found["ssh"].items() if k == "port"},
    }
    assert {host["name"]: host["instance_id"] for host in found["hosts"]} == {
        name.removeprefix("dev-"): f"{name}-id" for name in HOSTS
    }
    assert {v["name"]: (v["volume_id"], v["size_gib"], v["service"]) for v in found["volumes"]} == {
        f"kafka-{n}": (f"dev-kafka-{n}-id", 4, f"kafka-{n}") for n in (1, 2, 3)
    }
    assert found["stores"]["artifacts_bucket"] == "example-artifacts-dev"
    assert found["stores"]["journal_bucket"] == "example-journal"
