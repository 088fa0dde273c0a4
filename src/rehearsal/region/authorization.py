"""Who may do what: roles' credentials as their policies say, nobody without credentials but by bucket policy."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rehearsal.region import cloud
from rehearsal.region.behaviour import keys
from rehearsal.region.policies import Question, UnknownCondition, decide, is_denied, own_statements
from rehearsal.region.refusals import Refusal
from rehearsal.region.request import Call
from rehearsal.region.stage import ACCOUNT, OPERATOR_KEY

_log = logging.getLogger(__name__)
VpcOfLink = Callable[[str], str | None]
_S3_OBJECT_ACTIONS = {
    "GET": "s3:GetObject",
    "HEAD": "s3:GetObject",
    "PUT": "s3:PutObject",
    "POST": "s3:PutObject",
    "DELETE": "s3:DeleteObject",
}
_S3_BUCKET_ACTIONS = {
    "GET": "s3:ListBucket",
    "HEAD": "s3:ListBucket",
    "PUT": "s3:CreateBucket",
    "DELETE": "s3:DeleteBucket",
}
_S3_SUBRESOURCES = {
    "acl": "Acl",
    "legal-hold": "LegalHold",
    "location": "Location",
    "object-lock": "ObjectLockConfiguration",
    "policy": "Policy",
    "publicAccessBlock": "PublicAccessBlock",
    "retention": "Retention",
    "tagging": "Tagging",
    "versioning": "Versioning",
}
_S3_CONFIGURATIONS = {
    "encryption": "EncryptionConfiguration",
    "lifecycle": "LifecycleConfiguration",
    "replication": "ReplicationConfiguration",
}
"""Settings of a bucket whose actions do not name it (service authorization reference, S3)."""
_EC2_RESOURCES = {
    "vol-": "volume",
    "i-": "instance",
    "snap-": "snapshot",
    "sg-": "security-group",
    "subnet-": "subnet",
    "eni-": "network-interface",
    "ami-": "image",
}
_EC2_CREATES = {
    "CreateVolume": "volume",
    "CreateSnapshot": "snapshot",
    "CopySnapshot": "snapshot",
    "RunInstances": "instance",
}


def authorization(vpc_of_link: VpcOfLink) -> Callable[[Call], Refusal | None]:
    """The rule that asks for permission. The operator's own key may do all that no bucket's policy denies."""

    def rule(call: Call) -> Refusal | None:
        context = _caller_context(call, vpc_of_link)
        if call.service == "s3" and _is_denied_by_bucket(call, context):
            return _ACCESS_DENIED
        if call.access_key == OPERATOR_KEY or _is_user(call.access_key):
            return None
        if call.access_key is None:
            return _anonymous(call, context)
        return _role(call, context)

    return rule


def _is_user(access_key: str | None) -> bool:
    """A key of an IAM user; the stage lets users do all."""
    return any(key.access_key_id == access_key for user in cloud.iam().users.values() for key in user.access_keys)


def _caller_context(call: Call, vpc_of_link: VpcOfLink) -> dict[str, str]:
    """Through a gateway endpoint a caller has an endpoint and a VPC; else it has a public address."""
    vpc = vpc_of_link(call.source)
    if vpc is None:
        return {"aws:sourceip": call.source, "aws:requestedregion": call.region}
    endpoint = cloud.s3_endpoint_of(vpc)
    return {"aws:sourcevpc": vpc, "aws:requestedregion": call.region} | (
        {"aws:sourcevpce": endpoint} if endpoint else {}
    )


# -- without credentials -----------------------------------------------------------------------


def _anonymous(call: Call, context: Mapping[str, str]) -> Refusal | None:
    if call.service != "s3":
        return Refusal(code="MissingAuthenticationToken", message="Missing Authentication Token", status=403)
    policy = _bucket_policy(call.bucket)
    if policy is not None and all(_decide([policy], question) for question in _s3_questions(call, context, True)):
        return None
    return _ACCESS_DENIED


_ACCESS_DENIED = Refusal(code="AccessDenied", message="Access Denied", status=403)


def _is_denied_by_bucket(call: Call, context: Mapping[str, str]) -> bool:
    policy = _bucket_policy(call.bucket)
    try:
        return policy is not None and any(is_denied(policy, question) for question in _s3_questions(call, context))
    except UnknownCondition as error:
        _log.error("refused on %s: the stage does not know %s", call.bucket, error)
        return True


def _bucket_policy(bucket: str | None) -> str | None:
    known = cloud.s3().buckets.get(bucket) if bucket else None
    policy = known.policy if known is not None else None
    return policy.decode() if isinstance(policy, bytes) else policy


def _s3_questions(call: Call, context: Mapping[str, str], anonymous: bool = False) -> Iterator[Question]:
    """One for each action that the call needs leave for."""
    is_of_objects = call.key or "delete" in call.query  # of many objects: their keys are in the body
    arn = f"arn:aws:s3:::{call.bucket or '*'}" + (f"/{call.key or '*'}" if is_of_objects else "")
    facts = {**context, **_s3_facts(call)}
    for action in _s3_actions(call):
        yield Question(action=action, resource=arn, context=facts, anonymous=anonymous)


def _s3_facts(call: Call) -> dict[str, str]:
    """Condition keys of S3; parts of an upload create nothing, their completion does."""
    facts = {f"s3:{name}": call.headers[name] for name in ("if-none-match", "if-match") if name in call.headers}
    if "prefix" in call.query:
        facts["s3:prefix"] = call.query["prefix"]
    is_part = "uploads" in call.query or "partNumber" in call.query
    return facts | {"s3:objectcreationoperation": str(not is_part).lower()}


def _s3_actions(call: Call) -> Iterator[str]:
    yield _s3_action(call)
    if "delete" in call.query:
        yield "s3:DeleteObjectVersion"
    if call.headers.get("x-amz-bypass-governance-retention", "").lower() == "true":
        yield "s3:BypassGovernanceRetention"


def _s3_action(call: Call) -> str:
    if call.bucket is None:
        return "s3:ListAllMyBuckets"
    verb = "Get" if call.method == "GET" else "Put"
    for name, suffix in _S3_CONFIGURATIONS.items():
        if name in call.query:
            return f"s3:{verb}{suffix}"
    for name, suffix in _S3_SUBRESOURCES.items():
        if name in call.query:
            kind = "Object" if call.key else "Bucket"
            verb = "Delete" if (call.method, name) == ("DELETE", "policy") else verb
            return f"s3:{verb}{kind}{suffix}"
    if "versions" in call.query:
        return "s3:ListBucketVersions"
    if "uploadId" in call.query and call.method == "DELETE":
        return "s3:AbortMultipartUpload"
    if "versionId" in call.query and call.key:
        return _S3_OBJECT_ACTIONS[call.method] + "Version"
    if "delete" in call.query:
        return "s3:DeleteObject"
    return (_S3_OBJECT_ACTIONS if call.key else _S3_BUCKET_ACTIONS)[call.method]


# -- with a role's credentials -----------------------------------------------------------------


def _role(call: Call, context: Mapping[str, str]) -> Refusal | None:
    session = cloud.sts().get_assumed_role_from_access_key(call.access_key)
    if session is None or session.session_token != call.token:
        code = (
            "InvalidAccessKeyId"
            if call.service == "s3"
            else "AuthFailure"
            if call.service == "ec2"
            else "InvalidClientTokenId"
        )
        return Refusal(code=code, message="The security token included in the request is invalid.", status=403)
    documents = list(_policies(session.role_arn))
    for question in _questions(call, context):
        if not _decide(documents, question):
            return _denied(call, session, question)
    return _locked_volume(call, documents, context)


def _locked_volume(call: Call, documents: list[Any], context: Mapping[str, str]) -> Refusal | None:
    """Who attaches a volume that is encrypted under a customer's key needs that key's leave too."""
    key = cloud.customer_key_of(call.region, call.parameters.get("VolumeId")) if call.action == "AttachVolume" else None
    if key is None:
        return None
    via = {"kms:viaservice": f"ec2.{call.region}.amazonaws.com", "kms:calleraccount": ACCOUNT}
    question = Question(action="kms:CreateGrant", resource=key.arn, context={**context, **via})
    if _decide(documents, question) or _decide([own_statements(key.policy)], question):
        return None
    message = f"Volume {call.parameters['VolumeId']} cannot be attached. Unable to access its KMS key."
    return Refusal(code="CustomerKeyHasBeenRevoked", message=message, status=400)


def _decide(documents: list[Any], question: Question) -> bool:
    try:
        return decide(documents, question)
    except UnknownCondition as error:
        _log.error("%s on %s refused: the stage does not know %s", question.action, question.resource, error)
        return False


def _denied(call: Call, session: Any, question: Question) -> Refusal:
    role = session.role_arn.rsplit("/", 1)[-1]
    who = f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{session.session_name}"
    message = f"User: {who} is not authorized to perform: {question.action} on resource: {question.resource}"
    code = {"ec2": "UnauthorizedOperation", "kms": "AccessDeniedException"}.get(call.service, "AccessDenied")
    return Refusal(code=code, message=message, status=403 if call.service != "kms" else 400)


def _policies(role_arn: str) -> Iterator[Any]:
    """Documents of a role's own policies, and of those attached to it in force; none when the role is gone."""
    role = next((r for r in cloud.iam().roles.values() if r.arn == role_arn), None)
    if role is not None:
        yield from role.policies.values()
        for policy in role.managed_policies.values():
            yield from (version.document for version in policy.versions if version.is_default)


