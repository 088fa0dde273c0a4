"""An artifact is fetched once, kept by its digest, copied near its readers, and missed when it is gone."""

import errno
import hashlib
import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import given
from journal_world import KEYRING, odd_documents

from rekindle.aws import objects
from rekindle.aws.clients import Clients
from rekindle.errors import CommandFailed, InputError, JournalDamaged, RekindleError, Unreachable
from rekindle.journal.mirror import Memory, Mirror
from rekindle.journal.release import Artifact
from rekindle.journal.seal import seal
from rekindle.secrets import Keyring

MIRROR, NEAR = ("artifacts-us-west-2", "us-west-2"), ("artifacts-eu-west-1", "eu-west-1")
MEMORY = Memory(environment="dev", keyring=KEYRING, may_add=True)
UNIVERSE = "application/vnd.dcos.universe.repo+json;charset=utf-8;version=v4"


@pytest.fixture
def mirror(aws: Clients) -> Mirror:
    for region in ("us-west-2", "eu-west-1"):
        aws.s3(region).create_bucket(
            Bucket=f"artifacts-{region}", CreateBucketConfiguration={"LocationConstraint": region}
        )
    return Mirror(aws, *MIRROR, MEMORY)


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
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
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
def test_one_that_was_renamed_is_there_by_its_new_name(mirror: Mirror, site: Site, root: str, is_pinned: bool) -> None:
    digest = hashlib.sha256(b"first").hexdigest() if is_pinned else None
    old, new = (mirror.ensure(f"{root}/{name}", digest) for name in ("installer.sh", "installer-2.sh"))
    assert [(a.name, a.sha256 == old.sha256) for a in (old, new)] == [("installer.sh", True), ("installer-2.sh", True)]
    assert new.content_type == old.content_type
    assert site.asked.count("GET") == (1 if is_pinned else 2)
    assert mirror.missing([old, new]) == []
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
    assert [a.sha256 for a in found] == [hashlib.sha256(body).hexdigest() for body in (b"file", b"file", b"object")]
    assert mirror.missing(found) == []


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
    url = Mirror(Clients(), "m", "us-west-2").url_for(artifact, *NEAR)
    assert url == f"{prefix}sha256/{'a' * 64}/a%20b.tgz"


# Planted bytes


def plant(aws: Clients, place: tuple[str, str], key: str, body: bytes, **more: Any) -> None:
    aws.s3(place[1]).put_object(Bucket=place[0], Key=key, Body=body, **more)


def held(aws: Clients, place: tuple[str, str], key: str) -> bytes | None:
    return objects.read(aws.s3(place[1]), place[0], key)


def by_digest(artifact: Artifact) -> str:
    return f"sha256/{artifact.sha256}"


def near(artifact: Artifact) -> str:
    return f"sha256/{artifact.sha256}/{artifact.name}"


def test_what_is_gone_cut_short_or_anothers_is_missing(mirror: Mirror, aws: Clients) -> None:
    names = ("whole", "gone", "short", "other", "parts")
    whole, gone, short, other, parts = (mirror.put(name, name.encode() * 9, "text/plain") for name in names)
    aws.s3("us-west-2").delete_object(Bucket=MIRROR[0], Key=by_digest(gone))
    plant(aws, MIRROR, by_digest(short), b"s")
    plant(aws, MIRROR, by_digest(other), b"OTHER" * 9)  # of the same size
    plant(aws, MIRROR, by_digest(parts), b"parts" * 9)  # the right bytes, put by hand, without a checksum
    lying = whole.model_copy(update={"size": 1})
    assert mirror.missing([whole, gone, short, other, parts, lying]) == [gone, short, other, lying]


@pytest.mark.parametrize("more", [{}, {"ChecksumAlgorithm": "SHA256"}])
@pytest.mark.parametrize("body", [b"evils", b"evil", b""])
def test_planted_bytes_are_neither_taken_nor_copied(
    mirror: Mirror, aws: Clients, root: str, body: bytes, more: dict[str, str]
) -> None:
    """Of the right size or not, with a checksum of their own or not."""
    digest = hashlib.sha256(b"first").hexdigest()
    artifact = Artifact(name="installer.sh", url="", sha256=digest, size=5)
    plant(aws, MIRROR, by_digest(artifact), body, **more)
    for use in (
        lambda: mirror.ensure(f"{root}/installer.sh", digest),
        lambda: mirror.ensure(f"{root}/installer.sh"),
        lambda: mirror.put("installer.sh", b"first", "text/plain"),
        lambda: mirror.replicate(artifact, *NEAR),
    ):
        with pytest.raises(JournalDamaged, match=f"sha256/{digest}: does not hold what its name says"):
            use()
    assert held(aws, NEAR, near(artifact)) is None
    assert mirror.missing([artifact]) == [artifact]


def test_planted_bytes_near_the_hosts_are_replaced(mirror: Mirror, aws: Clients) -> None:
    kept = mirror.put("a.tgz", b"right", "application/gzip")
    plant(aws, NEAR, near(kept), b"wrong")
    mirror.replicate(kept, *NEAR)
    assert held(aws, NEAR, near(kept)) == b"right"


