"""IAM policies, as far as the stage judges them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rehearsal.region.policies import Question, UnknownCondition, decide, is_denied, own_statements

VOLUME = "arn:aws:ec2:us-east-1:123456789012:volume/vol-1"
DEV = {"aws:resourcetag/cluster": "dev"}


def statement(**elements: Any) -> dict[str, Any]:
    return {"Statement": [{"Effect": "Allow", "Action": "ec2:AttachVolume", "Resource": "*", **elements}]}


@pytest.mark.parametrize(
    ("policy", "context", "allowed"),
    [
        (statement(), {}, True),
        (statement(Action="ec2:*"), {}, True),
        (statement(Action=["s3:GetObject", "EC2:attachvolume"]), {}, True),
        (statement(Action="ec2:Describe*"), {}, False),
        (statement(NotAction="iam:*"), {}, True),
        (statement(Resource="arn:aws:ec2:*:*:volume/*"), {}, True),
        (statement(Resource="arn:aws:ec2:*:*:instance/*"), {}, False),
        (statement(Condition={"StringEquals": {"aws:ResourceTag/cluster": "dev"}}), DEV, True),
        (statement(Condition={"StringEquals": {"aws:ResourceTag/cluster": ["a", "b"]}}), DEV, False),
        (statement(Condition={"StringEquals": {"aws:ResourceTag/cluster": "dev"}}), {}, False),
        (statement(Condition={"StringNotEquals": {"aws:ResourceTag/cluster": "dev"}}), DEV, False),
        (statement(Condition={"StringNotEquals": {"aws:ResourceTag/cluster": "dev"}}), {}, True),
        (statement(Condition={"StringEqualsIfExists": {"aws:ResourceTag/cluster": "dev"}}), {}, True),
        (statement(Condition={"StringLike": {"aws:ResourceTag/cluster": "d*"}}), DEV, True),
        (statement(Condition={"Null": {"aws:ResourceTag/cluster": "true"}}), DEV, False),
        (statement(Condition={"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}), {"aws:sourceip": "192.0.2.7"}, True),
        (statement(Condition={"NotIpAddress": {"aws:SourceIp": "192.0.2.0/24"}}), {"aws:sourceip": "192.0.2.7"}, False),
    ],
)
def test_a_statement(policy: dict[str, Any], context: dict[str, str], allowed: bool) -> None:
    assert decide([policy], Question(action="ec2:AttachVolume", resource=VOLUME, context=context)) is allowed


def test_a_denial_wins() -> None:
    question = Question(action="ec2:AttachVolume", resource=VOLUME)
    assert not decide([statement(), statement(Effect="Deny")], question)


@pytest.mark.parametrize(
    ("elements", "denied"),
    [
        ({}, False),
        ({"Effect": "Deny"}, True),
        ({"Effect": "Deny", "Action": "s3:*"}, False),
        ({"Effect": "Deny", "Condition": {"Null": {"aws:ResourceTag/cluster": "true"}}}, False),
        ({"Effect": "Deny", "Condition": {"Null": {"aws:ResourceTag/other": "true"}}}, True),
    ],
)
def test_what_is_denied_is_so_for_whoever_is_allowed(elements: dict[str, Any], denied: bool) -> None:
    question = Question(action="ec2:AttachVolume", resource=VOLUME, context=DEV)
    assert is_denied(statement(**elements), question) is denied


def test_a_condition_that_is_not_understood_is_not_passed() -> None:
    policy = statement(Condition={"DateGreaterThan": {"aws:CurrentTime": "2026-01-01T00:00:00Z"}})
    with pytest.raises(UnknownCondition):
        decide([policy], Question(action="ec2:AttachVolume", resource=VOLUME))


@pytest.mark.parametrize(
    ("principal", "allowed"),
    [("*", True), ({"AWS": "*"}, True), ({"AWS": "arn:aws:iam::1:root"}, False), (None, False)],
)
def test_nobody_is_everybody_only_by_name(principal: Any, allowed: bool) -> None:
    elements = {"Action": "s3:GetObject"} | ({"Principal": principal} if principal else {})
    question = Question(action="s3:GetObject", resource="arn:aws:s3:::b/k", anonymous=True)
    assert decide([statement(**elements)], question) is allowed


@pytest.mark.parametrize(
    ("principal", "allowed"), [("arn:aws:iam::123456789012:root", False), ("*", True), ("arn:aws:iam::1:role/a", True)]
)
def test_a_keys_policy_leaves_to_iam_what_it_says_of_the_root(principal: str, allowed: bool) -> None:
    policy = json.dumps(statement(Principal={"AWS": principal}, Action="kms:*"))
    assert decide([own_statements(policy)], Question(action="kms:CreateGrant", resource="key")) is allowed
