"""Whatever AWS answers, or does not, is one of our errors with API, region, code and message."""

import socket
from typing import Any

import boto3
import pytest
from botocore.exceptions import (
    ChecksumError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    FlexibleChecksumError,
    IncompleteReadError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from rekindle.aws import objects
from rekindle.aws.clients import Clients
from rekindle.aws.errors import is_code, translated
from rekindle.errors import CommandFailed, InputError, Refused, RekindleError, Unreachable


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)


@pytest.fixture(scope="module")
def ec2() -> Any:
    return Clients(boto3.Session("testing", "testing")).ec2("us-west-2")


def answer(code: str, status: int = 400) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": "the message"}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        "RunInstances",
    )


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (answer("InvalidParameterValue"), CommandFailed),
        (answer("InsufficientInstanceCapacity", 400), CommandFailed),
        (answer("UnauthorizedOperation", 403), Refused),
        (answer("AccessDenied", 403), Refused),
        (answer("ExpiredToken"), Refused),
        (answer("ExpiredTokenException"), Refused),
        (answer("RequestExpired"), Refused),
        (answer("UnrecognizedClientException"), Refused),
        (answer("SignatureDoesNotMatch", 403), Refused),
        (answer("InvalidSignatureException"), Refused),
        (answer("503", 503), Unreachable),
        (answer("ServiceUnavailable", 503), Unreachable),
        (answer("SlowDown"), Unreachable),
        (answer("RequestLimitExceeded"), Unreachable),
        (EndpointConnectionError(endpoint_url="https://x"), Unreachable),
        (ConnectTimeoutError(endpoint_url="https://x"), Unreachable),
        (IncompleteReadError(actual_bytes=1, expected_bytes=2), Unreachable),
        (ResponseStreamingError(error="cut"), Unreachable),
        (ReadTimeoutError(endpoint_url="https://x"), Unreachable),
        (FlexibleChecksumError(error_msg="another"), Unreachable),
        (ChecksumError(checksum_type="sha", expected_checksum="a", actual_checksum="b"), Unreachable),
        (answer("BadDigest"), Unreachable),
        (answer("RequestTimeout"), Unreachable),
        (answer("InternalError", 500), Unreachable),
        (answer("KMSInternalException", 400), Unreachable),
        (NoCredentialsError(), InputError),
        (ParamValidationError(report="wrong"), CommandFailed),
    ],
)
def test_each_error_becomes_one_of_ours(ec2: Any, error: Exception, ours: type[RekindleError]) -> None:
    with pytest.raises(ours) as caught, translated(ec2):
        raise error
    assert type(caught.value) is ours
    assert caught.value.where == "AWS ec2 in us-west-2"
    assert caught.value.next_step or ours is CommandFailed


def test_an_answer_is_told_with_api_code_and_message(ec2: Any) -> None:
    with pytest.raises(CommandFailed) as caught, translated(ec2):
        raise answer("InvalidSubnet")
    assert str(caught.value) == "AWS ec2 in us-west-2: RunInstances: InvalidSubnet: the message"
    assert is_code(caught.value, "InvalidSubnet", "Other")
    assert not is_code(caught.value, "Other")


@pytest.mark.parametrize(
    ("variables", "region", "said"),
    [
        ({"AWS_PROFILE": "nobody"}, "us-west-2", "AWS: .*nobody"),
        ({"AWS_ACCESS_KEY_ID": "half", "AWS_SECRET_ACCESS_KEY": ""}, "us-west-2", "s3 in us-west-2: Partial"),
        ({}, "", "Invalid endpoint"),
        ({}, "no region", "no region"),
        ({"AWS_ENDPOINT_URL": "nonsense"}, "us-west-2", "Invalid endpoint: nonsense"),
    ],
)
def test_what_is_configured_wrong_is_an_input_error_before_aws_is_asked(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], region: str, said: str
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=said) as caught:
        Clients().s3(region)
    assert caught.value.next_step


def test_errors_that_are_not_of_aws_pass(ec2: Any) -> None:
    with pytest.raises(KeyError), translated(ec2):
        raise KeyError


def test_a_closed_port_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    with pytest.raises(Unreachable, match="AWS s3 in us-east-1: no answer"):
        objects.read(Clients(attempts=1).s3("us-east-1"), "bucket", "key")


def test_clients_are_made_once_for_each_service_and_region() -> None:
    clients = Clients()
    made: list[Any] = [clients.s3("us-east-1"), clients.s3("us-west-2"), clients.kms("us-east-1")]
    made.append(clients.unsigned_s3("us-east-1"))
    assert len(set(map(id, made))) == 4
    assert clients.s3("us-east-1") is made[0]
    assert made[0].meta.config.connect_timeout == 3
    assert clients.of("s3", "us-east-1") is not made[0]
    tries = [c.meta.config.retries["total_max_attempts"] for c in (*made, Clients(attempts=1).s3("us-east-1"))]
    assert tries == [2, 2, 4, 4, 1]
    assert [c.meta.config.read_timeout for c in made] == [15, 15, 30, 30]
