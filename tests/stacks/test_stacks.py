"""What the program declares, asked of Pulumi's mocks: sets of resources, never their order."""

import json
from typing import Any

import pytest
from program import GROUND, config, declared

from components.iam import HostRolesArgs, policy
from rehearsal.region.policies import Question, is_denied
from rekindle.environment import FLOWS, Origin, parse, placed_hosts
from rekindle.inventory import Role
from rekindle.inventory import parse as parse_inventory


def test_the_inventory_is_what_its_model_takes(dev):
    _, found = dev
    inventory = parse_inventory(found, where="output")
    assert {host.name for host in inventory.hosts} == {
        "bastion", "bootstrap", "master-1", "public-agent-1", "private-agent-1", "private-agent-2", "private-agent-3",
    }  # fmt: skip
    assert {h.az for h in inventory.with_role(Role.PRIVATE_AGENT)} == {"us-east-1a", "us-east-1b", "us-east-1c"}
    assert all(h.attributes == {"zone": h.az} for h in inventory.with_role(Role.PRIVATE_AGENT, Role.PUBLIC_AGENT))
    assert {v.name: v.az[-1] for v in inventory.volumes} == {"kafka-1": "a", "kafka-2": "b", "kafka-3": "c"}
    assert [h.name for h in inventory.hosts if h.public_ip] == ["bastion"]


def test_nine_subnets_and_none_gives_public_addresses(dev):
    subnets = dev[0].of("aws:ec2/subnet:Subnet").values()
    zones = {(s["availabilityZone"], s["tags"]["zone"]) for s in subnets}
    assert len(zones) == len(subnets) == 9
    assert not any(s["mapPublicIpOnLaunch"] for s in subnets)


def test_every_line_of_the_table_of_flows_is_a_rule_and_nothing_else_is(dev):
    rules = dev[0].of("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule").values()
    groups = {name: f"{name}-id" for name in dev[0].of("aws:ec2/securityGroup:SecurityGroup")}

    def group(party: Role | Origin) -> str:
        return groups[f"dev-{party}".replace("_", "-")]

    def source(flow: Any) -> str:
        if flow.source is Origin.OPERATORS:
            return "198.51.100.0/24"
        return "0.0.0.0/0" if flow.source is Origin.INTERNET else group(flow.source)

    wanted = {(group(f.to), source(f), f.protocol, *f.ports) for f in FLOWS}
    ports = ("ipProtocol", "fromPort", "toPort")
    found = {
        (r["securityGroupId"], r.get("cidrIpv4") or r["referencedSecurityGroupId"], *(r[p] for p in ports))
        for r in rules
    }
    assert found == wanted
    assert len(rules) == len(FLOWS)


def test_from_anywhere_only_the_load_balancer_is_reached(dev):
    rules = dev[0].of("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule").values()
    assert {r["securityGroupId"] for r in rules if r.get("cidrIpv4") == "0.0.0.0/0"} == {"dev-load-balancer-id"}


def test_metadata_wants_tokens_but_where_rexray_runs(dev):
    hosts = dev[0].of("aws:ec2/instance:Instance")
    optional = {name for name, host in hosts.items() if host["metadataOptions"]["httpTokens"] == "optional"}
    assert optional == {"dev-private-agent-1", "dev-private-agent-2", "dev-private-agent-3"}
    assert {host["metadataOptions"]["httpPutResponseHopLimit"] for host in hosts.values()} == {1}


def test_everything_on_disk_is_encrypted(dev):
    assert all(host["rootBlockDevice"]["encrypted"] for host in dev[0].of("aws:ec2/instance:Instance").values())
    assert all(volume["encrypted"] for volume in dev[0].of("aws:ebs/volume:Volume").values())
    buckets = dev[0].of("aws:s3/bucket:Bucket")
    kind = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
    assert buckets.keys() == dev[0].of(kind).keys()


def test_volumes_have_the_name_that_rexray_looks_for_and_are_never_attached(dev):
    names = {v["tags"]["Name"] for v in dev[0].of("aws:ebs/volume:Volume").values()}
    assert names == {"kafka-1", "kafka-2", "kafka-3"}
    assert not dev[0].of("aws:ec2/volumeAttachment:VolumeAttachment")


