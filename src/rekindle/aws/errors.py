"""What AWS answers, as errors that say what, where and what to do next."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ChecksumError,
    ClientError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
)
from botocore.exceptions import (
    ConnectionError as NoConnection,
)

from rekindle.aws.clients import Client
from rekindle.errors import CommandFailed, InputError, Refused, RekindleError, Unreachable

BUSY = frozenset(
    {
        "BadDigest",  # what arrived is not what was sent
        "DependencyTimeoutException",
        "InternalError",
        "KMSInternalException",
        "RequestLimitExceeded",
        "RequestTimeout",  # the request did not arrive whole
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
FORBIDDEN = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnauthorizedOperation",
        "UnrecognizedClientException",
    }
)
FIRST_SERVER_ERROR = 500


@contextmanager
def translated(client: Client) -> Iterator[None]:
    """Inside it an error of botocore becomes one of ours, with API, region, code and message."""
    try:
        yield
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise InputError(str(error), where=_where(client), next_step=_CREDENTIALS) from error
    except (NoConnection, HTTPClientError, IncompleteReadError, ChecksumError, FlexibleChecksumError) as error:
        raise Unreachable(f"no answer: {error}", where=_where(client), next_step=_NO_ANSWER) from error
    except ClientError as error:
        raise _answered(client, error) from error
    except BotoCoreError as error:
        raise CommandFailed(str(error), where=_where(client)) from error


def is_code(error: BaseException | None, *codes: str) -> bool:
    """Whether this, or what it came from, is an answer of AWS with one of these codes."""
    cause = error if isinstance(error, ClientError) else getattr(error, "__cause__", None)
    return isinstance(cause, ClientError) and str(cause.response["Error"].get("Code")) in codes


def is_answer(error: BaseException) -> bool:
    """Whether AWS said it, were it a refusal or an error of its own: silence and what went wrong here are none."""
    return isinstance(error.__cause__, ClientError)


_CREDENTIALS = "Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and run the command again."
_NO_ANSWER = "If the region is impaired see docs/runbook-recovery.md; else check the network and AWS_ENDPOINT_URL."


def _answered(client: Client, error: ClientError) -> RekindleError:
    """The error for an answer that says no."""
    code = str(error.response["Error"].get("Code", "unknown"))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    what = f"{error.operation_name}: {code}: {error.response['Error'].get('Message', '')}".rstrip(": ")
    if code in BUSY or status >= FIRST_SERVER_ERROR:
        return Unreachable(what, where=_where(client), next_step=_NO_ANSWER)
    if code in FORBIDDEN:
        return Refused(what, where=_where(client), next_step="Check the credentials and their IAM policies.")
    return CommandFailed(what, where=_where(client))


def _where(client: Client) -> str:
    meta = client.meta
    return f"AWS {meta.service_model.service_name} in {meta.region_name}"
