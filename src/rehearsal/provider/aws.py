"""The AWS API as the provider's resources see it: clients of one region, waiting, and what an error means."""

import re
import threading
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

_POLL_SECONDS = 0.2
_CONFIG = Config(
    max_pool_connections=64, connect_timeout=3, read_timeout=60, retries={"mode": "standard", "max_attempts": 4}
)
# NoSuchEntity, InvalidVpcID.NotFound, NatGatewayNotFound, NoSuchHostedZone, 404, ...
_GONE = re.compile(r"NotFound|NoSuch|^404$|Gateway.NotAttached|^InvalidTarget$")


class Refused(Exception):
    """AWS would refuse it."""


class Cancelled(Exception):
    """The engine asked for an end while something was being waited for."""


class TimedOut(Exception):
    """Something did not come true in its time."""


class Aws:
    """Clients of one region; made when first asked for, since a service's model takes a while to load."""

    def __init__(self, region: str, cancelled: threading.Event) -> None:
        self.region = region
        self._cancelled = cancelled
        self._session = boto3.session.Session(region_name=region)
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}

    @property
    def cloudwatch(self) -> Any:
        return self.client("cloudwatch")

    @property
    def ec2(self) -> Any:
        return self.client("ec2")

    @property
    def elb(self) -> Any:
        return self.client("elbv2")

    @property
    def iam(self) -> Any:
        return self.client("iam")

    @property
    def kms(self) -> Any:
        return self.client("kms")

    @property
    def route53(self) -> Any:
        return self.client("route53")

    @property
    def s3(self) -> Any:
        return self.client("s3")

    @cached_property
    def account(self) -> str:
        """The account whose credentials these are."""
        return str(self.client("sts").get_caller_identity()["Account"])

    def client(self, service: str) -> Any:
        """The one client of a service in this region; safe to use from many threads."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._session.client(service, config=_CONFIG)
            return self._clients[service]

    def wait(self, what: str, is_true: Callable[[], bool], *, seconds: float = 300) -> None:
        """Returns once the condition holds; TimedOut or Cancelled otherwise."""
        end = time.monotonic() + seconds
        while not is_true():
            if time.monotonic() > end:
                raise TimedOut(f"{what} did not come true within {seconds:.0f} s")
            if self._cancelled.wait(_POLL_SECONDS):
                raise Cancelled(f"cancelled while waiting for {what}")


class Clients:
    """One `Aws` for each region."""

    def __init__(self, cancelled: threading.Event) -> None:
        self._cancelled = cancelled
        self._lock = threading.Lock()
        self._regions: dict[str, Aws] = {}

    def of(self, region: str) -> Aws:
        """The clients of a region."""
        with self._lock:
            if region not in self._regions:
                self._regions[region] = Aws(region, self._cancelled)
            return self._regions[region]


def code_of(error: ClientError) -> str:
    """AWS's error code, such as `InvalidVpcID.NotFound`."""
    return str(error.response.get("Error", {}).get("Code", ""))


def is_gone(error: ClientError) -> bool:
    """Whether the error says that the thing asked about does not exist."""
    return bool(_GONE.search(code_of(error)))
