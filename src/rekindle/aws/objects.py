"""S3 objects."""

import base64
import hashlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from heapq import merge
from itertools import chain, groupby, repeat
from operator import itemgetter
from typing import Any, BinaryIO, Literal

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from rekindle.aws.clients import Client
from rekindle.aws.errors import is_code, translated

RetentionMode = Literal["GOVERNANCE", "COMPLIANCE"]

FIRST_PAGE = 25  # most lists are read for their first keys only
PAGE = 1000  # the most that a list gives
ABSENT = ("NoSuchKey", "404", "NotFound")
CONFLICTS = 5  # tries, while S3 answers that another conditional write is under way
PART = 256 * 1024**2
PARTS = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART)
PIECE = 1024**2
ATTEMPT = "rekindle-attempt"  # metadata that tells our own write, repeated by the client, from another's


def list_keys(client: Client, bucket: str, prefix: str, after: str = "") -> Iterator[str]:
    """Keys that begin with `prefix` and sort after `after`, ascending, a page at a time."""
    for size in chain([FIRST_PAGE], repeat(PAGE)):
        with translated(client):
            page = client.list_objects_v2(Bucket=bucket, Prefix=prefix, StartAfter=after, MaxKeys=size)
        keys = [item["Key"] for item in page.get("Contents", ())]
        yield from keys
        if not page["IsTruncated"]:
            return
        after = keys[-1]


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A key that a list of versions shows, with all that ever happened to it."""

    key: str
    versions: int
    delete_markers: int


def list_versions(client: Client, bucket: str, prefix: str, after: str = "") -> Iterator[Listed]:
    """Keys that begin with `prefix` and sort after `after`, ascending, a page at a time; deleted ones too."""
    entries = (entry for entry in _entries(client, bucket, prefix, after) if entry[0] > after)
    for key, group in groupby(entries, key=itemgetter(0)):
        is_marker = [marker for _, marker in group]
        yield Listed(key=key, versions=is_marker.count(False), delete_markers=is_marker.count(True))


def _entries(client: Client, bucket: str, prefix: str, after: str) -> Iterator[tuple[str, bool]]:
    """Key of each version, and whether that is a delete marker, in the order of keys."""
    position = {"KeyMarker": after} if after else {}
    for size in chain([FIRST_PAGE], repeat(PAGE)):
        with translated(client):
            page = client.list_object_versions(Bucket=bucket, Prefix=prefix, MaxKeys=size, **position)
        versions = ((item["Key"], False) for item in page.get("Versions", ()))
        markers = ((item["Key"], True) for item in page.get("DeleteMarkers", ()))
        yield from merge(versions, markers)
        if not page["IsTruncated"]:
            return
        position = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}


def put_once(
    client: Client,
    bucket: str,
    key: str,
    body: bytes,
    *,
    retain_until: datetime | None = None,
    retention_mode: RetentionMode = "GOVERNANCE",
) -> bool:
    """Writes a new object, which S3 checks by its SHA-256; False if the key is taken."""
    attempt = uuid.uuid4().hex
    retention: dict[str, Any] = (
        {"ObjectLockMode": retention_mode, "ObjectLockRetainUntilDate": retain_until} if retain_until else {}
    )
    try:
        for trial in _while_conflicting():
            with trial, translated(client):
                client.put_object(
                    Bucket=bucket,
                    Key=key,
                    Body=body,
                    IfNoneMatch="*",
                    ChecksumAlgorithm="SHA256",
                    ChecksumSHA256=base64.b64encode(hashlib.sha256(body).digest()).decode(),
                    Metadata={ATTEMPT: attempt},
                    **retention,
                )
    except Exception as error:
        if not is_code(error, "PreconditionFailed", "ConditionalRequestConflict"):
            raise
        return _attempt_of(client, bucket, key) == attempt
    return True


def put(client: Client, bucket: str, key: str, body: bytes, content_type: str) -> None:
    """Writes an object, or writes over it: the switch, an index."""
    with translated(client):
        client.put_object(Bucket=bucket, Key=key, Body=body, ContentType=content_type)


def read(client: Client, bucket: str, key: str) -> bytes | None:
    """The object's bytes, None if there is none."""
    with translated(client):
        try:
            body: bytes = client.get_object(Bucket=bucket, Key=key)["Body"].read()
        except ClientError as error:
            if is_code(error, *ABSENT):
                return None
            raise
    return body


def head(client: Client, bucket: str, key: str) -> dict[str, Any] | None:
    """What S3 says of the object (ContentLength, ContentType, Metadata, ETag, …), None if there is none."""
    with translated(client):
        try:
            answer: dict[str, Any] = client.head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if is_code(error, *ABSENT):
                return None
            raise
    return answer


def size(client: Client, bucket: str, key: str) -> int | None:
    """The object's size in bytes, None if there is none."""
    found = head(client, bucket, key)
    return None if found is None else int(found["ContentLength"])


def delete(client: Client, bucket: str, key: str) -> None:
    """Removes an object that may be changed: the switch."""
    with translated(client):
        client.delete_object(Bucket=bucket, Key=key)


def upload(client: Client, bucket: str, key: str, stream: BinaryIO, content_type: str) -> None:
    """Writes an object of any size, in parts if it is large; it appears whole."""
    with translated(client):
        client.upload_fileobj(stream, bucket, key, ExtraArgs={"ContentType": content_type}, Config=PARTS)


def stream(client: Client, bucket: str, key: str) -> Iterator[bytes]:
    """The object's bytes, piece by piece."""
    with translated(client):
        yield from client.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(PIECE)


def copy(source: Client, bucket: str, key: str, target: Client, to_bucket: str, content_type: str) -> None:
    """Copies an object of any size, within S3, to the same key of a bucket in the target client's region."""
    with translated(target):
        target.copy(
            {"Bucket": bucket, "Key": key},
            to_bucket,
            key,
            SourceClient=source,
            ExtraArgs={"ContentType": content_type},  # which a copy in parts would not take along
            Config=PARTS,
        )


def url(unsigned: Client, bucket: str, key: str) -> str:
    """The plain URL of an object, as a client that signs nothing asks for it."""
    return str(unsigned.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key}))


def _while_conflicting() -> Retrying:
    return Retrying(
        retry=retry_if_exception(lambda error: is_code(error, "ConditionalRequestConflict")),
        stop=stop_after_attempt(CONFLICTS),
        wait=wait_random_exponential(multiplier=0.1, max=2),
        reraise=True,
    )


def _attempt_of(client: Client, bucket: str, key: str) -> str | None:
    found = head(client, bucket, key)
    return None if found is None else found["Metadata"].get(ATTEMPT)
