"""AWS clients by service and region; one module alone makes them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from rekindle.errors import InputError

Client: TypeAlias = Any
"""A boto3 client; its calls go inside `errors.translated`."""

CONNECT_SECONDS = 3
READ_SECONDS = 30
ATTEMPTS = 4
S3_ATTEMPTS, S3_READ_SECONDS = 2, 15  # of one try of `patience`, which goes on trying
CONNECTIONS = 64  # more than the workers of an apply


class Clients:
    """boto3 clients by service and region, made once each and shared by threads."""

    def __init__(
        self,
        session: boto3.Session | None = None,
        *,
        attempts: int = ATTEMPTS,
        connect_seconds: float = CONNECT_SECONDS,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        with _configured():
            self._session: Any = session or boto3.Session()
        self._config = Config(
            connect_timeout=connect_seconds,
            read_timeout=read_seconds,
            retries={"mode": "standard", "total_max_attempts": attempts},
            max_pool_connections=CONNECTIONS,
        )
        self._s3_config = self._config.merge(
            Config(
                read_timeout=min(read_seconds, S3_READ_SECONDS),
                retries={"mode": "standard", "total_max_attempts": min(attempts, S3_ATTEMPTS)},
            )
        )
        self._made: dict[tuple[str, str], Client] = {}
        self._making = threading.Lock()  # sessions are not safe to make clients in threads

    def of(self, service: str, region: str) -> Client:
        """The client of a service ("ec2", "s3", "kms", …) in a region."""
        return self._client(service, service, region, self._config)

    def s3(self, region: str) -> Client:
        """The client for what `objects` does, which is patient itself."""
        return self._client("s3 objects", "s3", region, self._s3_config)

    def ec2(self, region: str) -> Client:
        return self.of("ec2", region)

    def ec2_once(self, region: str) -> Client:
        """An EC2 client that sends each request once: for what would be made twice when an answer is lost."""
        once = Config(retries={"mode": "standard", "total_max_attempts": 1})
        return self._client("ec2 once", "ec2", region, self._config.merge(once))

    def kms(self, region: str) -> Client:
        return self.of("kms", region)

    def cloudwatch(self, region: str) -> Client:
        return self.of("cloudwatch", region)

    def unsigned_s3(self, region: str) -> Client:
        """An S3 client that signs nothing: its URLs are plain ones, and name the region's own endpoint.

        By path: for a bucket's host name botocore would put the global endpoint, which needs us-east-1.
        """
        plain = Config(signature_version=UNSIGNED, s3={"addressing_style": "path"})
        return self._client("s3 unsigned", "s3", region, self._config.merge(plain))

    def _client(self, name: str, service: str, region: str, config: Config) -> Client:
        with self._making:
            if (name, region) not in self._made:
                with _configured(f"AWS {service} in {region}"):
                    self._made[name, region] = self._session.client(service, region_name=region, config=config)
            return self._made[name, region]


@contextmanager
def _configured(where: str = "AWS") -> Iterator[None]:
    """Inside it nothing is asked of AWS: what fails is a profile, a region, an endpoint or a half of credentials."""
    try:
        yield
    except (BotoCoreError, ValueError) as error:
        raise InputError(
            str(error),
            where=where,
            next_step="Correct the region, the AWS_… variables or the files in ~/.aws, and run the command again.",
        ) from error
