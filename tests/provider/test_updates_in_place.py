"""Every change in place reaches AWS: what was taken out of the program is taken out there, and nothing else is."""

import json

import pytest
from botocore.exceptions import ClientError

from rehearsal.provider.aws import Aws, Cancelled, TimedOut, is_gone
from rehearsal.provider.values import UNKNOWN, aligned, decode, encode

HERE = "us-west-2"
ALIAS, KEY = "aws:kms/alias:Alias", "aws:kms/key:Key"
BUCKET = "aws:s3/bucket:Bucket"
CHECK, RECORD, ZONE = (f"aws:route53/{name}" for name in ("healthCheck:HealthCheck", "record:Record", "zone:Zone"))
ENDPOINT, ROUTE, VPC = (f"aws:ec2/{name}" for name in ("vpcEndpoint:VpcEndpoint", "route:Route", "vpc:Vpc"))
HTTP = {"type": "HTTP", "fqdn": "a.example", "port": 80, "resourcePath": "/", "requestInterval": 10}


def document(action: str, resource: str = "*") -> str:
    statement = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": action, "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


ROWS = [
    (ZONE, {"name": "a.test", "comment": "c"}, {"name": "a.test", "comment": "d"}),
    (ZONE, {"name": "a.test", "tags": {"a": "1", "b": "1"}}, {"name": "a.test", "tags": {"a": "2"}}),
    (ZONE, {"name": "a.test", "tags": {"a": "1"}}, {"name": "a.test", "tags": {}}),
    (CHECK, HTTP, HTTP | {"port": 8080, "resourcePath": "/b", "fqdn": "b.example", "failureThreshold": 2}),
    (CHECK, HTTP | {"tags": {"a": "1"}}, HTTP | {"tags": {"b": "1"}}),
    (KEY, {"description": "a", "enableKeyRotation": True}, {"description": "b", "enableKeyRotation": False}),
    (KEY, {"enableKeyRotation": False}, {"enableKeyRotation": True}),
    (KEY, {"tags": {"a": "1", "b": "1"}}, {"tags": {"a": "2"}}),
    (KEY, {"policy": document("kms:*")}, {"policy": document("kms:Decrypt")}),
    (BUCKET, {"bucket": "one", "tags": {"a": "1", "b": "1"}}, {"bucket": "one", "tags": {"a": "2"}}),
    (BUCKET, {"bucket": "one", "tags": {"a": "1"}}, {"bucket": "one", "tags": {}}),
    (VPC, {"cidrBlock": "10.9.0.0/16"}, {"cidrBlock": "10.9.0.0/16", "enableDnsHostnames": True}),
    (
        VPC,
        {"cidrBlock": "10.9.0.0/16", "enableDnsSupport": True, "tags": {"a": "1", "b": "1"}},
        {"cidrBlock": "10.9.0.0/16", "enableDnsSupport": False, "tags": {"b": "2"}},
    ),
]


@pytest.mark.parametrize(("kind", "old", "new"), ROWS)
def test_what_is_changed_in_the_program_is_changed_at_aws(engine, kind, old, new):
    id, _ = engine.create(kind, old)
    assert engine.diff(kind, old, new)[1] == set()
    engine.update(kind, id, old, new)
    found = engine.read(kind, id, new)
    assert found is not None
    assert found[0] == new
    assert engine.read(kind, id)[1].get("tags", {}) == new.get("tags", {})


@pytest.mark.parametrize(
    ("kind", "name", "value"), [(ZONE, "comment", "Managed by Pulumi"), (KEY, "description", ""), (KEY, "tags", {})]
)
def test_what_is_no_longer_declared_is_what_it_is_by_itself(engine, kind, name, value):
    old = {"name": "a.test"} if kind == ZONE else {}
    given = {"tags": {"a": "1"}, "comment": "c", "description": "d"}[name]
    id, _ = engine.create(kind, old | {name: given})
    engine.update(kind, id, old | {name: given}, old)
    assert engine.read(kind, id, old)[1].get(name, {} if name == "tags" else "") == value


