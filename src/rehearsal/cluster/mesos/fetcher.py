"""Fetches a task's URIs into its sandbox, extracts archives and keeps what may be cached, as Mesos' fetcher does."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from rehearsal.cluster.mesos.runner import run

TAR_ENDINGS = (".tar", ".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz")
CHUNK = 1 << 18


class FetchFailed(Exception):
    """A URI could not be fetched; says which and why."""


@dataclass(frozen=True, kw_only=True)
class FetchUri:
    """One URI of a command, with the flags of Mesos' CommandInfo.URI."""

    value: str
    extract: bool = True
    executable: bool = False
    cache: bool = False
    output_file: str = ""

    @property
    def filename(self) -> str:
        """The name the file gets in the sandbox."""
        return self.output_file or PurePosixPath(urlsplit(self.value).path).name or "index.html"


def parse(document: dict[str, Any]) -> FetchUri:
    """A URI from a task's command."""
    return FetchUri(
        value=document["value"],
        extract=document.get("extract", True),
        executable=document.get("executable", False),
        cache=document.get("cache", False),
        output_file=document.get("output_file", ""),
    )


class Fetcher:
    """Fetches for one agent; equal cached URIs are downloaded once."""

    def __init__(self, session: aiohttp.ClientSession, cache: Path) -> None:
        self._session = session
        self._cache = cache
        self._locks: dict[str, asyncio.Lock] = {}

    async def fetch(self, uris: list[FetchUri], sandbox: Path) -> None:
        """Bring all URIs into the sandbox, at the same time; FetchFailed names the first that cannot be."""
        await asyncio.gather(*(self._fetch_one(uri, sandbox) for uri in uris))

    async def _fetch_one(self, uri: FetchUri, sandbox: Path) -> None:
        target = sandbox / uri.filename
        if not target.resolve().is_relative_to(sandbox.resolve()):
            raise FetchFailed(f"{uri.value}: output file leaves the sandbox")
        target.parent.mkdir(parents=True, exist_ok=True)
        if uri.cache:
            source = await self._cached(uri)
            if uri.extract and await extract(source, sandbox, uri.filename):
                return
            await asyncio.to_thread(shutil.copyfile, source, target)
        else:
            await self._download(uri.value, target)
            if uri.extract and await extract(target, sandbox, uri.filename):
                return
        if uri.executable:
            target.chmod(0o755)

    async def _cached(self, uri: FetchUri) -> Path:
        key = hashlib.sha256(uri.value.encode()).hexdigest()[:24]
        kept = self._cache / f"{key}-{PurePosixPath(uri.filename).name}"
        async with self._locks.setdefault(key, asyncio.Lock()):
            if not kept.exists():
                self._cache.mkdir(parents=True, exist_ok=True)
                await self._download(uri.value, kept)
        return kept

    async def _download(self, uri: str, target: Path) -> None:
        scheme = urlsplit(uri).scheme
        if scheme in {"", "file"}:
            await self._copy(uri.removeprefix("file://"), target)
        elif scheme in {"http", "https"}:
            await self._download_http(uri, target)
        else:
            raise FetchFailed(f"Failed to fetch '{uri}': scheme '{scheme}' has no fetcher plugin here")

    async def _copy(self, source: str, target: Path) -> None:
        try:
            await asyncio.to_thread(shutil.copyfile, source, target)
        except OSError as error:
            raise FetchFailed(f"Failed to fetch '{source}': {error}") from error

    async def _download_http(self, uri: str, target: Path) -> None:
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=".fetch-")
        part = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                async with self._session.get(uri) as response:
                    if response.status != 200:
                        raise FetchFailed(f"Failed to fetch '{uri}': HTTP {response.status}")
                    async for chunk in response.content.iter_chunked(CHUNK):
                        file.write(chunk)
            part.chmod(0o644)
            part.replace(target)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise FetchFailed(f"Failed to fetch '{uri}': {error}") from error
        finally:
            part.unlink(missing_ok=True)


async def extract(archive: Path, sandbox: Path, filename: str) -> bool:
    """Unpack an archive into the sandbox; False if its name is not an archive's."""
    if filename.endswith(TAR_ENDINGS):
        command = ["tar", "-C", str(sandbox), "--no-same-owner", "-xf", str(archive)]
    elif filename.endswith(".zip"):
        command = ["unzip", "-o", "-q", "-d", str(sandbox), str(archive)]
    else:
        return False
    code, output = await run(*command)
    if code != 0:
        raise FetchFailed(f"Failed to extract {filename}: {output[-500:]}")
    return True
