"""Of all who create one key in the stage's S3, one wins, as in S3."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.s3.models import S3Backend

from rehearsal.region.behaviour import contests

BUCKET, CONTENDERS = "bucket", 6
Write = Callable[[bytes], str]


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A bucket whose writes take long enough for everybody to have looked before anybody has written."""

    def slowly(original: Any) -> Any:
        return lambda *args, **options: time.sleep(0.02) or original(*args, **options)

    for name in ("put_object", "complete_multipart_upload"):
        monkeypatch.setattr(S3Backend, name, slowly(getattr(S3Backend, name)))
    with mock_aws():
        key = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
        config = Config(retries={"total_max_attempts": 1})
        client = boto3.client("s3", "us-east-1", **key, config=config)
        client.create_bucket(Bucket=BUCKET)
        yield client


@pytest.fixture(params=["one request", "in parts"])
def write(request: pytest.FixtureRequest, s3: Any) -> Write:
    """Creates k, and says what S3 answered."""

    def whole(body: bytes) -> None:
        s3.put_object(Bucket=BUCKET, Key="k", Body=body, IfNoneMatch="*")

    def in_parts(body: bytes) -> None:
        target = {
            "Bucket": BUCKET,
            "Key": "k",
            "UploadId": s3.create_multipart_upload(Bucket=BUCKET, Key="k")["UploadId"],
        }
        part = s3.upload_part(**target, PartNumber=1, Body=body)
        parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        s3.complete_multipart_upload(**target, MultipartUpload=parts, IfNoneMatch="*")

    def answered(body: bytes) -> str:
        try:
            (whole if request.param == "one request" else in_parts)(body)
        except ClientError as error:
            return f"{error.response['ResponseMetadata']['HTTPStatusCode']} {error.response['Error']['Code']}"
        return "200"

    return answered


@pytest.fixture
def guarded(request: pytest.FixtureRequest) -> Iterator[None]:
    take_back = contests.install(getattr(request, "param", None))
    yield
    take_back()


def contest(write: Write) -> list[str]:
    with ThreadPoolExecutor(CONTENDERS) as pool:
        return list(pool.map(write, [str(number).encode() for number in range(CONTENDERS)]))


def test_moto_itself_lets_several_win(write: Write) -> None:
    assert contest(write).count("200") > 1  # else the guard is needed no more


@pytest.mark.usefixtures("guarded")
def test_one_wins_and_the_others_are_told(s3: Any, write: Write) -> None:
    answers = contest(write)
    assert Counter(answers) == {"200": 1, "412 PreconditionFailed": CONTENDERS - 1}
    assert s3.get_object(Bucket=BUCKET, Key="k")["Body"].read() == str(answers.index("200")).encode()


@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize("guarded", [1, 2, 3], indirect=True)
def test_with_a_seed_some_are_told_that_another_write_is_under_way(write: Write) -> None:
    answers = Counter(contest(write))
    assert answers["200"] == 1
    assert answers.keys() <= {"200", "412 PreconditionFailed", "409 ConditionalRequestConflict"}
    assert answers["409 ConditionalRequestConflict"]


@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize("guarded", [1], indirect=True)
def test_who_contends_with_nobody_meets_no_conflict(write: Write) -> None:
    assert [write(b"one"), write(b"two")] == ["200", "412 PreconditionFailed"]
