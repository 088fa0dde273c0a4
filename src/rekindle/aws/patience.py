"""How long S3 is asked again: a write of the journal must not end a command because of one bad minute."""

from tenacity import Retrying, retry_if_exception, stop_after_attempt, stop_after_delay, wait_random_exponential

from rekindle.aws.clients import Client
from rekindle.aws.errors import is_code
from rekindle.errors import Unreachable

# A try ends after 36 s at the latest (2 attempts of 3 s to connect and 15 s of silence), and none begins after this:
# so a call is over before a lock that was renewed when it began has lost its lease of 60 s.
PATIENCE_SECONDS = 20.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.25, 5.0  # random up to these, so that many who wait do not come at once
UNSETTLED = ("ConditionalRequestConflict",)  # another conditional write of the same key is under way


def patiently(client: Client) -> Retrying:
    """Tries until S3 answers, with growing pauses; once for a client that was made to ask once.

    The call goes inside `errors.translated`: what is Unreachable is tried again, and so is a conflict.
    """
    asks_once = client.meta.config.retries.get("total_max_attempts") == 1
    return Retrying(
        retry=retry_if_exception(_may_pass),
        stop=stop_after_attempt(1) if asks_once else stop_after_delay(PATIENCE_SECONDS),
        wait=wait_random_exponential(multiplier=FIRST_PAUSE_SECONDS, max=LONGEST_PAUSE_SECONDS),
        reraise=True,
    )


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, Unreachable) or is_code(error, *UNSETTLED)