def test_a_bucket_that_lost_its_tags_is_not_gone(engine, aws):
    inputs = {"bucket": "one", "tags": {"a": "1"}}
    id, _ = engine.create(BUCKET, inputs)
    aws.of(HERE).s3.delete_bucket_tagging(Bucket=id)
    assert engine.read(BUCKET, id, inputs)[0] == {"bucket": "one", "tags": {}}


@pytest.mark.parametrize("force", [True, False])
def test_a_bucket_with_something_in_it_is_deleted_by_force_only(engine, aws, force):
    s3, inputs = aws.of(HERE).s3, {"bucket": "one", "forceDestroy": force}
    id, outputs = engine.create(BUCKET, inputs)
    s3.put_bucket_versioning(Bucket=id, VersioningConfiguration={"Status": "Enabled"})
    for _ in range(2):
        s3.put_object(Bucket=id, Key="a", Body=b"a")
    s3.delete_object(Bucket=id, Key="a")
    if force:
        engine.delete(BUCKET, id, outputs)
    else:
        with pytest.raises(Exception, match="BucketNotEmpty"):
            engine.delete(BUCKET, id, outputs)
    assert (engine.read(BUCKET, id, inputs) is None) == force


def test_a_buckets_region_is_where_it_was_declared(engine, aws):
    for region, place in (("us-east-1", None), (HERE, HERE)):
        id, _ = engine.create(BUCKET, {"bucket": f"in-{region}", "region": region})
        assert aws.of(region).s3.get_bucket_location(Bucket=id)["LocationConstraint"] == place


@pytest.mark.parametrize("locked", [True, False])
def test_a_bucket_locks_objects_if_it_is_declared_so(engine, aws, locked):
    id, _ = engine.create(BUCKET, {"bucket": "one", "objectLockEnabled": locked})
    found = aws.of(HERE).s3.get_bucket_versioning(Bucket=id).get("Status")
    assert (found == "Enabled") == locked


def test_an_unlocked_block_lets_through_what_it_does_not_name(engine):
    kind = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
    engine.create(BUCKET, {"bucket": "one"})
    old, new = ({"bucket": "one", name: True} for name in ("blockPublicAcls", "restrictPublicBuckets"))
    id, _ = engine.create(kind, old)
    engine.update(kind, id, old, new)
    seen = engine.read(kind, id, new)[1]
    assert {name for name, value in seen.items() if value is True} == {"restrictPublicBuckets"}