def test_what_is_whole_near_the_hosts_is_not_copied_again(
    mirror: Mirror, aws: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = mirror.put("a.tgz", b"right", "application/gzip")
    mirror.replicate(kept, *NEAR)
    monkeypatch.setattr(objects, "copy", None)
    mirror.replicate(kept, *NEAR)


def test_what_arrives_otherwise_than_it_left_is_refused(
    mirror: Mirror, aws: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = mirror.put("a.tgz", b"right", "application/gzip")
    monkeypatch.setattr(objects, "copy", lambda *place, **more: plant(aws, NEAR, near(kept), b"wrong"))
    with pytest.raises(JournalDamaged, match=f"s3://{NEAR[0]}/{near(kept)}: does not hold"):
        mirror.replicate(kept, *NEAR)


def test_what_the_mirror_lacks_cannot_be_copied(mirror: Mirror) -> None:
    artifact = Artifact(name="a.tgz", url="", sha256="a" * 64, size=1)
    with pytest.raises(InputError, match=r"a\.tgz: is not in the mirror"):
        mirror.replicate(artifact, *NEAR)


def test_nothing_is_ever_written_over(mirror: Mirror, aws: Clients, site: Site, root: str) -> None:
    """A policy lets nobody."""
    asked: list[bool] = []
    client = aws.s3("us-west-2")

    def see(params: dict[str, Any], **more: Any) -> None:
        asked.append(params["headers"].get("If-None-Match") == "*")

    client.meta.events.register("before-call.s3.PutObject", see)
    client.meta.events.register("before-call.s3.CopyObject", see)
    for content, etag in ((b"first", '"1"'), (b"second", '"2"'), (b"first", '"1"')):
        site.content, site.etag = content, etag
        mirror.ensure(f"{root}/installer.sh")
    mirror.put("a", b"first", "text/plain")
    assert asked == [True] * 4  # two artifacts, and what was remembered of each
    client.meta.events.unregister("before-call.s3.PutObject", see)
    client.meta.events.unregister("before-call.s3.CopyObject", see)


# What is remembered of URLs


def remembered(aws: Clients) -> list[str]:
    return [listed.key for listed in objects.list_versions(aws.s3("us-west-2"), MIRROR[0], "urls/")]


def test_a_planted_memory_is_refused(mirror: Mirror, aws: Clients, root: str) -> None:
    mirror.ensure(f"{root}/installer.sh")
    evil = mirror.put("evil", b"evil", "text/plain")
    (key,) = remembered(aws)
    for keyring, words in ((Keyring(b"x" * 32), "MAC is wrong"), (KEYRING, "what this version .* cannot read")):
        content = {"url": f"{root}/installer.sh", "tag": '"1" 5', "sha256": evil.sha256}
        plant(aws, MIRROR, key, seal(keyring, key, content if keyring is not KEYRING else {"sha256": 1}))
        with pytest.raises(JournalDamaged, match=words):
            mirror.ensure(f"{root}/installer.sh")
    for body in (b"", b"{}", b"\xff", b"[" * 5000):
        plant(aws, MIRROR, key, body)
        with pytest.raises(JournalDamaged):
            mirror.ensure(f"{root}/installer.sh")


@given(odd_documents({"url": "https://x/y", "tag": "t", "sha256": "a" * 64}))
def test_no_odd_memory_with_the_right_seal_fails_otherwise(clients: Clients, given_once: dict[str, Any]) -> None:
    key = MEMORY.key("https://x/y", "t")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(objects, "read", lambda *place: seal(KEYRING, key, given_once))
        patched.setattr(objects, "content", lambda *place: None)
        with suppress(JournalDamaged):
            assert Mirror(clients, *MIRROR, MEMORY)._kept_as("https://x/y", "t") is None


def test_what_only_looks_remembers_nothing(aws: Clients, mirror: Mirror, root: str, site: Site) -> None:
    for memory in (None, replace(MEMORY, may_add=False)):
        Mirror(aws, *MIRROR, memory).ensure(f"{root}/installer.sh")
        assert remembered(aws) == []
    mirror.ensure(f"{root}/installer.sh")
    site.asked.clear()
    Mirror(aws, *MIRROR, replace(MEMORY, may_add=False)).ensure(f"{root}/installer.sh")
    assert site.asked == ["HEAD"]


@pytest.mark.parametrize(
    "other", [replace(MEMORY, environment="poc"), replace(MEMORY, keyring=Keyring(b"n" * 32, version=2, first=9))]
)
def test_another_environment_or_key_believes_nothing_of_it(
    aws: Clients, mirror: Mirror, root: str, site: Site, other: Memory
) -> None:
    mirror.ensure(f"{root}/installer.sh")
    Mirror(aws, *MIRROR, other).ensure(f"{root}/installer.sh")
    assert site.asked == ["HEAD", "GET", "HEAD", "GET"]
    assert len(remembered(aws)) == 2


# Where it cannot be had


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1080", "socks9://127.0.0.1"])
def test_a_proxy_that_is_not_spoken_to_is_named(mirror: Mirror, monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    for digest in (None, "0" * 64):
        with pytest.raises(InputError) as caught:
            mirror.ensure("http://artifacts.example.org/installer.sh", digest)
        assert "ALL_PROXY" in caught.value.next_step
        assert caught.value.where == "http://artifacts.example.org/installer.sh"


def test_a_full_disk_is_told_with_the_folder(mirror: Mirror, root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, piece: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "TemporaryFile", Full)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: "/small")
    with pytest.raises(InputError, match=r"/small: what is fetched .*: No space left on device") as caught:
        mirror.ensure(f"{root}/installer.sh")
    assert "set TMPDIR to a folder with room" in caught.value.next_step


@pytest.mark.parametrize("url", ["http://[", "http://x/..", "http://x/a%00b", "/a\0b", "s3://b/a%0ab", "\udcff:/x"])
def test_an_odd_url_is_an_error_of_ours(mirror: Mirror, url: str) -> None:
    with pytest.raises(RekindleError):
        mirror.ensure(url, "0" * 64)
