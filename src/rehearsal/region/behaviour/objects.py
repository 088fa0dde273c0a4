"""S3: a checksum is what the bytes have, and a bucket's policy is judged by the middleware, conditions and all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.iam.access_control import PermissionResult
from moto.s3.exceptions import S3ClientError
from moto.s3.models import FakeBucket
from moto.s3.responses import S3Response
from moto.s3.utils import compute_checksum

from rehearsal.region.behaviour.replacing import replaces

COMPUTED = frozenset({"SHA256", "SHA1", "CRC32"})  # the others need libraries that may be absent


class BadDigest(S3ClientError):
    """The bytes have another checksum than the request said."""

    code = "BadDigest"
    message = "The {algorithm} you specified did not match the calculated checksum."


def install() -> None:
    """moto keeps the checksum of an upload as the client sent it, and denies without looking at conditions."""

    @replaces(FakeBucket, "get_permission")
    def judged_before(original: Callable[..., Any], self: Any, action: str, resource: str) -> PermissionResult:
        return PermissionResult.PERMITTED

    @replaces(S3Response, "_get_checksum")
    def checked(original: Callable[..., Any], self: Any, headers: dict[str, Any]) -> tuple[str, str | None]:
        algorithm, said = original(self, headers)
        if algorithm not in COMPUTED:
            return algorithm, said
        found = compute_checksum(self.body or b"", algorithm).decode()
        name = f"x-amz-checksum-{algorithm.lower()}"
        if self.headers.get(name) not in (None, found):
            raise BadDigest(algorithm=algorithm)
        headers[name] = found
        return algorithm, found
