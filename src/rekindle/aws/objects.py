"""S3 objects."""

import base64
import hashlib
import io
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from heapq import merge
from itertools import chain, groupby, repeat
from operator import itemgetter
from typing import Any, BinaryIO, Literal

from botocore.exceptions import ClientError

from rekindle.aws.clients import Client
from rekindle.aws.errors import is_code, translated
from rekindle.aws.patience import UNSETTLED, patiently
from rekindle.errors import InputError, JournalDamaged, RekindleError, Unreachable

RetentionMode = Literal["GOVERNANCE", "COMPLIANCE"]

FIRST_PAGE = 25  # most lists are read for their first keys only
PAGE = 1000  # the most that a list gives
ABSENT = ("NoSuchKey", "404", "NotFound")
LARGEST_READ = 64 * 1024**2  # bytes of an object that is read into memory; none of ours has half of it
LARGEST_PUT = 5 * 1024**3  # of one that is put or copied in one part (S3 user guide, quotas)
PIECE = 1024**2
ATTEMPT = "rekindle-attempt"  # metadata that tells our own write, repeated by the client, from another's


@dataclass(frozen=True, kw_only=True)
class Content:
    """What an object holds, by S3's own checksum of it or by its bytes, never by its name."""

    size: int
    sha256: str


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
        for trial in patiently(client):
            with trial, translated(client):
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
    """Writes a new object, which S3 checks by its SHA-256; False if the key is another writer's.

    Unreachable if S3 does not say in time whether it was written, nor holds it since.
    """
    retention: dict[str, Any] = (
        {"ObjectLockMode": retention_mode, "ObjectLockRetainUntilDate": retain_until} if retain_until else {}
    )
    return _put_new(client, bucket, key, io.BytesIO(body), hashlib.sha256(body).hexdigest(), retention)


def upload(
    client: Client, bucket: str, key: str, stream: BinaryIO, *, sha256: str, size: int, content_type: str
) -> bool:
    """Writes a new object of any size up to 5 GiB, in one part, so that S3 keeps the SHA-256 of all of it."""
    if size > LARGEST_PUT:
        raise InputError(
            f"has {size} bytes, and S3 takes {LARGEST_PUT} in one part",
            where=f"s3://{bucket}/{key}",
            next_step="Make it smaller: in parts S3 would keep no digest of the whole, and it could not be verified.",
        )
    return _put_new(client, bucket, key, stream, sha256, {"ContentType": content_type})


def require_small(size: int, where: str) -> None:
    """JournalDamaged for what is larger than anything that is read whole."""
    if size > LARGEST_READ:
        raise JournalDamaged(
            f"has {size} bytes, and nothing that Rekindle keeps there has more than {LARGEST_READ}",
            where=where,
            next_step="Find out who put it there, and bring the object's earlier version back.",
        )


def put(client: Client, bucket: str, key: str, body: bytes, content_type: str) -> None:
    """Writes an object, or writes over it: the switch."""
    for trial in patiently(client):
        with trial, translated(client):
            client.put_object(Bucket=bucket, Key=key, Body=body, ContentType=content_type)


def read(client: Client, bucket: str, key: str) -> bytes | None:
    """The object's bytes, whole, None if there is none; JournalDamaged if it is larger than any of ours."""
    for trial in patiently(client):
        with trial, translated(client):
            answer = _got(client, bucket, key)
            if answer is None:
                return None
            require_small(int(answer["ContentLength"]), f"s3://{bucket}/{key}")
            body: bytes = answer["Body"].read()
    return body


def head(client: Client, bucket: str, key: str) -> dict[str, Any] | None:
    """What S3 says of the object (ContentLength, Metadata, ETag, ChecksumSHA256, …), None if there is none."""
    for trial in patiently(client):
        with trial, translated(client):
            try:
                answer: dict[str, Any] = client.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
            except ClientError as error:
                if is_code(error, *ABSENT):
                    return None
                raise
    return answer


def size(client: Client, bucket: str, key: str) -> int | None:
    """The object's size in bytes, None if there is none."""
    found = head(client, bucket, key)
    return None if found is None else int(found["ContentLength"])