def _questions(call: Call, context: Mapping[str, str]) -> list[Question]:
    """One for each resource that the call touches: all must be allowed."""
    if call.service == "s3":
        return list(_s3_questions(call, context))
    if call.action == "GetCallerIdentity":
        return []
    action = f"{'elasticloadbalancing' if call.service == 'elbv2' else call.service}:{call.action or call.method}"
    if call.service == "ec2" and call.is_write:
        return [
            Question(action=action, resource=arn, context={**context, **facts}) for arn, facts in _ec2_resources(call)
        ]
    if call.service == "kms":
        return [Question(action=action, resource=_kms_resource(call), context=context)]
    return [Question(action=action, resource="*", context=context)]


def _kms_resource(call: Call) -> str:
    """The key that a call names, by id, alias or ARN; for Decrypt, the one inside the ciphertext."""
    key = call.parameters.get("KeyId") or keys.key_of(call.parameters.get("CiphertextBlob", ""))
    if key.startswith("arn:") and ":alias/" not in key:
        return key
    alias = key.partition(":alias/")[2] if ":alias/" in key else key.removeprefix("alias/")
    backend = cloud.kms(call.region)
    found = backend.get_key_id_from_alias(f"alias/{alias}") or key
    return f"arn:aws:kms:{call.region}:{ACCOUNT}:key/{found}"


