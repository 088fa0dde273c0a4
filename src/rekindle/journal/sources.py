"""Where artifacts come from: http, https, s3, or a path."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from mimetypes import guess_type
from pathlib import Path, PurePosixPath
from typing import Protocol
from urllib.parse import SplitResult, unquote, urlsplit

import httpx

from rekindle.aws import objects
from rekindle.aws.clients import Client
from rekindle.errors import CommandFailed, InputError, Unreachable

PIECE = 1024**2
CONNECT_SECONDS, READ_SECONDS = 5.0, 60.0
BINARY = "application/octet-stream"


class Source(Protocol):
    """Something that can be fetched."""

    def tag(self) -> str | None:
        """Another one when the content is; None if only fetching tells."""

    def pieces(self) -> Iterator[bytes]:
        """The content."""


@dataclass(frozen=True)
class Web:
    """A resource by http or https."""

    url: str

    def tag(self) -> str | None:
        with _answering(self.url):
            headers = httpx.head(self.url, follow_redirects=True, timeout=_TIMEOUT).raise_for_status().headers
        named = headers.get("etag") or headers.get("last-modified")
        return f"{named} {headers.get('content-length')}" if named else None

    def pieces(self) -> Iterator[bytes]:
        with (
            _answering(self.url),
            httpx.stream("GET", self.url, follow_redirects=True, timeout=_TIMEOUT) as answer,
        ):
            yield from answer.raise_for_status().iter_bytes(PIECE)


@dataclass(frozen=True)
class Bucket:
    """An object of S3."""

    client: Client
    bucket: str
    key: str

    def tag(self) -> str | None:
        found = objects.head(self.client, self.bucket, self.key)
        if found is None:
            raise InputError(
                "there is no such object",
                where=f"s3://{self.bucket}/{self.key}",
                next_step="Put it there, or give the artifact another URL.",
            )
        return str(found["ETag"])

    def pieces(self) -> Iterator[bytes]:
        yield from objects.stream(self.client, self.bucket, self.key)


@dataclass(frozen=True)
class File:
    """A file of this machine; reading it is all that tells whether it changed."""

    path: Path

    def tag(self) -> str | None:
        return None

    def pieces(self) -> Iterator[bytes]:
        try:
            with self.path.open("rb") as stream:
                while piece := stream.read(PIECE):
                    yield piece
        except (OSError, ValueError) as error:  # a path with a zero byte is a ValueError
            raise InputError(
                f"cannot be read: {getattr(error, 'strerror', error)}",
                where=str(self.path),
                next_step="Correct the path, or make the file readable, and run the same command again.",
            ) from error


def source_of(url: str, s3: Client) -> Source:
    """By the URL's scheme; InputError for another one than http, https, s3, file or a path."""
    parts = _parts(url)
    match parts.scheme:
        case "http" | "https":
            return Web(url)
        case "s3":
            return Bucket(s3, parts.netloc, parts.path.lstrip("/"))
        case "file" | "":
            return File(Path(unquote(parts.path)))
    raise InputError(
        f"{parts.scheme} is not among http, https, s3 and file", where=url, next_step="Give the artifact another URL."
    )


def name_of(url: str) -> str:
    """The file name that a URL ends with; InputError if it cannot be one."""
    name = PurePosixPath(unquote(_parts(url).path)).name or "artifact"
    if name == ".." or not name.isprintable():
        raise InputError(f"ends with no file name: {name!r}", where=url, next_step="Give the artifact another URL.")
    return name


def _parts(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError as error:
        raise InputError(f"is no URL: {error}", where=url, next_step="Give the artifact another URL.") from error


def content_type_of(name: str) -> str:
    """By the name's ending; what is compressed is only bytes."""
    kind, encoding = guess_type(name)
    return kind if kind and not encoding else BINARY


_TIMEOUT = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)


@contextmanager
def _answering(url: str) -> Iterator[None]:
    """Inside it an error of httpx becomes one of ours."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        raise CommandFailed(f"answered {error.response.status_code}", where=url) from error
    except (ImportError, ValueError) as error:  # httpx makes a proxy's transport before it asks anything
        raise InputError(
            f"cannot be fetched: {error}",
            where=url,
            next_step="Unset ALL_PROXY, or name a proxy of http:// in HTTPS_PROXY and HTTP_PROXY: a SOCKS proxy is not "
            "spoken to. Then run the same command again.",
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unreachable(
            f"cannot be fetched: {str(error) or type(error).__name__}",
            where=url,
            next_step="Check the URL and the network; what was mirrored before needs neither.",
        ) from error