def test_masters_and_bootstrap_have_fixed_addresses_and_nobody_else(dev):
    fixed = {n: h["privateIp"] for n, h in dev[0].of("aws:ec2/instance:Instance").items() if "privateIp" in h}
    assert fixed == {"dev-master-1": "10.10.128.10", "dev-bootstrap": "10.10.128.9"}


def test_only_a_public_agent_asks_for_an_address_that_the_internet_gateway_lets_out(dev):
    instances = dev[0].of("aws:ec2/instance:Instance")
    assert {n for n, made in instances.items() if made.get("associatePublicIpAddress")} == {"dev-public-agent-1"}


def test_all_that_can_be_tagged_says_its_environment_and_urn(dev):
    tagged = [made for made in dev[0].made if "tags" in made.inputs]
    assert len(tagged) > 100
    assert {made.inputs["tags"]["rekindle:environment"] for made in tagged} == {"dev"}
    urns = {made.inputs["tags"]["rekindle:urn"] for made in tagged}
    assert len(urns) == len(tagged)
    assert "urn:pulumi:dev::rekindle::rekindle:volumes:Volumes/aws:ebs/volume:Volume::dev-kafka-1" in urns
    assert max(map(len, urns)) <= 256  # a tag's value


def test_names_of_resources_are_unique_by_type(dev):
    keys = [(made.kind, made.name) for made in dev[0].made]
    assert len(set(keys)) == len(keys)


def test_standby_is_everything_but_hosts_and_volumes(dev, standby):
    recorder, found = standby
    kinds = {made.kind for made in dev[0].made} - {made.kind for made in recorder.made}
    assert kinds == {
        "aws:ec2/instance:Instance",
        "aws:ebs/volume:Volume",
        "aws:ec2/eipAssociation:EipAssociation",
        "aws:lb/targetGroupAttachment:TargetGroupAttachment",
    }
    assert found["standby"] is True
    assert (found["hosts"], found["volumes"], found["ssh"]["bastion"]) == ([], [], None)


def test_a_replay_makes_only_hosts_volumes_and_their_ties(standby, awake):
    recorder, found = awake
    before = {(m.kind, m.name): m.inputs for m in standby[0].made if not m.kind.startswith("rekindle:")}
    after = {(m.kind, m.name): m.inputs for m in recorder.made}
    assert {key: after.get(key) for key in before} == before
    volumes = recorder.of("aws:ebs/volume:Volume")
    assert {v["snapshotId"] for v in volumes.values()} == {"snap-1", "snap-2", "snap-3"}
    assert len(found["hosts"]) == 7


def test_a_pools_count_touches_that_pool_alone(dev):
    values = config("dev")["rekindle:environment"]
    values["pools"]["private-agent"]["count"] = 4
    more, _ = declared("dev", **{"rekindle:environment": values})
    before = {(m.kind, m.name): m.inputs for m in dev[0].made}
    after = {(m.kind, m.name): m.inputs for m in more.made}
    assert {key: after[key] for key in before} == before
    assert after.keys() - before.keys() == {("aws:ec2/instance:Instance", "dev-private-agent-4")}


def test_the_foundation_offers_what_an_environment_reads(ground):
    assert ground[1]["foundation"].keys() == GROUND.keys()
    assert ground[1]["foundation"]["stores"].keys() == GROUND["stores"].keys()
    assert ground[1]["foundation"]["instance_profiles"].keys() == {"dev", "dev-dr"}


def test_the_journal_can_be_written_once_only(ground):
    assert ground[0].of("aws:s3/bucket:Bucket")["rekindle-example-journal"]["objectLockEnabled"] is True


def test_every_bucket_keeps_its_versions(ground, dev):
    for recorder in (ground[0], dev[0]):
        versioned = {
            made["bucket"]: made["versioningConfiguration"]["status"]
            for made in recorder.of("aws:s3/bucketVersioning:BucketVersioning").values()
        }
        assert versioned == {bucket["bucket"]: "Enabled" for bucket in recorder.of("aws:s3/bucket:Bucket").values()}


def test_what_outlives_environments_is_not_emptied(ground):
    buckets = ground[0].of("aws:s3/bucket:Bucket")
    assert {"rekindle-example-journal", "rekindle-example-mirror"} <= buckets.keys()
    assert not any(bucket.get("forceDestroy") for bucket in buckets.values())


