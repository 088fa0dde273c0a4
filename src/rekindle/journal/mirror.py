"""The artifact store: everything a release fetches, by digest, in buckets near who needs it.

No name is believed: what is kept, copied or called present has the digest that names it, by S3's own checksum.
"""

import hashlib
import io
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from pydantic import Field, ValidationError

from rekindle.aws import objects
from rekindle.aws.clients import Clients
from rekindle.aws.objects import Content
from rekindle.errors import InputError, JournalDamaged
from rekindle.journal.entries import Frozen
from rekindle.journal.release import Artifact
from rekindle.journal.seal import damaged, seal, unseal
from rekindle.journal.sources import Source, content_type_of, name_of, source_of
from rekindle.secrets import Keyring

PARALLEL = 16


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What an environment remembers of URLs that it does not pin: what they gave, sealed by its key."""

    environment: str
    keyring: Keyring
    may_add: bool  # False: what only looks has perhaps no key that is kept

    def key(self, url: str, tag: str) -> str:
        """Of what this URL gave when it had this tag, in the words of the key in force: never written over."""
        return f"urls/{self.environment}/{self.keyring.version}/{_hashed(url)}/{_hashed(tag)}.json"


class Given(Frozen):
    """What a URL gave once."""

    url: str
    tag: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Mirror:
    """A bucket of artifacts under `sha256/<digest>`, from which others get them as `sha256/<digest>/<name>`."""

    def __init__(self, clients: Clients, bucket: str, region: str, memory: Memory | None = None) -> None:
        self._clients = clients
        self._bucket = bucket
        self._s3 = clients.s3(region)
        self._memory = memory

    def ensure(self, url: str, sha256: str | None = None) -> Artifact:
        """The artifact of a URL (http, https, s3 or a path), fetched once; InputError if its digest is another."""
        if sha256 and (kept := self._kept(sha256, url)):
            return kept
        source = source_of(url, self._s3)
        tag = None if sha256 else source.tag()
        if tag and (kept := self._kept_as(url, tag)):
            return kept
        artifact = self._fetched(url, source, sha256)
        if tag:
            self._remember(url, tag, artifact.sha256)
        return artifact

    def put(self, name: str, body: bytes, content_type: str) -> Artifact:
        """Keeps something generated, such as a Universe repository."""
        digest = hashlib.sha256(body).hexdigest()
        artifact = Artifact(name=name, url="", sha256=digest, size=len(body), content_type=content_type)
        return self._keep(io.BytesIO(body), artifact)

    def replicate(self, artifact: Artifact, to_bucket: str, region: str) -> None:
        """It is in a bucket of another region, whole: what hosts fetch there nobody checks after this."""
        target, key = self._clients.s3(region), _near_key(artifact)
        if objects.content(target, to_bucket, key) == _content(artifact):
            return
        if not self._holds(artifact.sha256):
            raise InputError(
                "is not in the mirror", where=artifact.name, next_step="Run `rekindle apply`, which mirrors it."
            )
        objects.copy(self._bucket, _key(artifact.sha256), target, to_bucket, key, content_type=artifact.content_type)
        if objects.content(target, to_bucket, key) != _content(artifact):
            raise _planted(f"s3://{to_bucket}/{key}", artifact.sha256)

    def url_for(self, artifact: Artifact, bucket: str, region: str) -> str:
        """The plain URL that hosts GET it from, in the bucket it was replicated to."""
        return objects.url(self._clients.unsigned_s3(region), bucket, _near_key(artifact))

    def missing(self, artifacts: Iterable[Artifact]) -> list[Artifact]:
        """Those that are not in the mirror, byte by byte."""
        wanted = list(artifacts)
        with ThreadPoolExecutor(max_workers=PARALLEL) as pool:
            found = pool.map(lambda artifact: objects.content(self._s3, self._bucket, _key(artifact.sha256)), wanted)
            return [artifact for artifact, content in zip(wanted, found, strict=True) if content != _content(artifact)]

    def _fetched(self, url: str, source: Source, wanted: str | None) -> Artifact:
        name = name_of(url)
        with _spool() as spooled:
            found, size = _into(spooled, source)
            if wanted and found != wanted:
                raise InputError(
                    f"has SHA-256 {found}, not {wanted}",
                    where=url,
                    next_step="Find out which is right before going on.",
                )
            artifact = Artifact(name=name, url=url, sha256=found, size=size, content_type=content_type_of(name))
            return self._keep(spooled, artifact)

    def _keep(self, stream: BinaryIO, artifact: Artifact) -> Artifact:
        if not self._holds(artifact.sha256):
            key = _key(artifact.sha256)
            objects.upload(
                self._s3,
                self._bucket,
                key,
                stream,
                sha256=artifact.sha256,
                size=artifact.size,
                content_type=artifact.content_type,
            )
            self._holds(artifact.sha256)  # perhaps another's, who was first
        return artifact

    def _holds(self, digest: str) -> Content | None:
        """What the mirror holds by this digest; JournalDamaged if it is anything else."""
        content = objects.content(self._s3, self._bucket, _key(digest))
        if content is not None and content.sha256 != digest:
            raise _planted(f"s3://{self._bucket}/{_key(digest)}", digest)
        return content

    def _kept(self, digest: str, url: str) -> Artifact | None:
        """What the mirror holds by this digest, under the URL's own name."""
        name, content = name_of(url), self._holds(digest)
        if content is None:
            return None
        return Artifact(name=name, url=url, sha256=digest, size=content.size, content_type=content_type_of(name))

    def _kept_as(self, url: str, tag: str) -> Artifact | None:
        """What this URL gave when it last had this tag."""
        if self._memory is None:
            return None
        key = self._memory.key(url, tag)
        body = objects.read(self._s3, self._bucket, key)
        if body is None:
            return None
        try:
            given = Given.model_validate(unseal(self._memory.keyring, key, body))
        except ValidationError as error:
            raise damaged(key, "says of a URL what this version of Rekindle cannot read") from error
        return self._kept(given.sha256, url)

    def _remember(self, url: str, tag: str, digest: str) -> None:
        if self._memory and self._memory.may_add:
            key, given = self._memory.key(url, tag), Given(url=url, tag=tag, sha256=digest)
            body = seal(self._memory.keyring, key, given.model_dump(mode="json"))
            objects.put_once(self._s3, self._bucket, key, body)