def test_a_buckets_encryption_keeps_its_key(engine):
    kind = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
    engine.create(BUCKET, {"bucket": "one"})
    default = {"sseAlgorithm": "aws:kms", "kmsMasterKeyId": "alias/a"}
    old = {"bucket": "one", "rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "AES256"}}]}
    new = {"bucket": "one", "rules": [{"applyServerSideEncryptionByDefault": default, "bucketKeyEnabled": True}]}
    id, _ = engine.create(kind, old)
    engine.update(kind, id, old, new)
    assert engine.read(kind, id, new)[0] == new


def test_an_alias_is_led_to_another_key(engine):
    one, other = (engine.create(KEY, {})[0] for _ in range(2))
    old, new = {"name": "alias/a", "targetKeyId": one}, {"name": "alias/a", "targetKeyId": other}
    id, _ = engine.create(ALIAS, old)
    engine.create(ALIAS, {"name": "alias/b", "targetKeyId": one})
    engine.update(ALIAS, id, old, new)
    assert engine.read(ALIAS, id, new)[0] == new


@pytest.mark.parametrize(("declared", "days"), [({}, 30), ({"deletionWindowInDays": 7}, 7)])
def test_a_key_can_be_had_back_for_as_long_as_declared(engine, aws, declared, days):
    id, outputs = engine.create(KEY, declared)
    engine.delete(KEY, id, outputs)
    told = aws.of(HERE).kms.describe_key(KeyId=id)["KeyMetadata"]
    assert round((told["DeletionDate"] - told["CreationDate"]).total_seconds() / 86400) == days


# -- records --------------------------------------------------------------------------------------------------


@pytest.fixture
def zone(engine):
    return engine.create(ZONE, {"name": "a.test"})[0]


def record(zone, name="w", value="192.0.2.1", **more):
    return {"zoneId": zone, "name": f"{name}.a.test", "type": "A", "ttl": 10, "records": [value], **more}


def failover(zone, kind, value):
    return record(zone, value=value, setIdentifier=kind, failoverRoutingPolicies=[{"type": kind}])


def test_a_record_that_exists_is_not_taken_over(engine, zone):
    engine.create(RECORD, record(zone))
    with pytest.raises(Exception, match=r"record w\.a\.test A exists already"):
        engine.create(RECORD, record(zone, value="192.0.2.2"))
    assert engine.create(RECORD, record(zone, "v"))[0] == f"{zone}_v.a.test_A"
    text = record(zone, value='"t"') | {"type": "TXT"}
    assert engine.create(RECORD, text)[0] == f"{zone}_w.a.test_TXT"


def test_each_of_two_sets_of_one_name_is_itself(engine, zone):
    sets = {kind: failover(zone, kind, value) for kind, value in (("PRIMARY", "192.0.2.1"), ("SECONDARY", "192.0.2.2"))}
    ids = {kind: engine.create(RECORD, inputs)[0] for kind, inputs in sets.items()}
    assert ids["SECONDARY"] == f"{zone}_w.a.test_A_SECONDARY"
    for kind, inputs in sets.items():
        assert engine.read(RECORD, ids[kind], inputs)[0] == inputs
    engine.delete(RECORD, ids["PRIMARY"], sets["PRIMARY"])
    assert engine.read(RECORD, ids["PRIMARY"], {}) is None
    assert engine.read(RECORD, ids["SECONDARY"], sets["SECONDARY"])[0] == sets["SECONDARY"]


def test_a_record_is_changed_in_place(engine, zone):
    old, new = record(zone), record(zone, value="192.0.2.9") | {"ttl": 20}
    id, _ = engine.create(RECORD, old)
    beside, _ = engine.create(RECORD, record(zone, "v"))
    assert engine.diff(RECORD, old, new) == ({"ttl", "records"}, set())
    engine.update(RECORD, id, old, new)
    assert engine.read(RECORD, id, new)[0] == new
    assert engine.read(RECORD, beside, record(zone, "v"))[0] == record(zone, "v")


@pytest.mark.parametrize("evaluate", [True, False])
def test_an_alias_record_has_a_target_and_no_time(engine, zone, evaluate):
    target = {"name": "w.a.test", "zoneId": zone, "evaluateTargetHealth": evaluate}
    inputs = {"zoneId": zone, "name": "alias.a.test", "type": "A", "aliases": [target]}
    id, outputs = engine.create(RECORD, inputs)
    assert engine.read(RECORD, id, inputs) == (inputs, outputs)
    assert not outputs.keys() & {"ttl", "records", "setIdentifier", "failoverRoutingPolicies"}


# -- routes and endpoints -------------------------------------------------------------------------------------


def test_a_route_is_led_elsewhere_and_the_tables_other_routes_stay(engine, aws, ground):
    ec2 = aws.of(HERE).ec2
    table, _ = engine.create("aws:ec2/routeTable:RouteTable", {"vpcId": ground["vpc"]})
    gateway, _ = engine.create("aws:ec2/internetGateway:InternetGateway", {"vpcId": ground["vpc"]})
    address, _ = engine.create("aws:ec2/eip:Eip", {"domain": "vpc"})
    nat, _ = engine.create("aws:ec2/natGateway:NatGateway", {"allocationId": address, "subnetId": ground["subnet"]})
    old = {"routeTableId": table, "destinationCidrBlock": "0.0.0.0/0", "gatewayId": gateway}
    new = {"routeTableId": table, "destinationCidrBlock": "0.0.0.0/0", "natGatewayId": nat}
    id, _ = engine.create(ROUTE, old)
    engine.update(ROUTE, id, old, new)
    (found,) = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"]
    led = {one["DestinationCidrBlock"]: one.get("NatGatewayId") or one.get("GatewayId") for one in found["Routes"]}
    assert led == {"10.0.0.0/16": "local", "0.0.0.0/0": nat}


def test_an_endpoint_follows_its_tables(engine, ground):
    one, two, three = (engine.create("aws:ec2/routeTable:RouteTable", {"vpcId": ground["vpc"]})[0] for _ in range(3))
    old = {"vpcId": ground["vpc"], "serviceName": f"com.amazonaws.{HERE}.s3", "routeTableIds": [one, two]}
    new = old | {"routeTableIds": [two, three], "policy": document("s3:GetObject")}
    id, _ = engine.create(ENDPOINT, old)
    engine.update(ENDPOINT, id, old, new)
    found = engine.read(ENDPOINT, id, new)[0]
    assert (set(found["routeTableIds"]), found["policy"]) == ({two, three}, new["policy"])


def test_what_cannot_be_changed_in_place_is_refused_by_name(engine, ground):
    kind, old = "aws:ec2/routeTable:RouteTable", {"vpcId": ground["vpc"]}
    id, _ = engine.create(kind, old)
    with pytest.raises(Exception, match=rf"{kind}: vpcId cannot be changed here"):
        engine.update(kind, id, old, {"vpcId": "vpc-other"})


# -- balancers and roles --------------------------------------------------------------------------------------

LB, GROUP, LISTENER, ATTACHMENT = (
    f"aws:lb/{name}"
    for name in (
        "loadBalancer:LoadBalancer",
        "targetGroup:TargetGroup",
        "listener:Listener",
        "targetGroupAttachment:TargetGroupAttachment",
    )
)
ROLE, ROLE_POLICY, PROFILE = (
    f"aws:iam/{name}" for name in ("role:Role", "rolePolicy:RolePolicy", "instanceProfile:InstanceProfile")
)


def group(ground, name="t", **more):
    return {"name": name, "port": 80, "protocol": "TCP", "vpcId": ground["vpc"], **more}


def balancer(ground, **more):
    mappings = [{"subnetId": ground["subnet"]}]
    return {"name": "l", "loadBalancerType": "network", "internal": True, "subnetMappings": mappings, **more}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"enableCrossZoneLoadBalancing": False}, {"enableCrossZoneLoadBalancing": True}),
        ({"enableCrossZoneLoadBalancing": True}, {"enableCrossZoneLoadBalancing": False}),
        ({"tags": {"a": "1", "b": "1"}}, {"tags": {"b": "2"}}),
    ],
)
def test_a_balancer_changes_in_place(engine, ground, old, new):
    id, _ = engine.create(LB, balancer(ground, **old))
    engine.update(LB, id, balancer(ground, **old), balancer(ground, **new))
    seen = engine.read(LB, id)[1]
    assert {name: seen[name] for name in new} == new