def test_the_bucket_of_artifacts_goes_with_its_environment(dev):
    (bucket,) = dev[0].of("aws:s3/bucket:Bucket").values()
    assert bucket["forceDestroy"] is True


WRITES = {"s3:objectcreationoperation": "true"}
ONCE = {**WRITES, "s3:if-none-match": "*"}
A_PART = {"s3:objectcreationoperation": "false"}


@pytest.mark.parametrize(
    ("bucket", "action", "resource", "context", "denied"),
    [
        ("journal", "s3:PutObject", "/journal/dev/1", WRITES, True),
        ("journal", "s3:PutObject", "/journal/dev/1", ONCE, False),
        ("journal", "s3:PutObject", "/journal/dev/1", A_PART, False),
        ("journal", "s3:PutObject", "/journal/dev/1", {**WRITES, "s3:if-match": "e"}, True),
        ("journal", "s3:GetObject", "/journal/dev/1", {}, False),
        ("journal", "s3:PutObjectRetention", "/journal/dev/1", {}, False),  # each write needs it
        ("journal", "s3:DeleteObject", "/lock/dev/1", {}, True),
        ("journal", "s3:DeleteObjectVersion", "/lock/dev/1", {}, True),
        ("journal", "s3:BypassGovernanceRetention", "/lock/dev/1", {}, True),
        ("journal", "s3:PutLifecycleConfiguration", "", {}, True),
        ("journal", "s3:DeleteBucket", "", {}, True),
        ("journal", "s3:ListBucket", "", {}, False),
        ("mirror", "s3:PutObject", "/sha256/a", WRITES, True),
        ("mirror", "s3:PutObject", "/sha256/a", ONCE, False),
        ("mirror", "s3:PutObject", "/sha256/a", A_PART, False),
        ("mirror", "s3:DeleteObject", "/sha256/a", {}, False),
    ],
)
def test_nothing_is_written_over_and_of_the_journal_nothing_goes(ground, bucket, action, resource, context, denied):
    policy = ground[0].of("aws:s3/bucketPolicy:BucketPolicy")[f"rekindle-example-{bucket}"]
    assert policy["bucket"] == f"rekindle-example-{bucket}"
    question = Question(action=action, resource=f"arn:aws:s3:::{policy['bucket']}{resource}", context=context)
    assert is_denied(policy["policy"], question) is denied


def test_whoever_attaches_a_restored_volume_may_use_its_key(ground):
    (key,) = ground[0].of("aws:kms/key:Key").values()
    by_iam, by_volumes = json.loads(key["policy"])["Statement"]
    assert by_iam["Principal"] == {"AWS": "arn:aws:iam::123456789012:root"}
    assert "kms:CreateGrant" in by_volumes["Action"]
    assert by_volumes["Condition"]["StringEquals"] == {
        "kms:ViaService": "ec2.us-west-2.amazonaws.com",
        "kms:CallerAccount": "123456789012",
    }


def test_nothing_of_the_foundation_is_public(ground):
    blocks = ground[0].of("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock").values()
    assert {(block["blockPublicPolicy"], block["restrictPublicBuckets"]) for block in blocks} == {(True, True)}


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.BASTION])
def test_no_host_may_create_or_delete_a_volume(role):
    args = HostRolesArgs(environment="dev", prefix="p", artifacts_bucket="a", roles=())
    actions = [action for s in policy(role, args)["Statement"] for action in s["Action"]]
    moves = {"ec2:AttachVolume", "ec2:DetachVolume"}
    assert not [a for a in actions if "Create" in a or "Delete" in a or a.endswith("*")]
    assert (moves <= set(actions)) is (role is Role.PRIVATE_AGENT)
    for statement in policy(role, args)["Statement"]:
        if moves & set(statement["Action"]):
            assert statement["Condition"] == {"StringEquals": {"aws:ResourceTag/rekindle:environment": "dev"}}


def test_every_placed_host_has_a_subnet_of_its_zone_and_az(dev):
    settings = parse("dev", config("dev"), where="dev")
    hosts = dev[0].of("aws:ec2/instance:Instance")
    for host in placed_hosts(settings):
        assert hosts[f"dev-{host.name}"]["subnetId"] == f"dev-{host.zone}-{host.az}-id"