def content(client: Client, bucket: str, key: str) -> Content | None:
    """Size and SHA-256 of what the object holds, None if there is none.

    S3 keeps a checksum of the whole for what was put or copied in one part; what has none, or one of its parts
    (which ends with their number), is read and digested.
    """
    found = head(client, bucket, key)
    if found is None:
        return None
    kept = str(found.get("ChecksumSHA256", ""))
    if kept and "-" not in kept:
        return Content(size=int(found["ContentLength"]), sha256=base64.b64decode(kept).hex())
    digest = hashlib.sha256()
    for piece in stream(client, bucket, key):
        digest.update(piece)
    return Content(size=int(found["ContentLength"]), sha256=digest.hexdigest())


def delete(client: Client, bucket: str, key: str) -> None:
    """Removes an object that may be changed: the switch."""
    for trial in patiently(client):
        with trial, translated(client):
            client.delete_object(Bucket=bucket, Key=key)


def stream(client: Client, bucket: str, key: str) -> Iterator[bytes]:
    """The object's bytes, piece by piece; a connection that breaks is taken up where it broke."""
    download = _Download(client, bucket, key)
    while piece := download.read():
        yield piece


def copy(source: str, key: str, target: Client, bucket: str, to_key: str, *, content_type: str) -> None:
    """Copies an object of a bucket, within S3, into one of the target client's region, which digests it anew."""
    for trial in patiently(target):
        with trial, translated(target):
            target.copy_object(
                Bucket=bucket,
                Key=to_key,
                CopySource={"Bucket": source, "Key": key},
                ContentType=content_type,
                MetadataDirective="REPLACE",
                ChecksumAlgorithm="SHA256",
            )


def url(unsigned: Client, bucket: str, key: str) -> str:
    """The plain URL of an object, as a client that signs nothing asks for it."""
    return str(unsigned.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key}))


class _Download:
    """An object that is read from where the last piece ended, over as many connections as that takes."""

    def __init__(self, client: Client, bucket: str, key: str) -> None:
        self._client = client
        self._place = {"Bucket": bucket, "Key": key}
        self._body: Any = None
        self._version: Mapping[str, str] = {}
        self._at = 0

    def read(self) -> bytes:
        """The next piece; nothing at the end."""
        for trial in patiently(self._client):
            with trial, translated(self._client):
                piece = self._piece()
        self._at += len(piece)
        return piece

    def _piece(self) -> bytes:
        body, self._body = self._body or self._opened(), None  # one that breaks is not read from again
        piece: bytes = body.read(PIECE)
        self._body = body
        return piece

    def _opened(self) -> Any:
        rest = {"Range": f"bytes={self._at}-"} if self._at else {}
        answer = self._client.get_object(**self._place, **self._version, **rest)
        self._version = {"IfMatch": answer["ETag"]}  # the same bytes, or an error
        return answer["Body"]


def _put_new(client: Client, bucket: str, key: str, body: BinaryIO, sha256: str, more: Mapping[str, Any]) -> bool:
    """Whether the new object is ours; another's is left as it is."""
    attempt = uuid.uuid4().hex
    try:
        for trial in patiently(client):
            with trial, translated(client):
                body.seek(0)
                client.put_object(
                    Bucket=bucket,
                    Key=key,
                    Body=body,
                    IfNoneMatch="*",
                    ChecksumAlgorithm="SHA256",
                    ChecksumSHA256=base64.b64encode(bytes.fromhex(sha256)).decode(),
                    Metadata={ATTEMPT: attempt},
                    **more,
                )
    except RekindleError as error:
        return _is_ours(client, bucket, key, attempt, error)
    return True


def _is_ours(client: Client, bucket: str, key: str, attempt: str, error: RekindleError) -> bool:
    """Whose write stands after an answer that does not say so; the error itself if none does."""
    is_conflict = is_code(error, *UNSETTLED)
    if not (is_conflict or isinstance(error, Unreachable) or is_code(error, "PreconditionFailed")):
        raise error
    found = head(client, bucket, key)
    if found is not None:
        return bool(found["Metadata"].get(ATTEMPT) == attempt)
    if is_conflict:
        raise Unreachable(
            "another conditional write of this key is under way, and does not end",
            where=f"s3://{bucket}/{key}",
            next_step="Run the same command again: it goes on from here.",
        ) from error
    raise error


def _got(client: Client, bucket: str, key: str) -> dict[str, Any] | None:
    try:
        answer: dict[str, Any] = client.get_object(Bucket=bucket, Key=key)
        return answer
    except ClientError as error:
        if is_code(error, *ABSENT):
            return None
        raise
