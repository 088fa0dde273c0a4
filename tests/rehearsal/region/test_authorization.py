"""Who may do what on the stage: as their policies say, and nobody by leaving something out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from api_in_process import Clients

from rehearsal.region import cloud
from rehearsal.region.authorization import authorization
from rehearsal.region.refusals import Refusal
from rehearsal.region.request import Call
from rehearsal.region.stage import OPERATOR_KEY

HERE, ACCOUNT = "us-west-2", "123456789012"
HOST, OPERATOR = "100.64.0.2", "198.18.1.2"
ASSUMED_BY_EC2 = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
ATTACH = {"Effect": "Allow", "Action": ["ec2:AttachVolume"], "Resource": "*"}
BY_IAM = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*", "Resource": "*"}
BY_VOLUMES = {
    "Effect": "Allow",
    "Principal": {"AWS": "*"},
    "Action": ["kms:CreateGrant"],
    "Resource": "*",
    "Condition": {"StringEquals": {"kms:ViaService": f"ec2.{HERE}.amazonaws.com", "kms:CallerAccount": ACCOUNT}},
}


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


@dataclass
class Account:
    """An account, and the rule that is asked of each call."""

    aws: Clients
    vpc: str
    endpoint: str = ""

    def asked(self, **facts: Any) -> Refusal | None:
        rule = authorization(lambda source: self.vpc if source == HOST else None)
        return rule(Call(**{"region": HERE, "method": "POST", "path": "/", "source": HOST, **facts}))

    def code(self, **facts: Any) -> str | None:
        refusal = self.asked(**facts)
        return refusal.code if refusal else None

    def role(self, *statements: dict[str, Any], managed: bool = False, name: str = "host") -> dict[str, str]:
        """A role's credentials, as a call carries them."""
        iam = self.aws("iam")
        made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(ASSUMED_BY_EC2))["Role"]["Arn"]
        if managed:
            arn = iam.create_policy(PolicyName=name, PolicyDocument=document(*statements))["Policy"]["Arn"]
            iam.attach_role_policy(RoleName=name, PolicyArn=arn)
        else:
            iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=document(*statements))
        given = self.aws("sts").assume_role(RoleArn=made, RoleSessionName="i-1")["Credentials"]
        return {"access_key": given["AccessKeyId"], "token": given["SessionToken"]}

    def volume(self, key_policy: str | None = None, *, snapshot: bool = False, **tags: str) -> str:
        """One that is encrypted under a key of one's own, or under AWS's."""
        ec2, options = self.aws("ec2"), {"AvailabilityZone": f"{HERE}a", "Size": 1, "Encrypted": True}
        if key_policy is not None:
            options["KmsKeyId"] = self.aws("kms").create_key(Policy=key_policy)["KeyMetadata"]["Arn"]
        made = ec2.create_volume(**options)["VolumeId"]
        if snapshot:
            source = ec2.create_snapshot(VolumeId=made)["SnapshotId"]
            cloud.ec2(HERE).get_snapshot(source).kms_key_id = options.get("KmsKeyId")  # as behaviour/volumes does
            made = ec2.create_volume(AvailabilityZone=f"{HERE}a", SnapshotId=source)["VolumeId"]
        if tags:
            ec2.create_tags(Resources=[made], Tags=[{"Key": k, "Value": v} for k, v in tags.items()])
        return str(made)

    def bucket(self, *statements: dict[str, Any]) -> None:
        s3 = self.aws("s3")
        s3.create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": HERE})
        if statements:
            s3.put_bucket_policy(Bucket="bucket", Policy=document(*statements))