def test_a_balancers_groups_change_in_place(engine, ground):
    other, _ = engine.create(
        "aws:ec2/securityGroup:SecurityGroup", {"name": "h", "vpcId": ground["vpc"], "description": "h"}
    )
    old, new = (balancer(ground, securityGroups=[one]) for one in (ground["group"], other))
    id, outputs = engine.create(LB, old)
    assert outputs["internal"] is True
    engine.update(LB, id, old, new)
    assert engine.read(LB, id, new)[0] == new


def test_a_balancer_faces_the_internet_unless_it_is_internal(engine, ground):
    assert engine.create(LB, balancer(ground, internal=False))[1]["internal"] is False


CHECKED = {"protocol": "HTTP", "port": "81", "path": "/a", "interval": 10, "healthyThreshold": 2}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"healthCheck": CHECKED}, {"healthCheck": CHECKED | {"path": "/b", "interval": 30, "unhealthyThreshold": 5}}),
        ({"deregistrationDelay": 30}, {"deregistrationDelay": 60}),
        ({"tags": {"a": "1", "b": "1"}}, {"tags": {"b": "2"}}),
    ],
)
def test_a_target_group_changes_in_place(engine, ground, old, new):
    id, _ = engine.create(GROUP, group(ground, **old))
    engine.update(GROUP, id, group(ground, **old), group(ground, **new))
    seen = engine.read(GROUP, id)[1]
    assert aligned(new, {name: seen[name] for name in new}) == new
    assert seen["tags"] == new.get("tags", {})


