"""The artifact store: everything a release fetches, by digest, in buckets near who needs it."""

from collections.abc import Iterable
from pathlib import Path

from rekindle.aws.clients import Clients
from rekindle.journal.release import Artifact


class Mirror:
    """A bucket of artifacts under `sha256/<digest>/<name>`."""

    def __init__(self, clients: Clients, bucket: str, region: str) -> None:
        raise NotImplementedError

    def ensure(self, url: str, sha256: str | None = None) -> Artifact:
        """The artifact of a URL (http, https, s3 or a path), fetched once; InputError if its digest is another."""
        raise NotImplementedError

    def put(self, name: str, body: bytes, content_type: str) -> Artifact:
        """Keeps something generated, such as a Universe repository."""
        raise NotImplementedError

    def replicate(self, artifact: Artifact, to_bucket: str, region: str) -> None:
        """Copies it, within S3, into a bucket of another region, unless it is there."""
        raise NotImplementedError

    def url_for(self, artifact: Artifact, bucket: str | None = None, region: str | None = None) -> str:
        """The plain URL that hosts GET it from; of the mirror itself unless a bucket is named."""
        raise NotImplementedError

    def missing(self, artifacts: Iterable[Artifact]) -> list[Artifact]:
        """Those that are not in the mirror, whole."""
        raise NotImplementedError

    def fetch(self, artifact: Artifact, into: Path) -> Path:
        """Downloads it into a folder and checks its digest."""
        raise NotImplementedError
