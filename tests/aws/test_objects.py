"""A write that is repeated is still one write, a body that breaks is read on, and S3 is asked again for a while."""

import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import moto.s3.models
import pytest
import tenacity
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectTimeoutError
from moto import mock_aws

from rekindle.aws import objects, patience
from rekindle.aws.clients import CONNECT_SECONDS, S3_ATTEMPTS, S3_READ_SECONDS, Clients
from rekindle.aws.objects import Content
from rekindle.errors import CommandFailed, InputError, JournalDamaged, Refused, Unreachable

BUCKET = "bucket"
SPOKEN: list[tuple[str, Any]] = []  # instead of S3, in this test
LEASE_SECONDS = 60.0  # of the journal's lock


@dataclass
class Clock:
    """Time passes only by waiting for it."""

    now: float = 0.0
    pauses: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(tenacity, "time", clock)
    monkeypatch.setattr(tenacity.nap, "time", SimpleNamespace(sleep=clock.sleep))
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda seconds: None))
    return clock


@pytest.fixture(scope="module")
def clients() -> Iterator[Clients]:
    with pytest.MonkeyPatch.context() as patched:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patched.setenv(name, "testing")
        yield Clients()


@pytest.fixture
def s3(clients: Clients) -> Iterator[Any]:
    with mock_aws():
        client = clients.s3("us-west-2")
        client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
        yield client
    while SPOKEN:
        client.meta.events.unregister(*SPOKEN.pop())


class _Raw:
    def __init__(self, body: bytes) -> None:
        self._body = io.BytesIO(body)

    def stream(self, **options: Any) -> Iterator[bytes]:
        yield self._body.read()

    def read(self, amount: int | None = None) -> bytes:
        return self._body.read(amount)

    def close(self) -> None: ...


def error(code: str, status: int) -> Callable[[Any], AWSResponse]:
    body = f"<Error><Code>{code}</Code><Message>m</Message></Error>".encode()
    return lambda request: AWSResponse(request.url, status, {}, _Raw(body))


def silence(request: Any) -> AWSResponse:
    raise ConnectTimeoutError(endpoint_url=request.url)


def answers(client: Any, operation: str, *said: Callable[[Any], AWSResponse] | None) -> list[str]:
    """Says these instead of S3, one by one, None: what S3 says; the last one for ever. Each request is noted."""
    seen: list[str] = []

    def answer(request: Any, **more: Any) -> AWSResponse | None:
        wanted = request.headers.get("Range", "")
        seen.append(wanted.decode() if isinstance(wanted, bytes) else wanted)
        spoken = said[min(len(seen), len(said)) - 1]
        answered = spoken(request) if spoken else None
        if answered:
            request.url = "https://nowhere.s3.us-west-2.amazonaws.com/key"  # moto would do it all the same
        return answered

    SPOKEN.append((f"before-send.s3.{operation}", answer))
    client.meta.events.register_first(*SPOKEN[-1])
    return seen


def arriving(client: Any, then: Callable[[Any], AWSResponse], metadata: str | None = None) -> Callable[..., Any]:
    """S3 writes it, and says something else."""

    def answer(request: Any) -> AWSResponse:
        mark = request.headers["x-amz-meta-rekindle-attempt"]
        mark = mark.decode() if isinstance(mark, bytes) else mark
        key = request.url.rpartition("/")[2]
        made = moto.s3.models.s3_backends["123456789012"]["aws"].put_object(BUCKET, key, b"arrived")
        made.set_metadata({f"x-amz-meta-{objects.ATTEMPT}": metadata or mark})
        return then(request)

    return answer


CONFLICT, TAKEN = error("ConditionalRequestConflict", 409), error("PreconditionFailed", 412)
BUSY = error("SlowDown", 503)


def test_a_call_is_over_before_a_lease_is() -> None:
    longest_try = S3_ATTEMPTS * (CONNECT_SECONDS + S3_READ_SECONDS)
    assert patience.PATIENCE_SECONDS + longest_try < LEASE_SECONDS


@pytest.mark.parametrize("first", [TAKEN, CONFLICT, BUSY, silence])
def test_a_write_that_arrived_though_its_answer_did_not_is_ours(s3: Any, first: Any) -> None:
    answers(s3, "PutObject", arriving(s3, first), None)
    assert objects.put_once(s3, BUCKET, "key", b"arrived")


