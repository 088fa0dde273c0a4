"""A write that the client repeats is still one write."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from moto import mock_aws

from rekindle.aws import objects
from rekindle.aws.clients import Clients
from rekindle.errors import CommandFailed

BUCKET = "bucket"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        client = Clients().s3("us-west-2")
        client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
        yield client


def refuse(client: Any, times: int, code: str, status: int, *, after_writing: bool) -> list[str]:
    """Makes the next answers to PutObject another one than S3 gave, or instead of S3."""
    seen: list[str] = []

    def answer(request: Any, **more: Any) -> AWSResponse | None:
        seen.append(request.method)
        if request.method != "PUT" or seen.count("PUT") > times:
            return None
        if after_writing:
            key, attempt = request.url.rpartition("/")[2], request.headers["x-amz-meta-rekindle-attempt"]
            client.put_object(Bucket=BUCKET, Key=key, Body=b"arrived", Metadata={objects.ATTEMPT: _text(attempt)})
        body = f"<Error><Code>{code}</Code><Message>m</Message></Error>".encode()
        return AWSResponse(request.url, status, {}, _Raw(body))

    client.meta.events.register_first("before-send.s3.PutObject", answer)
    return seen


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


class _Raw:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **options: Any) -> Iterator[bytes]:
        yield self._body


def test_a_write_that_arrived_though_its_answer_did_not_is_ours(s3: Any) -> None:
    refuse(s3, 1, "PreconditionFailed", 412, after_writing=True)
    assert objects.put_once(s3, BUCKET, "key", b"arrived")


def test_a_conflict_with_a_write_under_way_is_tried_again(s3: Any) -> None:
    seen = refuse(s3, 2, "ConditionalRequestConflict", 409, after_writing=False)
    assert objects.put_once(s3, BUCKET, "key", b"body")
    assert seen.count("PUT") == 3
    assert objects.read(s3, BUCKET, "key") == b"body"


def test_what_is_absent_is_none(s3: Any) -> None:
    assert objects.read(s3, BUCKET, "key") is None
    assert objects.head(s3, BUCKET, "key") is None
    assert objects.size(s3, BUCKET, "key") is None
    objects.delete(s3, BUCKET, "key")


def test_an_absent_bucket_is_an_error(s3: Any) -> None:
    with pytest.raises(CommandFailed, match="NoSuchBucket"):
        objects.read(s3, "no-such-bucket", "key")


def test_the_switch_can_be_put_and_taken_away(s3: Any) -> None:
    objects.put(s3, BUCKET, "active", b"1", "text/plain")
    objects.put(s3, BUCKET, "active", b"22", "text/plain")
    assert objects.size(s3, BUCKET, "active") == 2
    objects.delete(s3, BUCKET, "active")
    assert objects.size(s3, BUCKET, "active") is None
