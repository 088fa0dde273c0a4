"""What a web site says is an artifact, an error of ours, or the same as before; and what a URL names."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from rekindle.errors import CommandFailed, InputError
from rekindle.journal.sources import BINARY, PIECE, Bucket, File, Web, content_type_of, name_of, source_of

Site = Callable[[httpx.Request], httpx.Response]
URL = "https://example.net/installer.sh"


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[[Site], list[httpx.Request]]:
    """A web site in this process, in place of the network; what it was asked."""

    def serving(site: Site) -> list[httpx.Request]:
        asked: list[httpx.Request] = []

        def answer(request: httpx.Request) -> httpx.Response:
            asked.append(request)
            return site(request)

        def client(**options: Any) -> httpx.Client:
            return httpx.Client(transport=httpx.MockTransport(answer), **options)

        def head(url: str, **options: Any) -> httpx.Response:
            return client(**options).head(url)

        def stream(method: str, url: str, **options: Any) -> Any:
            return client(**options).stream(method, url)

        monkeypatch.setattr(httpx, "head", head)
        monkeypatch.setattr(httpx, "stream", stream)
        return asked

    return serving


def moved(request: httpx.Request) -> httpx.Response:
    """As a download that is kept elsewhere."""
    if request.url.path == "/installer.sh":
        return httpx.Response(302, headers={"Location": "/elsewhere"})
    return httpx.Response(200, headers={"ETag": '"1"', "Content-Length": "5"}, content=b"first")


def test_a_redirect_is_followed(serve: Any) -> None:
    serve(moved)
    assert b"".join(Web(URL).pieces()) == b"first"
    assert Web(URL).tag() == '"1" 5'


@pytest.mark.parametrize("status", [304, 403, 404, 500, 503])
def test_the_page_of_an_error_is_no_artifact(serve: Any, status: int) -> None:
    serve(lambda request: httpx.Response(status, headers={"ETag": '"1"'}, content=b"<h1>Sorry</h1>"))
    with pytest.raises(CommandFailed, match=f"answered {status}") as caught:
        list(Web(URL).pieces())
    assert caught.value.where == URL
    with pytest.raises(CommandFailed, match=f"answered {status}"):
        Web(URL).tag()


@pytest.mark.parametrize(
    ("headers", "tag"),
    [
        ({"ETag": '"1"', "Last-Modified": "Sat", "Content-Length": "5"}, '"1" 5'),
        ({"Last-Modified": "Sat", "Content-Length": "5"}, "Sat 5"),
        ({"ETag": '"1"'}, '"1" None'),
        ({"Content-Length": "5"}, None),  # a length alone names no content
        ({}, None),
    ],
)
def test_what_a_site_calls_its_content_is_its_tag(serve: Any, headers: dict[str, str], tag: str | None) -> None:
    asked = serve(lambda request: httpx.Response(200, headers=headers))
    assert Web(URL).tag() == tag
    assert [request.method for request in asked] == ["HEAD"]


def test_no_site_is_waited_for_without_end(serve: Any) -> None:
    asked = serve(lambda request: httpx.Response(200, content=b"first"))
    Web(URL).tag()
    list(Web(URL).pieces())
    limits = {"connect": 5.0, "read": 60.0, "write": 60.0, "pool": 60.0}
    assert [request.extensions["timeout"] for request in asked] == [limits] * 2


def test_content_comes_in_pieces(serve: Any) -> None:
    serve(lambda request: httpx.Response(200, content=bytes(PIECE + 1)))
    assert [len(piece) for piece in Web(URL).pieces()] == [PIECE, 1]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.json", "application/json"),
        ("a.txt", "text/plain"),
        ("a.tar", "application/x-tar"),
        ("a.tar.gz", BINARY),  # as a tar, a client that looks at the type alone would not unzip it
        ("a.json.gz", BINARY),
        ("a", BINARY),
    ],
)
def test_the_type_is_by_the_name_and_what_is_compressed_is_bytes(name: str, kind: str) -> None:
    assert content_type_of(name) == kind


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (URL, "installer.sh"),
        (f"{URL}?version=2#part", "installer.sh"),
        ("https://example.net/a%20b.tgz", "a b.tgz"),
        ("https://example.net/", "artifact"),
        ("s3://bucket/folder/a.tgz", "a.tgz"),
        ("/srv/a.tgz", "a.tgz"),
    ],
)
def test_a_url_ends_with_the_name_of_a_file(url: str, name: str) -> None:
    assert name_of(url) == name


@pytest.mark.parametrize("url", ["https://example.net/..", "https://example.net/a%0Ab", "https://example.net/%1B[m"])
def test_what_is_no_name_of_a_file_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="ends with no file name"):
        name_of(url)


@pytest.mark.parametrize(
    ("url", "kind"),
    [(URL, Web), ("http://example.net/a", Web), ("s3://b/k/a", Bucket), ("file:///srv/a%20b", File), ("srv/a", File)],
)
def test_a_source_is_by_the_scheme_of_its_url(url: str, kind: type) -> None:
    found = source_of(url, None)
    assert isinstance(found, kind)
    if isinstance(found, Bucket):
        assert (found.bucket, found.key) == ("b", "k/a")
    if isinstance(found, File):
        assert str(found.path) in ("/srv/a b", "srv/a")
        assert found.tag() is None