@pytest.mark.parametrize("first", [TAKEN, CONFLICT, BUSY, silence])
def test_a_write_of_another_is_not_ours(s3: Any, first: Any) -> None:
    answers(s3, "PutObject", arriving(s3, first, metadata="another"), None)
    assert not objects.put_once(s3, BUCKET, "key", b"arrived")


@pytest.mark.parametrize("said", [CONFLICT, BUSY, silence, error("InternalError", 500), error("RequestTimeout", 400)])
def test_what_may_pass_is_tried_again(s3: Any, clock: Clock, said: Any) -> None:
    answers(s3, "PutObject", *[said] * 6, None)
    assert objects.put_once(s3, BUCKET, "key", b"body")
    assert objects.read(s3, BUCKET, "key") == b"body"
    assert len(clock.pauses) >= 2


@pytest.mark.parametrize("call", [objects.read, objects.head, objects.size, objects.content, objects.delete])
@pytest.mark.parametrize("said", [silence, BUSY])
def test_every_call_is(s3: Any, call: Any, said: Any) -> None:
    objects.put(s3, BUCKET, "key", b"body", "text/plain")
    for operation in ("GetObject", "HeadObject", "DeleteObject"):
        answers(s3, operation, *[said] * 6, None)
    call(s3, BUCKET, "key")


def test_lists_are(s3: Any) -> None:
    objects.put(s3, BUCKET, "key", b"body", "text/plain")
    answers(s3, "ListObjectVersions", *[silence] * 6, None)
    assert [listed.key for listed in objects.list_versions(s3, BUCKET, "")] == ["key"]


def test_writing_over_and_copying_are(s3: Any) -> None:
    for operation in ("PutObject", "CopyObject"):
        answers(s3, operation, *[silence] * 6, None)
    objects.put(s3, BUCKET, "key", b"body", "text/plain")
    objects.copy(BUCKET, "key", s3, BUCKET, "other", content_type="text/plain")
    assert objects.content(s3, BUCKET, "other") == Content(size=4, sha256=hashlib.sha256(b"body").hexdigest())


def test_not_for_ever_and_with_growing_pauses(s3: Any, clock: Clock) -> None:
    answers(s3, "GetObject", silence)
    with pytest.raises(Unreachable, match="no answer"):
        objects.read(s3, BUCKET, "key")
    assert patience.PATIENCE_SECONDS <= clock.now < patience.PATIENCE_SECONDS + patience.LONGEST_PAUSE_SECONDS
    assert clock.pauses[0] <= patience.FIRST_PAUSE_SECONDS < max(clock.pauses) <= patience.LONGEST_PAUSE_SECONDS


@pytest.mark.parametrize(
    ("said", "raised"), [(error("AccessDenied", 403), Refused), (error("NoSuchBucket", 404), CommandFailed)]
)
def test_what_will_not_pass_is_said_at_once(s3: Any, clock: Clock, said: Any, raised: Any) -> None:
    for operation in ("PutObject", "GetObject"):
        answers(s3, operation, said)
    for call in (lambda: objects.put_once(s3, BUCKET, "key", b""), lambda: objects.read(s3, BUCKET, "key")):
        with pytest.raises(raised):
            call()
    assert clock.pauses == []


def test_who_asks_once_is_answered_at_once(s3: Any, clock: Clock, clients: Clients) -> None:
    quick = Clients(attempts=1).s3("us-west-2")
    seen = answers(quick, "GetObject", silence)
    with pytest.raises(Unreachable):
        objects.read(quick, BUCKET, "key")
    assert (len(seen), clock.pauses) == (1, [])


def test_a_conflict_that_does_not_end_is_no_word_on_who_wrote(s3: Any) -> None:
    answers(s3, "PutObject", CONFLICT)
    with pytest.raises(Unreachable, match="under way, and does not end") as caught:
        objects.put_once(s3, BUCKET, "key", b"body")
    assert (caught.value.where, bool(caught.value.next_step)) == ("s3://bucket/key", True)


def test_silence_that_does_not_end_is_told_as_it_is(s3: Any) -> None:
    answers(s3, "PutObject", silence)
    with pytest.raises(Unreachable, match="no answer"):
        objects.put_once(s3, BUCKET, "key", b"body")


