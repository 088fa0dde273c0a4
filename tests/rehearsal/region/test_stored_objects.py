"""S3 and KMS on the stage: a policy binds everybody, and neither a checksum nor a key is what the client says."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from rehearsal.region.authorization import authorization
from rehearsal.region.behaviour import keys, objects
from rehearsal.region.request import Call
from rehearsal.region.rules import conditional_copy
from rehearsal.region.stage import OPERATOR_KEY

ARN = "arn:aws:s3:::journal"
KEPT = [
    "s3:DeleteObject",
    "s3:DeleteObjectVersion",
    "s3:BypassGovernanceRetention",
    "s3:PutLifecycleConfiguration",
    "s3:DeleteBucket",
]
POLICY = {
    "Statement": [
        {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:PutObject",
            "Resource": f"{ARN}/*",
            "Condition": {"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}},
        },
        {"Effect": "Deny", "Principal": "*", "Action": KEPT, "Resource": [ARN, f"{ARN}/*"]},
    ]
}


@pytest.fixture(scope="module", autouse=True)
def strict() -> None:
    keys.install()
    objects.install()


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield


@pytest.fixture
def s3(aws: None) -> Any:
    client = boto3.client("s3", region_name="us-east-1")
    client.create_bucket(Bucket="journal")
    return client


def asked(method: str, key: str | None = "k", query: dict[str, str] | None = None, **headers: str) -> Call:
    return Call(
        service="s3",
        region="us-east-1",
        method=method,
        path="/",
        source="198.18.1.2",
        access_key=OPERATOR_KEY,
        bucket="journal",
        key=key,
        query=query or {},
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


@pytest.mark.parametrize(
    ("call", "refused"),
    [
        (asked("GET"), False),
        (asked("PUT"), True),
        (asked("PUT", if_none_match="*"), False),
        (asked("PUT", if_match="etag"), True),
        (asked("PUT", x_amz_copy_source="journal/other"), True),
        (asked("POST", query={"uploads": ""}), False),
        (asked("PUT", query={"uploadId": "u", "partNumber": "1"}), False),
        (asked("POST", query={"uploadId": "u"}), True),
        (asked("POST", query={"uploadId": "u"}, if_none_match="*"), False),
        (asked("DELETE", query={"uploadId": "u"}), False),
        (asked("DELETE"), True),
        (asked("DELETE", query={"versionId": "v"}), True),
        (asked("POST", None, query={"delete": ""}), True),
        (asked("PUT", query={"retention": ""}), False),
        (asked("PUT", query={"retention": ""}, x_amz_bypass_governance_retention="true"), True),
        (asked("PUT", None, query={"lifecycle": ""}), True),
        (asked("DELETE", None, query={"lifecycle": ""}), True),
        (asked("GET", None, query={"lifecycle": ""}), False),
        (asked("PUT", None, query={"policy": ""}), False),
        (asked("DELETE", None, query={"policy": ""}), False),
        (asked("DELETE", None), True),
        (asked("GET", None, query={"versions": ""}), False),
    ],
)
def test_what_a_buckets_policy_denies_the_operator_may_not_do(s3: Any, call: Call, refused: bool) -> None:
    rule = authorization(lambda source: None)
    assert rule(call) is None
    s3.put_bucket_policy(Bucket="journal", Policy=json.dumps(POLICY))
    refusal = rule(call)
    assert (refusal.code if refusal else None) == ("AccessDenied" if refused else None)


def test_a_policy_that_cannot_be_judged_denies(s3: Any) -> None:
    unknown = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": f"{ARN}/*"}
    unknown["Condition"] = {"DateLessThan": {"aws:CurrentTime": "2020-01-01"}}  # type: ignore[assignment]
    s3.put_bucket_policy(Bucket="journal", Policy=json.dumps({"Statement": [unknown]}))
    assert authorization(lambda source: None)(asked("GET")) is not None


@pytest.mark.parametrize(
    ("call", "refused"),
    [
        (asked("PUT", x_amz_copy_source="a/b", if_none_match="*"), True),
        (asked("PUT", x_amz_copy_source="a/b", if_match="e"), True),
        (asked("PUT", x_amz_copy_source="a/b"), False),
        (asked("PUT", if_none_match="*"), False),
    ],
)
def test_a_copy_has_no_condition(call: Call, refused: bool) -> None:
    refusal = conditional_copy(call)
    assert (refusal.status if refusal else None) == (501 if refused else None)


def sha256(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


def test_a_checksum_is_what_the_bytes_have(s3: Any) -> None:
    with pytest.raises(ClientError, match="BadDigest"):
        s3.put_object(
            Bucket="journal", Key="k", Body=b"evil", ChecksumAlgorithm="SHA256", ChecksumSHA256=sha256(b"good")
        )
    s3.put_object(Bucket="journal", Key="k", Body=b"good", ChecksumAlgorithm="SHA256", ChecksumSHA256=sha256(b"good"))
    s3.put_object(Bucket="journal", Key="plain", Body=b"good")
    s3.copy_object(Bucket="journal", Key="copy", CopySource="journal/plain", ChecksumAlgorithm="SHA256")
    found = {k: s3.head_object(Bucket="journal", Key=k, ChecksumMode="ENABLED") for k in ("k", "plain", "copy")}
    told = {key: head.get("ChecksumSHA256") for key, head in found.items()}
    assert told == {"k": sha256(b"good"), "plain": None, "copy": sha256(b"good")}


def test_a_ciphertext_is_decrypted_by_the_key_it_was_made_under_alone(aws: None) -> None:
    kms = boto3.client("kms", region_name="us-east-1")
    mine, others = (kms.create_key()["KeyMetadata"] for _ in range(2))
    blob = kms.generate_data_key(KeyId=mine["Arn"], KeySpec="AES_256")["CiphertextBlob"]
    for right in ({}, {"KeyId": mine["Arn"]}, {"KeyId": mine["KeyId"]}):
        assert kms.decrypt(CiphertextBlob=blob, **right)["KeyId"] == mine["Arn"]
    with pytest.raises(ClientError, match="IncorrectKeyException"):
        kms.decrypt(CiphertextBlob=blob, KeyId=others["Arn"])
