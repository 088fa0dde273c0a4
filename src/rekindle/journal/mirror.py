"""The artifact store: everything a release fetches, by digest, in buckets near who needs it."""

import hashlib
import io
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

from rekindle.aws import objects
from rekindle.aws.clients import Clients
from rekindle.aws.errors import translated
from rekindle.errors import InputError
from rekindle.journal.release import Artifact
from rekindle.journal.sources import Source, content_type_of, name_of, source_of
from rekindle.plan import canonical

PARALLEL = 16


class Mirror:
    """A bucket of artifacts under `sha256/<digest>/<name>`."""

    def __init__(self, clients: Clients, bucket: str, region: str) -> None:
        self._clients = clients
        self._bucket = bucket
        self._region = region
        self._s3 = clients.s3(region)

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
        return self._keep(io.BytesIO(body), name, "", hashlib.sha256(body).hexdigest(), len(body), content_type)

    def replicate(self, artifact: Artifact, to_bucket: str, region: str) -> None:
        """Copies it, within S3, into a bucket of another region, unless it is there."""
        target, key = self._clients.s3(region), _key(artifact)
        if objects.size(target, to_bucket, key) != artifact.size:
            objects.copy(self._s3, self._bucket, key, target, to_bucket, artifact.content_type)

    def url_for(self, artifact: Artifact, bucket: str | None = None, region: str | None = None) -> str:
        """The plain URL that hosts GET it from; of the mirror itself unless a bucket is named."""
        return objects.url(self._clients.unsigned_s3(region or self._region), bucket or self._bucket, _key(artifact))

    def missing(self, artifacts: Iterable[Artifact]) -> list[Artifact]:
        """Those that are not in the mirror, whole."""
        wanted = list(artifacts)
        with ThreadPoolExecutor(max_workers=PARALLEL) as pool:
            sizes = pool.map(lambda artifact: objects.size(self._s3, self._bucket, _key(artifact)), wanted)
            return [artifact for artifact, size in zip(wanted, sizes, strict=True) if size != artifact.size]

    def fetch(self, artifact: Artifact, into: Path) -> Path:
        """Downloads it into a folder and checks its digest."""
        file = into / artifact.name
        with file.open("wb") as target:
            found, _ = _spool(source_of(f"s3://{self._bucket}/{_key(artifact)}", self._s3), target)
        if found != artifact.sha256:
            file.unlink()
            raise _other(f"s3://{self._bucket}/{_key(artifact)}", artifact.sha256, found)
        return file

    def _fetched(self, url: str, source: Source, wanted: str | None) -> Artifact:
        with TemporaryFile() as spooled:
            found, size = _spool(source, spooled)
            if wanted and found != wanted:
                raise _other(url, wanted, found)
            if kept := self._kept(found, url):
                return kept
            spooled.seek(0)
            name = name_of(url)
            return self._keep(spooled, name, url, found, size, content_type_of(name))

    def _keep(self, stream: BinaryIO, name: str, url: str, digest: str, size: int, content_type: str) -> Artifact:
        artifact = Artifact(name=name, url=url, sha256=digest, size=size, content_type=content_type)
        if objects.size(self._s3, self._bucket, _key(artifact)) != size:
            objects.upload(self._s3, self._bucket, _key(artifact), stream, content_type)
        return artifact

    def _kept(self, digest: str, url: str) -> Artifact | None:
        """What the mirror holds by this digest, under the URL's own name: declared by it, it is looked for by it."""
        name = name_of(url)
        for key in self._held(digest, name):
            found = objects.head(self._s3, self._bucket, key)
            if found:
                size, content_type = int(found["ContentLength"]), str(found["ContentType"])
                artifact = Artifact(name=name, url=url, sha256=digest, size=size, content_type=content_type)
                self._copy(key, artifact)
                return artifact
        return None

    def _held(self, digest: str, name: str) -> list[str]:
        """Keys with this digest, the one of this name first."""
        keys = objects.list_keys(self._s3, self._bucket, f"sha256/{digest}/")
        return sorted(keys, key=lambda key: key != f"sha256/{digest}/{name}")

    def _copy(self, held: str, artifact: Artifact) -> None:
        """The artifact is there under its own key too, copied within the bucket."""
        if held == _key(artifact):
            return
        with translated(self._s3):
            self._s3.copy(
                {"Bucket": self._bucket, "Key": held},
                self._bucket,
                _key(artifact),
                ExtraArgs={"ContentType": artifact.content_type},  # which a copy in parts would not take along
                Config=objects.PARTS,
            )

    def _kept_as(self, url: str, tag: str) -> Artifact | None:
        """What this URL gave when it last had this tag."""
        body = objects.read(self._s3, self._bucket, _index_key(url))
        seen: dict[str, Any] = json.loads(body) if body else {}
        return self._kept(seen["sha256"], url) if seen.get("tag") == tag else None

    def _remember(self, url: str, tag: str, digest: str) -> None:
        body = canonical({"url": url, "tag": tag, "sha256": digest})
        objects.put(self._s3, self._bucket, _index_key(url), body, "application/json")


def _key(artifact: Artifact) -> str:
    return f"sha256/{artifact.sha256}/{artifact.name}"


def _index_key(url: str) -> str:
    return f"urls/{hashlib.sha256(url.encode()).hexdigest()}.json"


def _spool(source: Source, target: BinaryIO) -> tuple[str, int]:
    """Digest and size of what went into `target`."""
    digest, size = hashlib.sha256(), 0
    for piece in source.pieces():
        digest.update(piece)
        size += len(piece)
        target.write(piece)
    target.flush()
    return digest.hexdigest(), size


def _other(where: str, wanted: str, found: str) -> InputError:
    return InputError(
        f"has SHA-256 {found}, not {wanted}", where=where, next_step="Find out which is right before going on."
    )