@pytest.fixture
def account(aws: Clients) -> Account:
    ec2 = aws("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    made = ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=f"com.amazonaws.{HERE}.s3", VpcEndpointType="Gateway")
    return Account(aws, vpc, made["VpcEndpoint"]["VpcEndpointId"])


def attach(volume: str, instance: str = "i-0123456789abcdef0") -> dict[str, Any]:
    return {"service": "ec2", "action": "AttachVolume", "parameters": {"VolumeId": volume, "InstanceId": instance}}


# -- a volume's key ------------------------------------------------------------------------------


REVOKED = "CustomerKeyHasBeenRevoked"


def only(**condition: str) -> dict[str, Any]:
    return {**BY_VOLUMES, "Condition": {"StringEquals": {f"kms:{name}": value for name, value in condition.items()}}}


def may(action: str) -> tuple[dict[str, Any], ...]:
    return ATTACH, {"Effect": "Allow", "Action": action, "Resource": "*"}


@pytest.mark.parametrize("snapshot", [False, True], ids=["its own key", "its snapshot's key"])
@pytest.mark.parametrize(
    ("key_policy", "host_may", "code"),
    [
        (document(BY_IAM), (ATTACH,), REVOKED),
        (document(BY_IAM, BY_VOLUMES), (ATTACH,), None),
        (document(BY_IAM), may("kms:CreateGrant"), None),
        (document(BY_IAM), may("kms:Decrypt"), REVOKED),
        (document(BY_IAM, only(ViaService="ec2.us-east-1.amazonaws.com")), (ATTACH,), REVOKED),
        (document(BY_IAM, only(CallerAccount="210987654321")), (ATTACH,), REVOKED),
    ],
)
def test_who_attaches_an_encrypted_volume_needs_its_keys_leave(
    account: Account, snapshot: bool, key_policy: str, host_may: tuple[dict[str, Any], ...], code: str | None
) -> None:
    """EBS asks for a grant in the caller's name (EBS user guide, "How Amazon EBS encryption works")."""
    volume = account.volume(key_policy, snapshot=snapshot)
    assert account.code(**attach(volume), **account.role(*host_may)) == code


def test_awss_own_key_is_everybodys(account: Account) -> None:
    assert account.code(**attach(account.volume()), **account.role(ATTACH)) is None


def test_leave_for_the_key_alone_attaches_nothing(account: Account) -> None:
    grant = {"Effect": "Allow", "Action": "kms:*", "Resource": "*"}
    assert account.code(**attach(account.volume()), **account.role(grant)) == "UnauthorizedOperation"


# -- roles ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("managed", [False, True])
@pytest.mark.parametrize(("environment", "code"), [("dev", None), ("dev-dr", "UnauthorizedOperation")])
def test_a_role_moves_what_is_tagged_as_its_own(
    account: Account, managed: bool, environment: str, code: str | None
) -> None:
    own = {**ATTACH, "Condition": {"StringEquals": {"aws:ResourceTag/environment": "dev"}}}
    role = account.role(own, managed=managed)
    volume = account.volume(environment=environment)
    reservation = account.aws("ec2").run_instances(
        ImageId=account.aws("ec2").register_image(Name="image")["ImageId"],
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "environment", "Value": "dev"}]}],
    )
    assert account.code(**attach(volume, reservation["Instances"][0]["InstanceId"]), **role) == code


def test_all_that_a_call_touches_must_be_allowed(account: Account) -> None:
    volumes_only = {**ATTACH, "Resource": "arn:aws:ec2:*:*:volume/*"}
    assert account.code(**attach(account.volume()), **account.role(volumes_only)) == "UnauthorizedOperation"


def test_what_is_to_be_made_is_asked_for_too(account: Account) -> None:
    copies = {"Effect": "Allow", "Action": "ec2:CreateSnapshot", "Resource": "arn:aws:ec2:*:*:volume/*"}
    call = {"service": "ec2", "action": "CreateSnapshot", "parameters": {"VolumeId": account.volume()}}
    assert account.code(**call, **account.role(copies)) == "UnauthorizedOperation"
    made = {**copies, "Resource": ["arn:aws:ec2:*:*:volume/*", "arn:aws:ec2:*:*:snapshot/*"]}
    assert account.code(**call, **account.role(made, name="other")) is None


def test_a_tag_that_is_asked_for_can_be_a_condition(account: Account) -> None:
    tagged = {
        "Effect": "Allow",
        "Action": "ec2:CreateVolume",
        "Resource": "*",
        "Condition": {"StringEquals": {"aws:RequestTag/environment": "dev"}},
    }
    role = account.role(tagged)
    for value, code in (("dev", None), ("prod", "UnauthorizedOperation")):
        tag = {"TagSpecification.1.Tag.1.Key": "environment", "TagSpecification.1.Tag.1.Value": value}
        assert account.code(service="ec2", action="CreateVolume", parameters=tag, **role) == code


@pytest.mark.parametrize(
    ("service", "code"), [("s3", "InvalidAccessKeyId"), ("ec2", "AuthFailure"), ("kms", "InvalidClientTokenId")]
)
def test_credentials_that_nobody_gave_out(account: Account, service: str, code: str) -> None:
    assert account.code(service=service, action="x", access_key="ASIAUNKNOWN", token="t") == code
    role = account.role({"Effect": "Allow", "Action": "*", "Resource": "*"}) | {"token": "another"}
    assert account.code(service=service, action="x", **role) == code


def test_a_denial_names_who_what_and_on_what(account: Account) -> None:
    refusal = account.asked(service="iam", action="CreateRole", **account.role(ATTACH))
    assert refusal is not None
    assert (refusal.code, refusal.status) == ("AccessDenied", 403)
    who = f"arn:aws:sts::{ACCOUNT}:assumed-role/host/i-1"
    assert refusal.message == f"User: {who} is not authorized to perform: iam:CreateRole on resource: *"


def test_who_one_is_may_always_be_asked(account: Account) -> None:
    assert account.code(service="sts", action="GetCallerIdentity", **account.role(ATTACH)) is None


def test_of_an_attached_policy_the_version_in_force_counts(account: Account) -> None:
    role = account.role({"Effect": "Allow", "Action": "ec2:*", "Resource": "*"}, managed=True)
    arn = f"arn:aws:iam::{ACCOUNT}:policy/host"
    none = document({"Effect": "Deny", "Action": "*", "Resource": "*"})
    account.aws("iam").create_policy_version(PolicyArn=arn, PolicyDocument=none, SetAsDefault=False)
    assert account.code(service="ec2", action="DescribeVolumes", **role) is None
    account.aws("iam").set_default_policy_version(PolicyArn=arn, VersionId="v2")
    assert account.code(service="ec2", action="DescribeVolumes", **role) == "UnauthorizedOperation"


