"""Cosmos' repositories: what may be added where, which one wins, and what a repository that is none is called."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from rehearsal.cluster.cosmos import repositories as module
from rehearsal.cluster.cosmos.errors import CosmosError
from rehearsal.cluster.cosmos.repositories import ACCEPT, DEFAULT, Repositories

ONE, OTHER = "http://one.example/repo", "https://other.example/repo"


def package(name: str, version: str = "1", release: int = 0, **more: Any) -> dict[str, Any]:
    return {"name": name, "version": version, "releaseVersion": release, **more}


class Web:
    """What is served, by URI; an exception is raised, a status answered."""

    def __init__(self) -> None:
        self.served: dict[str, Any] = {ONE: [package("a")], OTHER: []}
        self.asked: list[str] = []

    def get(self, uri: str, *, headers: dict[str, str], timeout: Any) -> Any:
        self.asked.append(uri)
        assert headers["Accept"] == ACCEPT
        return _Answer(self.served[uri])


class _Answer:
    def __init__(self, served: Any) -> None:
        self.served, self.status = served, served if isinstance(served, int) else 200

    async def __aenter__(self) -> _Answer:
        if isinstance(self.served, Exception):
            raise self.served
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    async def text(self) -> str:
        return self.served if isinstance(self.served, str) else json.dumps({"packages": self.served})


class Kept:
    def __init__(self, value: Any = None) -> None:
        self.value = value

    async def read(self, path: str) -> Any:
        return self.value

    async def write(self, path: str, value: Any) -> None:
        self.value = value


class Ground(Repositories):
    def __init__(self, *known: tuple[str, str]) -> None:
        self.web, self.kept = Web(), Kept([{"name": name, "uri": uri} for name, uri in known])
        super().__init__(self.kept, self.web)  # type: ignore[arg-type]

    def run(self, asked: Callable[[], Awaitable[Any]]) -> Any:
        async def act() -> Any:
            return await asked()

        return asyncio.run(act())

    def refused(self, kind: str, asked: Callable[[], Awaitable[Any]]) -> CosmosError:
        before = self.kept.value
        with pytest.raises(CosmosError) as caught:
            self.run(asked)
        assert (caught.value.body["type"], caught.value.status, self.kept.value) == (kind, 400, before)
        return caught.value


def names(known: Any) -> list[str]:
    return [one["name"] for one in known]


def test_a_new_cluster_has_the_universe_and_one_that_dropped_it_nothing() -> None:
    ground = Ground()
    assert ground.run(ground.known) == []
    ground.kept.value = None
    assert ground.run(ground.known) == DEFAULT


@pytest.mark.parametrize(
    ("index", "order"),
    [(None, ["x", "y", "new"]), (0, ["new", "x", "y"]), (1, ["x", "new", "y"]), (2, ["x", "y", "new"])],
)
def test_a_repository_is_added_where_it_shall_be(index: int | None, order: list[str]) -> None:
    ground = Ground(("x", "http://x"), ("y", "http://y"))
    assert names(ground.run(lambda: ground.add("new", ONE, index))) == order == names(ground.kept.value)
    assert ground.web.asked == [ONE]


@pytest.mark.parametrize(
    ("name", "uri", "index", "kind"),
    [
        ("x", ONE, None, "RepositoryAlreadyPresent"),
        ("new", "http://x", None, "RepositoryAlreadyPresent"),
        ("new", ONE, 2, "RepositoryAddIndexOutOfBounds"),
        ("new", ONE, -1, "RepositoryAddIndexOutOfBounds"),
        ("new", "ftp://one.example/repo", None, "UnsupportedRepositoryUri"),
    ],
)
def test_a_repository_that_cannot_be_added_is_not_asked_for(name: str, uri: str, index: int | None, kind: str) -> None:
    ground = Ground(("x", "http://x"))
    ground.refused(kind, lambda: ground.add(name, uri, index))
    assert ground.web.asked == []


@pytest.mark.parametrize(
    ("served", "kind"),
    [
        (404, "UniverseClientHttpError"),
        (500, "UniverseClientHttpError"),
        (aiohttp.ClientError("no"), "RepositoryUriConnection"),
        (TimeoutError(), "RepositoryUriConnection"),
        (OSError("no"), "RepositoryUriConnection"),
        ("<html>", "RepositoryUriSyntax"),
        ("{}", "RepositoryUriSyntax"),
        ("[]", "RepositoryUriSyntax"),
    ],
)
def test_what_serves_no_repository_is_not_added(served: Any, kind: str) -> None:
    ground = Ground()
    ground.web.served[ONE] = served
    told = ground.refused(kind, lambda: ground.add("new", ONE, None))
    assert ONE in json.dumps(told.body)


@pytest.mark.parametrize(
    ("name", "uri", "left"), [("x", None, ["y"]), (None, "http://y", ["x"]), ("x", "http://x", ["y"])]
)
def test_a_repository_is_removed_by_its_name_or_uri(name: str | None, uri: str | None, left: list[str]) -> None:
    ground = Ground(("x", "http://x"), ("y", "http://y"))
    assert names(ground.run(lambda: ground.delete(name, uri))) == left == names(ground.kept.value)


@pytest.mark.parametrize(
    ("name", "uri", "kind"),
    [
        (None, None, "RepoNameOrUriMissing"),
        ("z", None, "RepositoryNotPresent"),
        (None, "http://z", "RepositoryNotPresent"),
        ("x", "http://y", "RepositoryNotPresent"),
    ],
)
def test_what_is_not_there_is_not_removed(name: str | None, uri: str | None, kind: str) -> None:
    ground = Ground(("x", "http://x"), ("y", "http://y"))
    ground.refused(kind, lambda: ground.delete(name, uri))


def packages(*other: dict[str, Any]) -> Ground:
    ground = Ground(("first", ONE), ("second", OTHER))
    ground.web.served[ONE] = [package("a", "1", 1), package("a", "2", 2), package("a", "1.5", 0)]
    ground.web.served[OTHER] = [*other]
    return ground


@pytest.mark.parametrize(
    ("version", "source", "release"), [(None, ONE, 2), ("1", ONE, 1), ("1.5", ONE, 0), ("9", OTHER, 9)]
)
def test_the_first_repository_wins_and_in_it_the_newest(version: str | None, source: str, release: int) -> None:
    ground = packages(package("a", "9", 9), package("a", "1", 7))
    found = ground.run(lambda: ground.package("a", version))
    assert (found["_source"], found["releaseVersion"]) == (source, release)


def test_a_package_that_is_not_there_is_named() -> None:
    ground = packages()
    assert ground.refused("PackageNotFound", lambda: ground.package("b", None)).body["data"] == {"packageName": "b"}
    told = ground.refused("VersionNotFound", lambda: ground.package("a", "3"))
    assert told.body["data"] == {"packageName": "a", "packageVersion": "3"}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (None, ["a", "kafka"]),
        ("", ["a", "kafka"]),
        ("KAF", ["kafka"]),
        ("stream", ["kafka"]),
        ("queue", ["kafka"]),
        ("k*a", ["kafka"]),
        ("k*", ["kafka"]),
        ("k*f", []),
        ("none", []),
    ],
)
def test_a_search_looks_at_names_descriptions_and_tags(query: str | None, found: list[str]) -> None:
    ground = packages(package("kafka", description="Streams", tags=["queue"]))
    assert names(ground.run(lambda: ground.search(query))) == found


def test_a_search_tells_all_versions_and_the_newest() -> None:
    ground = packages(package("a", "1", 3))
    (found,) = ground.run(lambda: ground.search("a"))
    assert found["versions"] == {"1": "1", "2": "2", "1.5": "0"}
    assert found["currentVersion"] == "1"  # of the release that is newest in all
    assert not any(name.startswith("_") for name in found)


def test_what_was_fetched_is_kept_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = SimpleNamespace(at=0.0, monotonic=lambda: now.at)
    monkeypatch.setattr(module, "time", now)
    ground = Ground(("first", ONE))
    for at, asked in ((0, 1), (60, 1), (60.5, 2), (61, 2)):
        now.at = at
        assert names(ground.run(ground.packages)) == ["a"]
        assert len(ground.web.asked) == asked