def _ec2_resources(call: Call) -> list[tuple[str, dict[str, str]]]:
    """ARN and condition keys of each resource that the parameters name, and of the one to be created."""
    requested = _requested_tags(call)
    found = []
    for value in dict.fromkeys(call.parameters.values()):
        kind = next((k for prefix, k in _EC2_RESOURCES.items() if value.startswith(prefix)), None)
        if kind is not None:
            found.append((_arn(call, kind, value), {**requested, **_resource_tags(call.region, value)}))
    if call.action in _EC2_CREATES:
        found.append((_arn(call, _EC2_CREATES[call.action], "*"), requested))
    return found or [("*", requested)]


def _arn(call: Call, kind: str, resource: str) -> str:
    return f"arn:aws:ec2:{call.region}:{ACCOUNT}:{kind}/{resource}"


def _resource_tags(region: str, resource: str) -> dict[str, str]:
    tags = cloud.ec2(region).tags.get(resource, {})
    keys = ("aws:resourcetag/{}", "ec2:resourcetag/{}")
    return {pattern.format(key.lower()): str(value) for key, value in tags.items() for pattern in keys}


def _requested_tags(call: Call) -> dict[str, str]:
    names = {k: v for k, v in call.parameters.items() if ".Tag." in f".{k}" and k.endswith(".Key")}
    pairs = {name: call.parameters.get(k.removesuffix("Key") + "Value", "") for k, name in names.items()}
    return {f"aws:requesttag/{name.lower()}": value for name, value in pairs.items()}