def test_a_role_that_is_gone_may_nothing(account: Account) -> None:
    role = account.role({"Effect": "Allow", "Action": "*", "Resource": "*"})
    iam = account.aws("iam")
    iam.delete_role_policy(RoleName="host", PolicyName="own")
    iam.delete_role(RoleName="host")
    assert account.code(service="ec2", action="DescribeVolumes", **role) == "UnauthorizedOperation"


def test_the_operator_and_users_may_all(account: Account) -> None:
    iam = account.aws("iam")
    iam.create_user(UserName="ann")
    key = iam.create_access_key(UserName="ann")["AccessKey"]["AccessKeyId"]
    for access_key in (OPERATOR_KEY, key):
        assert account.code(service="iam", action="CreateRole", access_key=access_key, source=OPERATOR) is None


def test_load_balancers_have_a_prefix_of_their_own(account: Account) -> None:
    look = {"Effect": "Allow", "Action": "elasticloadbalancing:Describe*", "Resource": "*"}
    assert account.code(service="elbv2", action="DescribeLoadBalancers", **account.role(look)) is None


# -- keys ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", ["id", "arn", "alias", "alias arn"])
def test_a_key_is_the_same_however_it_is_named(account: Account, named: str) -> None:
    kms = account.aws("kms")
    mine, other = (kms.create_key()["KeyMetadata"] for _ in range(2))
    kms.create_alias(AliasName="alias/mine", TargetKeyId=mine["KeyId"])
    use = {"Effect": "Allow", "Action": "kms:Encrypt", "Resource": mine["Arn"]}
    names = {
        "id": mine["KeyId"],
        "arn": mine["Arn"],
        "alias": "alias/mine",
        "alias arn": f"arn:aws:kms:{HERE}:{ACCOUNT}:alias/mine",
    }
    role = account.role(use)
    assert account.code(service="kms", action="Encrypt", parameters={"KeyId": names[named]}, **role) is None
    other_one = {"KeyId": other["KeyId"]}
    assert account.code(service="kms", action="Encrypt", parameters=other_one, **role) == "AccessDeniedException"


# -- nobody --------------------------------------------------------------------------------------


READ = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::bucket/open/*"}


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"method": "GET", "bucket": "bucket", "key": "open/a"}, None),
        ({"method": "HEAD", "bucket": "bucket", "key": "open/a"}, None),
        ({"method": "PUT", "bucket": "bucket", "key": "open/a"}, "AccessDenied"),
        ({"method": "DELETE", "bucket": "bucket", "key": "open/a"}, "AccessDenied"),
        ({"method": "GET", "bucket": "bucket", "key": "closed/a"}, "AccessDenied"),
        ({"method": "GET", "bucket": "bucket"}, "AccessDenied"),
        ({"method": "GET", "bucket": "other", "key": "open/a"}, "AccessDenied"),
        ({"method": "GET", "bucket": "bucket", "key": "open/a", "query": {"versionId": "1"}}, "AccessDenied"),
        ({"method": "GET", "bucket": "bucket", "key": "open/a", "query": {"acl": ""}}, "AccessDenied"),
        ({"method": "GET"}, "AccessDenied"),
    ],
)
def test_nobody_may_what_the_buckets_policy_says(account: Account, facts: dict[str, Any], code: str | None) -> None:
    account.bucket(READ)
    assert account.code(service="s3", source=OPERATOR, **facts) == code


def test_a_bucket_without_a_policy_is_closed(account: Account) -> None:
    account.bucket()
    assert account.code(service="s3", method="GET", bucket="bucket", key="open/a") == "AccessDenied"


def test_a_policy_can_ask_for_the_way_that_was_taken(account: Account) -> None:
    account.bucket({**READ, "Condition": {"StringEquals": {"aws:SourceVpce": account.endpoint}}})
    asked = {"service": "s3", "method": "GET", "bucket": "bucket", "key": "open/a"}
    assert account.code(**asked, source=HOST) is None
    assert account.code(**asked, source=OPERATOR) == "AccessDenied"


def test_a_policy_can_ask_for_an_address_from_outside(account: Account) -> None:
    account.bucket({**READ, "Condition": {"IpAddress": {"aws:SourceIp": "198.18.1.0/24"}}})
    asked = {"service": "s3", "method": "GET", "bucket": "bucket", "key": "open/a"}
    assert account.code(**asked, source=OPERATOR) is None
    assert account.code(**asked, source=HOST) == "AccessDenied"


def test_a_condition_that_the_stage_does_not_know_lets_nobody_in(account: Account) -> None:
    account.bucket({**READ, "Condition": {"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}})
    assert account.code(service="s3", method="GET", bucket="bucket", key="open/a") == "AccessDenied"


@pytest.mark.parametrize("service", ["ec2", "kms", "iam", "sts"])
def test_without_credentials_only_s3_answers(account: Account, service: str) -> None:
    assert account.code(service=service, action="DescribeVolumes", source=OPERATOR) == "MissingAuthenticationToken"