def test_a_delay_that_is_no_longer_declared_is_awss_own(engine, ground):
    old, new = group(ground, deregistrationDelay=30), group(ground)
    id, _ = engine.create(GROUP, old)
    engine.update(GROUP, id, old, new)
    assert engine.read(GROUP, id)[1]["deregistrationDelay"] == 300


def test_a_listener_is_led_to_another_group(engine, ground):
    one, other = (engine.create(GROUP, group(ground, name))[0] for name in ("one", "other"))
    lb, _ = engine.create(LB, balancer(ground))

    def declared(port, target):
        actions = [{"type": "forward", "targetGroupArn": target}]
        return {"loadBalancerArn": lb, "port": port, "protocol": "TCP", "defaultActions": actions}

    old, new = declared(80, one), declared(81, other)
    id, _ = engine.create(LISTENER, old)
    engine.update(LISTENER, id, old, new)
    assert engine.read(LISTENER, id, new)[0] == new


def test_a_target_on_one_port_is_not_the_one_on_another(engine, ground):
    target, _ = engine.create(GROUP, group(ground))
    host = {"ami": ground["image"], "instanceType": "t3.micro", "subnetId": ground["subnet"]}
    instance, _ = engine.create("aws:ec2/instance:Instance", host)
    inputs = {"targetGroupArn": target, "targetId": instance, "port": 81}
    id, _ = engine.create(ATTACHMENT, inputs)
    assert engine.read(ATTACHMENT, id, inputs)[0] == inputs
    assert engine.read(ATTACHMENT, f"{target}|{instance}|82") is None
    assert engine.read(ATTACHMENT, f"{target}|i-00000000000000001|81") is None
    assert engine.read(ATTACHMENT, f"{target}|{instance}|") is not None


def assumed_by(service):
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({}, {"assumeRolePolicy": assumed_by("lambda.amazonaws.com")}),
        ({"description": "a"}, {"description": "b"}),
        ({"tags": {"a": "1", "b": "1"}}, {"tags": {"b": "2"}}),
    ],
)
def test_a_role_changes_in_place(engine, old, new):
    base = {"name": "r", "assumeRolePolicy": assumed_by("ec2.amazonaws.com")}
    id, _ = engine.create(ROLE, base | old)
    engine.update(ROLE, id, base | old, base | new)
    assert engine.read(ROLE, id, base | new)[0] == base | new
    assert engine.read(ROLE, id)[1]["tags"] == new.get("tags", {})


def test_a_roles_policy_changes_in_place(engine):
    engine.create(ROLE, {"name": "r", "assumeRolePolicy": assumed_by("ec2.amazonaws.com")})
    old, new = ({"name": "p", "role": "r", "policy": document(action)} for action in ("s3:*", "s3:GetObject"))
    id, _ = engine.create(ROLE_POLICY, old)
    engine.update(ROLE_POLICY, id, old, new)
    assert engine.read(ROLE_POLICY, id, new)[0] == new
    assert engine.read(ROLE_POLICY, id)[1]["policy"] == json.dumps(json.loads(new["policy"]))


