"""Of all who create one key in the stage's S3, one wins, as in S3."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import pytest
from api_in_process import Clients
from botocore.exceptions import ClientError
from moto.s3.models import S3Backend
from moto.s3.responses import S3Response

from rehearsal.region.behaviour import contests

BUCKET = "bucket"
WON, LOST, CONFLICT = "200", "412 PreconditionFailed", "409 ConditionalRequestConflict"
Write = Callable[[bytes], str]


class AlwaysAway:
    """A chance that sends everybody away who can be."""

    def __init__(self, seed: int) -> None:
        assert seed == 7

    def random(self) -> float:
        return 0.0


class NeverAway(AlwaysAway):
    def random(self) -> float:
        return 0.5


@pytest.fixture(autouse=True)
def moto_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever other tests of this process were given."""
    for name in ("put_object", "_key_response_post"):
        monkeypatch.setattr(S3Response, name, inspect.unwrap(getattr(S3Response, name)))


@pytest.fixture
def s3(aws: Clients) -> Any:
    client = aws("s3")
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
    return client


@pytest.fixture(params=["one request", "in parts"])
def write(request: pytest.FixtureRequest, s3: Any) -> Write:
    """Creates k, and says what S3 answered."""

    def whole(body: bytes) -> None:
        s3.put_object(Bucket=BUCKET, Key="k", Body=body, IfNoneMatch="*")

    def in_parts(body: bytes) -> None:
        target = {"Bucket": BUCKET, "Key": "k"}
        target |= {"UploadId": s3.create_multipart_upload(**target)["UploadId"]}
        part = s3.upload_part(**target, PartNumber=1, Body=body)
        parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        s3.complete_multipart_upload(**target, MultipartUpload=parts, IfNoneMatch="*")

    def answered(body: bytes) -> str:
        try:
            (whole if request.param == "one request" else in_parts)(body)
        except ClientError as error:
            return f"{error.response['ResponseMetadata']['HTTPStatusCode']} {error.response['Error']['Code']}"
        return WON

    return answered


def contest(write: Write, monkeypatch: pytest.MonkeyPatch, seconds: float = 0.05) -> list[str]:
    """Somebody else begins to create the key when the first has looked and not yet written, and has some seconds."""
    first, rivals = threading.get_ident(), list[Future[str]]()

    def meanwhile(original: Any) -> Any:
        def backend_write(*args: Any, **options: Any) -> Any:
            if threading.get_ident() == first and not rivals:
                rivals.append(pool.submit(write, b"second"))
                wait(rivals, seconds)
            return original(*args, **options)

        return backend_write

    for name in ("put_object", "complete_multipart_upload"):
        monkeypatch.setattr(S3Backend, name, meanwhile(getattr(S3Backend, name)))
    with ThreadPoolExecutor(1) as pool:
        return [write(b"first"), *(rival.result() for rival in rivals)]


@pytest.fixture
def guarded(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As the stage's S3 is; with a chance, as it is with a seed."""
    chance = getattr(request, "param", None)
    if chance:
        monkeypatch.setattr(contests.random, "Random", chance)
    take_back = contests.install(7 if chance else None)
    yield
    take_back()


def test_moto_itself_lets_both_win(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    assert contest(write, monkeypatch, 20.0) == [WON, WON]  # else the guard is needed no more


@pytest.mark.usefixtures("guarded")
def test_one_wins_and_the_other_is_told(s3: Any, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    assert contest(write, monkeypatch) == [WON, LOST]
    assert s3.get_object(Bucket=BUCKET, Key="k")["Body"].read() == b"first"


@pytest.mark.parametrize(
    ("guarded", "seconds", "answer"), [(AlwaysAway, 20.0, CONFLICT), (NeverAway, 0.05, LOST)], indirect=["guarded"]
)
def test_with_a_seed_some_are_told_that_another_write_is_under_way(
    guarded: None, write: Write, monkeypatch: pytest.MonkeyPatch, seconds: float, answer: str
) -> None:
    assert contest(write, monkeypatch, seconds) == [WON, answer]


@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize("guarded", [AlwaysAway], indirect=True)
def test_who_contends_with_nobody_meets_no_conflict(write: Write) -> None:
    assert [write(b"one"), write(b"two")] == [WON, LOST]


@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize("guarded", [AlwaysAway], indirect=True)
def test_who_writes_without_a_condition_waits_and_writes(
    s3: Any, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def either(body: bytes) -> str:
        if body == b"first":
            return write(body)
        s3.put_object(Bucket=BUCKET, Key="k", Body=body)
        return WON

    assert contest(either, monkeypatch) == [WON, WON]
    assert s3.get_object(Bucket=BUCKET, Key="k")["Body"].read() == b"second"


@pytest.mark.usefixtures("guarded")
def test_another_key_is_nobodys_concern(s3: Any, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    def either(body: bytes) -> str:
        if body == b"first":
            return write(body)
        s3.put_object(Bucket=BUCKET, Key="other", Body=body, IfNoneMatch="*")
        return WON

    assert contest(either, monkeypatch, 20.0) == [WON, WON]


def test_taken_back_nothing_of_it_is_left(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    contests.install()()
    assert contest(write, monkeypatch, 20.0) == [WON, WON]