def test_a_key_that_is_taken_by_nothing_is_an_error(s3: Any) -> None:
    answers(s3, "PutObject", TAKEN)
    with pytest.raises(CommandFailed, match="PreconditionFailed"):
        objects.put_once(s3, BUCKET, "key", b"body")


# Bodies


def cut(body: bytes, at: int) -> Callable[[Any], AWSResponse]:
    """An answer whose connection ends early."""
    headers = {"Content-Length": str(len(body)), "ETag": '"e"'}
    return lambda request: AWSResponse(request.url, 200, headers, _Raw(body[:at]))


def test_a_body_that_is_cut_is_read_again(s3: Any) -> None:
    objects.put(s3, BUCKET, "key", b"whole", "text/plain")
    seen = answers(s3, "GetObject", cut(b"whole", 3), cut(b"whole", 0), None)
    assert objects.read(s3, BUCKET, "key") == b"whole"
    assert len(seen) == 3


def test_a_stream_is_taken_up_where_it_broke(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "PIECE", 4)
    objects.put(s3, BUCKET, "key", b"0123456789", "text/plain")
    etag = objects.head(s3, BUCKET, "key")["ETag"]  # type: ignore[index]
    first = AWSResponse("", 200, {"Content-Length": "10", "ETag": etag}, _Raw(b"01234567"))
    seen = answers(s3, "GetObject", lambda request: first, silence, None)
    assert b"".join(objects.stream(s3, BUCKET, "key")) == b"0123456789"
    assert seen == ["", "bytes=8-", "bytes=8-"]


def test_a_stream_is_of_one_version(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "PIECE", 4)
    objects.put(s3, BUCKET, "key", b"0123456789", "text/plain")
    answers(s3, "GetObject", cut(b"0123456789", 4), None)
    with pytest.raises(CommandFailed, match="PreconditionFailed"):
        list(objects.stream(s3, BUCKET, "key"))


def test_what_is_larger_than_any_of_ours_is_not_read(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "LARGEST_READ", 4)
    for body in (b"1234", b"12345"):
        objects.put(s3, BUCKET, "key", body, "text/plain")
        if len(body) == 4:
            assert objects.read(s3, BUCKET, "key") == body
        else:
            with pytest.raises(JournalDamaged, match="s3://bucket/key: has 5 bytes"):
                objects.read(s3, BUCKET, "key")


def test_what_is_absent_is_none(s3: Any) -> None:
    for call in (objects.read, objects.head, objects.size, objects.content):
        assert call(s3, BUCKET, "key") is None
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


# Content


def test_what_is_uploaded_is_known_by_its_checksum_and_not_read_for_it(s3: Any) -> None:
    digest = hashlib.sha256(b"body").hexdigest()
    stream = io.BytesIO(b"body")
    stream.seek(3)
    written = [objects.upload(s3, BUCKET, "key", stream, sha256=digest, size=4, content_type="a/b") for _ in range(2)]
    assert written == [True, False]
    seen = answers(s3, "GetObject", None)
    assert objects.content(s3, BUCKET, "key") == Content(size=4, sha256=digest)
    assert seen == []
    assert objects.head(s3, BUCKET, "key")["ContentType"] == "a/b"  # type: ignore[index]


@pytest.mark.parametrize("told", [None, "c29tZXRoaW5n-2"])
def test_what_has_no_checksum_of_the_whole_is_read(s3: Any, monkeypatch: pytest.MonkeyPatch, told: str | None) -> None:
    monkeypatch.setattr(objects, "PIECE", 3)
    objects.put(s3, BUCKET, "key", b"body", "text/plain")
    kept = objects.head(s3, BUCKET, "key") or {}
    monkeypatch.setattr(objects, "head", lambda *place: {**kept, **({"ChecksumSHA256": told} if told else {})})
    assert objects.content(s3, BUCKET, "key") == Content(size=4, sha256=hashlib.sha256(b"body").hexdigest())


def test_what_is_too_large_for_one_part_is_refused(s3: Any) -> None:
    with pytest.raises(InputError, match="takes 5368709120 in one part"):
        objects.upload(s3, BUCKET, "key", io.BytesIO(), sha256="0" * 64, size=5 * 1024**3 + 1, content_type="a/b")
