"""The cluster's package repositories, and what is in them."""

from __future__ import annotations

import fnmatch
import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from rehearsal.cluster.cosmos.errors import CosmosError
from rehearsal.cluster.settings import COSMOS_VERSION, DCOS_VERSION, Json
from rehearsal.cluster.store import Store

PATH = "/cosmos/package/repositories"
DEFAULT = [{"name": "Universe", "uri": "https://universe.mesosphere.com/repo"}]
CACHE_SECONDS = 60.0
ACCEPT = ", ".join(
    f"application/vnd.dcos.universe.repo+json;charset=utf-8;version={version}" for version in ("v5", "v4", "v3")
)


@dataclass(frozen=True)
class Fetched:
    """A repository's packages and when they were fetched."""

    packages: list[Json]
    at: float


class Repositories:
    """Kept in ZooKeeper, in order; a repository that is listed first wins."""

    def __init__(self, store: Store, session: aiohttp.ClientSession) -> None:
        self._store = store
        self._session = session
        self._cache: dict[str, Fetched] = {}

    async def known(self) -> list[Json]:
        """Each name and URI."""
        known = await self._store.read(PATH)
        return list(DEFAULT) if known is None else list(known)

    async def add(self, name: str, uri: str, index: int | None) -> list[Json]:
        """Add one, at the end or at an index, once it has been fetched."""
        repositories = await self.known()
        for known in repositories:
            if known["name"] == name or known["uri"] == uri:
                message = f"Repository [{known['name']}] is already present in the list"
                raise CosmosError("RepositoryAlreadyPresent", message, nameOrUri=name)
        if index is not None and not 0 <= index <= len(repositories):
            raise CosmosError("RepositoryAddIndexOutOfBounds",
                              f"Index out of range: {index}, maximum {len(repositories)}",
                              attempted=index, max=len(repositories))  # fmt: skip
        if urlsplit(uri).scheme not in {"http", "https"}:
            raise CosmosError("UnsupportedRepositoryUri", f"Repository URI [{uri}] uses an unsupported scheme", uri=uri)
        await self._fetch({"name": name, "uri": uri})
        place = len(repositories) if index is None else index
        changed = [*repositories[:place], {"name": name, "uri": uri}, *repositories[place:]]
        await self._store.write(PATH, changed)
        return changed

    async def delete(self, name: str | None, uri: str | None) -> list[Json]:
        """Remove one by name or URI."""
        if name is None and uri is None:
            raise CosmosError("RepoNameOrUriMissing", "Must specify either the name or URI of the repository")
        repositories = await self.known()
        kept = [one for one in repositories
                if not ((name in {None, one["name"]}) and (uri in {None, one["uri"]}))]  # fmt: skip
        if len(kept) == len(repositories):
            raise CosmosError("RepositoryNotPresent", f"Repository [{name or uri}] is not present in the list")
        await self._store.write(PATH, kept)
        return kept

    async def packages(self) -> list[Json]:
        """Every package of every repository, in the order of repositories."""
        found: list[Json] = []
        for repository in await self.known():
            found += await self._cached(repository)
        return found

    async def package(self, name: str, version: str | None) -> Json:
        """A package by name, the newest release unless a version is named."""
        named = [one for one in await self.packages() if one["name"] == name]
        if not named:
            raise CosmosError("PackageNotFound", f"Package [{name}] not found", packageName=name)
        if version is None:
            first = named[0]["_source"]
            candidates = [one for one in named if one["_source"] == first]
            return max(candidates, key=lambda one: int(one["releaseVersion"]))
        for one in named:
            if one["version"] == version:
                return one
        raise CosmosError("VersionNotFound", f"Version [{version}] of package [{name}] not found",
                          packageName=name, packageVersion=version)  # fmt: skip

    async def search(self, query: str | None) -> list[Json]:
        """Packages whose name, description or tags match."""
        found: dict[str, Json] = {}
        for one in await self.packages():
            if not _matches(one, query):
                continue
            known = found.setdefault(one["name"], {
                "name": one["name"], "currentVersion": one["version"], "versions": {},
                "description": one.get("description", ""), "framework": one.get("framework", False),
                "tags": one.get("tags", []), "selected": one.get("selected", False), "_release": -1,
            })  # fmt: skip
            known["versions"].setdefault(one["version"], str(one["releaseVersion"]))
            if int(one["releaseVersion"]) > known["_release"]:
                known.update(currentVersion=one["version"], _release=int(one["releaseVersion"]))
        return [{name: value for name, value in one.items() if name != "_release"} for one in found.values()]

    async def _cached(self, repository: Json) -> list[Json]:
        kept = self._cache.get(repository["uri"])
        if kept is None or time.monotonic() - kept.at > CACHE_SECONDS:
            await self._fetch(repository)
        return self._cache[repository["uri"]].packages

    async def _fetch(self, repository: Json) -> None:
        uri = repository["uri"]
        headers = {"Accept": ACCEPT, "User-Agent": f"cosmos/{COSMOS_VERSION} dcos/{DCOS_VERSION}"}
        try:
            async with self._session.get(uri, headers=headers, timeout=aiohttp.ClientTimeout(30)) as response:
                if response.status != 200:
                    message = f"Error while querying package repository: HTTP {response.status}"
                    raise CosmosError("UniverseClientHttpError", message, packageRepository=repository,
                                      clientStatus=response.status, method="GET")  # fmt: skip
                packages = json.loads(await response.text())["packages"]
        except (aiohttp.ClientError, TimeoutError, OSError, aiohttp.InvalidURL) as error:
            raise CosmosError("RepositoryUriConnection", f"Could not access data at URI for repository [{uri}]",
                              repository=repository, cause=str(error)) from error  # fmt: skip
        except (ValueError, KeyError, TypeError) as error:
            raise CosmosError("RepositoryUriSyntax", f"URI for repository [{uri}] has no repository in it: {error}",
                              repository=repository, cause=str(error)) from error  # fmt: skip
        self._cache[uri] = Fetched([{**one, "_source": uri} for one in packages], time.monotonic())


def _matches(package: Json, query: str | None) -> bool:
    if not query:
        return True
    texts: list[Any] = [package["name"], package.get("description", ""), *package.get("tags", [])]
    if "*" in query:
        return any(fnmatch.fnmatch(str(text).lower(), query.lower()) for text in texts)
    return any(query.lower() in str(text).lower() for text in texts)