def _content(artifact: Artifact) -> Content:
    return Content(size=artifact.size, sha256=artifact.sha256)


def _key(digest: str) -> str:
    return f"sha256/{digest}"


def _near_key(artifact: Artifact) -> str:
    """With the name that the Mesos fetcher gives the file."""
    return f"sha256/{artifact.sha256}/{artifact.name}"


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


@contextmanager
def _spool() -> Iterator[BinaryIO]:
    """A file of this machine for what is on its way; InputError says where there is no room for it."""
    try:
        with tempfile.TemporaryFile() as spooled:
            yield spooled
    except OSError as error:
        raise InputError(
            f"what is fetched cannot be kept for the moment: {error.strerror}",
            where=tempfile.gettempdir(),
            next_step="Make room there, or set TMPDIR to a folder with room for the largest artifact (an installer has "
            "2 GB), and run the same command again.",
        ) from error


def _into(target: BinaryIO, source: Source) -> tuple[str, int]:
    """Digest and size of what went into `target`."""
    digest, size = hashlib.sha256(), 0
    for piece in source.pieces():
        digest.update(piece)
        size += len(piece)
        target.write(piece)
    return digest.hexdigest(), size


def _planted(where: str, digest: str) -> JournalDamaged:
    return JournalDamaged(
        f"does not hold what its name says: its SHA-256 is not {digest}",
        where=where,
        next_step="Somebody else wrote it. Keep it as evidence, delete it, and run the same command again.",
    )
