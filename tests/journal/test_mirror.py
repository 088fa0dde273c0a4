"""An artifact is fetched once, kept by its digest, copied near its readers, and missed when it is gone."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from rekindle.aws import objects
from rekindle.aws.clients import Clients
from rekindle.errors import CommandFailed, InputError, Unreachable
from rekindle.journal.mirror import Mirror
from rekindle.journal.release import Artifact

UNIVERSE = "application/vnd.dcos.universe.repo+json;charset=utf-8;version=v4"


@pytest.fixture
def mirror(aws: Clients) -> Mirror:
    for region in ("us-west-2", "eu-west-1"):
        aws.s3(region).create_bucket(
            Bucket=f"artifacts-{region}", CreateBucketConfiguration={"LocationConstraint": region}
        )
    return Mirror(aws, "artifacts-us-west-2", "us-west-2")


class Site:
    """A web site of one page."""

    def __init__(self) -> None:
        self.content, self.etag = b"first", '"1"'
        self.asked: list[str] = []

    @contextmanager
    def serving(self) -> Iterator[str]:
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                site.asked.append(self.command)
                self.send_response(200 if "installer" in self.path else 404)
                self.send_header("Content-Length", str(len(site.content)))
                self.send_header("ETag", site.etag)
                self.end_headers()

            def do_GET(self) -> None:
                self.do_HEAD()
                self.wfile.write(site.content)

            def log_message(self, format: str, *arguments: object) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            server.server_close()


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def root(site: Site, aws: Clients) -> Iterator[str]:
    with site.serving() as url:
        yield url


def test_a_url_is_fetched_once_while_its_etag_is_the_same(mirror: Mirror, site: Site, root: str) -> None:
    first = mirror.ensure(f"{root}/installer.sh")
    assert mirror.ensure(f"{root}/installer.sh") == first
    assert site.asked == ["HEAD", "GET", "HEAD"]
    site.content, site.etag = b"second", '"2"'
    second = mirror.ensure(f"{root}/installer.sh")
    assert second.sha256 == hashlib.sha256(b"second").hexdigest() != first.sha256
    assert mirror.missing([first, second]) == []


def test_what_is_known_by_digest_is_not_asked_for_again(mirror: Mirror, site: Site, root: str) -> None:
    url, digest = f"{root}/installer.sh", hashlib.sha256(b"first").hexdigest()
    first = mirror.ensure(url, digest)
    assert site.asked == ["GET"]
    assert mirror.ensure(url, digest) == first
    assert site.asked == ["GET"]


@pytest.mark.parametrize("is_pinned", [True, False])
def test_one_that_was_renamed_is_there_by_its_new_name(
    mirror: Mirror, site: Site, root: str, tmp_path: Path, is_pinned: bool
) -> None:
    digest = hashlib.sha256(b"first").hexdigest() if is_pinned else None
    old, new = (mirror.ensure(f"{root}/{name}", digest) for name in ("installer.sh", "installer-2.sh"))
    assert [(a.name, a.sha256 == old.sha256) for a in (old, new)] == [("installer.sh", True), ("installer-2.sh", True)]
    assert new.content_type == old.content_type
    assert site.asked.count("GET") == (1 if is_pinned else 2)
    assert mirror.missing([old, new]) == []
    assert mirror.fetch(new, tmp_path).read_bytes() == b"first"
    assert mirror.ensure(f"{root}/installer.sh", digest) == old


def test_another_content_than_declared_is_refused(mirror: Mirror, root: str) -> None:
    with pytest.raises(InputError, match=f"has SHA-256 .*, not {'0' * 64}"):
        mirror.ensure(f"{root}/installer.sh", "0" * 64)


def test_what_cannot_be_fetched_is_named(mirror: Mirror, root: str) -> None:
    with pytest.raises(CommandFailed, match="answered 404"):
        mirror.ensure(f"{root}/nothing")
    with pytest.raises(Unreachable, match="cannot be fetched"):
        mirror.ensure("http://127.0.0.1:9/installer.sh")
    with pytest.raises(InputError, match="/nowhere/x: cannot be read"):
        mirror.ensure("/nowhere/x")
    with pytest.raises(InputError, match="no such object"):
        mirror.ensure("s3://artifacts-us-west-2/nothing")
    with pytest.raises(InputError, match="gopher is not among"):
        mirror.ensure("gopher://x/y")


def test_files_and_objects_are_sources_too(mirror: Mirror, aws: Clients, tmp_path: Path) -> None:
    (tmp_path / "a b.tgz").write_bytes(b"file")
    aws.s3("us-west-2").put_object(Bucket="artifacts-us-west-2", Key="else/c.tgz", Body=b"object")
    found = [
        mirror.ensure(url)
        for url in (str(tmp_path / "a b.tgz"), f"file://{tmp_path}/a%20b.tgz", "s3://artifacts-us-west-2/else/c.tgz")
    ]
    assert [(a.name, a.size) for a in found] == [("a b.tgz", 4), ("a b.tgz", 4), ("c.tgz", 6)]
    assert mirror.fetch(found[2], tmp_path).read_bytes() == b"object"


def test_a_generated_one_keeps_its_content_type_wherever_it_is_copied(mirror: Mirror, aws: Clients) -> None:
    universe = mirror.put("repo.json", b"{}", UNIVERSE)
    mirror.replicate(universe, "artifacts-eu-west-1", "eu-west-1")
    mirror.replicate(universe, "artifacts-eu-west-1", "eu-west-1")
    key = f"sha256/{universe.sha256}/repo.json"
    found = objects.head(aws.s3("eu-west-1"), "artifacts-eu-west-1", key)
    assert found is not None
    assert (found["ContentType"], found["ContentLength"]) == (UNIVERSE, 2)


@pytest.mark.parametrize(
    ("endpoint", "prefix"),
    [
        (None, "https://s3.eu-west-1.amazonaws.com/artifacts-eu-west-1/"),
        ("http://192.0.2.7:81", "http://192.0.2.7:81/artifacts-eu-west-1/"),
    ],
)
def test_hosts_get_it_by_a_plain_url_of_their_region(
    aws: Clients, monkeypatch: pytest.MonkeyPatch, endpoint: str | None, prefix: str
) -> None:
    if endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    artifact = Artifact(name="a b.tgz", url="", sha256="a" * 64, size=1)
    url = Mirror(Clients(), "m", "us-west-2").url_for(artifact, "artifacts-eu-west-1", "eu-west-1")
    assert url == f"{prefix}sha256/{'a' * 64}/a%20b.tgz"


def test_what_is_gone_or_cut_short_is_missing(mirror: Mirror, aws: Clients) -> None:
    whole, gone, short = (mirror.put(name, name.encode() * 9, "text/plain") for name in ("whole", "gone", "short"))
    client = aws.s3("us-west-2")
    client.delete_object(Bucket="artifacts-us-west-2", Key=f"sha256/{gone.sha256}/gone")
    client.put_object(Bucket="artifacts-us-west-2", Key=f"sha256/{short.sha256}/short", Body=b"s")
    assert mirror.missing([whole, gone, short]) == [gone, short]


def test_a_download_that_is_not_what_its_digest_says_is_refused(mirror: Mirror, aws: Clients, tmp_path: Path) -> None:
    kept = mirror.put("a", b"right", "text/plain")
    aws.s3("us-west-2").put_object(Bucket="artifacts-us-west-2", Key=f"sha256/{kept.sha256}/a", Body=b"wrong")
    with pytest.raises(InputError, match="has SHA-256"):
        mirror.fetch(kept, tmp_path)
    assert list(tmp_path.iterdir()) == []