def test_a_profile_has_one_role_and_the_tags_it_declares(engine):
    for name in ("r", "s"):
        engine.create(ROLE, {"name": name, "assumeRolePolicy": assumed_by("ec2.amazonaws.com")})
    old = {"name": "i", "role": "r", "tags": {"a": "1", "b": "1"}}
    new = {"name": "i", "role": "s", "tags": {"b": "2"}}
    id, _ = engine.create(PROFILE, old)
    engine.update(PROFILE, id, old, new)
    assert engine.read(PROFILE, id, new)[0] == new
    assert engine.read(PROFILE, id)[1]["tags"] == new["tags"]


# -- the provider itself --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "replaces"),
    [
        ({"region": HERE}, {"region": HERE, "skipCredentialsValidation": True}, []),
        ({"region": HERE}, {"region": "us-east-1"}, ["region"]),
    ],
)
def test_another_region_is_another_provider(engine, old, new, replaces):
    answer = engine.diff_config(old, new)
    assert list(answer.replaces) == replaces
    assert answer.changes == (answer.DIFF_SOME if replaces else answer.DIFF_NONE)


@pytest.mark.parametrize(
    ("config", "reasons"),
    [
        ({"region": HERE, "version": "7", "skipCredentialsValidation": True}, []),
        ({}, ["region is required: set aws:region"]),
        ({"region": HERE, "profile": "p"}, ["profile is not built in the rehearsal's provider"]),
    ],
)
def test_a_configuration_that_is_not_built_is_refused(engine, config, reasons):
    assert engine.check_config(config) == reasons


class Clock:
    """Time passes only while somebody waits."""

    def __init__(self, cancel_at: float = float("inf")) -> None:
        self.now, self._cancel_at = 0.0, cancel_at

    def monotonic(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        return self.now >= self._cancel_at


def waiting(monkeypatch, clock: Clock) -> Aws:
    monkeypatch.setattr("rehearsal.provider.aws.time", clock)
    return Aws(HERE, clock)


@pytest.mark.parametrize("true_at", [0.0, 4.9])
def test_a_wait_ends_when_it_comes_true(monkeypatch, true_at):
    clock = Clock()
    waiting(monkeypatch, clock).wait("it", lambda: clock.now >= true_at, seconds=5)
    assert true_at <= clock.now < 5.1


def test_a_wait_ends_with_its_time(monkeypatch):
    clock = Clock()
    with pytest.raises(TimedOut, match="it did not come true within 5 s"):
        waiting(monkeypatch, clock).wait("it", lambda: False, seconds=5)
    assert 5 <= clock.now < 5.5


def test_a_wait_ends_when_it_is_cancelled(monkeypatch):
    clock = Clock(cancel_at=1)
    with pytest.raises(Cancelled, match="cancelled while waiting for it"):
        waiting(monkeypatch, clock).wait("it", lambda: False, seconds=5)
    assert clock.now < 1.5


@pytest.mark.parametrize(
    ("code", "gone"),
    [
        *((code, True) for code in ("NoSuchEntity", "InvalidVpcID.NotFound", "NatGatewayNotFound", "404")),
        *((code, True) for code in ("Gateway.NotAttached", "InvalidTarget")),
        *((code, False) for code in ("DependencyViolation", "AccessDenied", "InvalidTargetGroup", "4040", "")),
    ],
)
def test_which_errors_say_that_it_does_not_exist(code, gone):
    assert is_gone(ClientError({"Error": {"Code": code}}, "o")) == gone


def test_values_come_over_the_wire_as_they_are():
    secret = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "value": {"a": 2}}
    struct = encode({"n": 1, "f": 1.5, "l": [1, {"x": None, "y": 2}], "s": secret, "gone": None, "__defaults": [1]})
    assert decode(struct) == {"n": 1, "f": 1.5, "l": [1, {"y": 2}], "s": {"a": 2}}
    assert decode(encode({"u": UNKNOWN})) == {"u": UNKNOWN}
