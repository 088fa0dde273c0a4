"""Releases: what was declared when a command ran, as one content-addressed bundle.

The digest is that of the manifest, which names each file by its own digest: it does not depend on who
packed the bundle, when, or with which version of zlib. The commit is not part of it either, so that a
plan made on a branch still holds on the commit that merges it; the journal's entry names the commit.
"""

import gzip
import io
import json
import subprocess
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import Field, JsonValue, ValidationError

from rekindle.errors import InputError, JournalDamaged
from rekindle.journal.entries import Frozen, ReleaseEntry
from rekindle.journal.store import AlreadyExists, Store
from rekindle.plan import canonical, digest

DECLARED = ("Pulumi.yaml", "stacks", "roles", "packages")
LEFT_OUT = frozenset({"__pycache__", ".git", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".DS_Store"})
MANIFEST = "manifest.json"
EXECUTABLE, PLAIN = 0o755, 0o644


class Artifact(Frozen):
    """Something fetched from elsewhere, known by its digest."""

    name: str  # file name
    url: str  # where it was fetched from; empty for what was generated
    sha256: str
    size: int
    content_type: str = "application/octet-stream"


class FileDigest(Frozen):
    """One file of a bundle."""

    sha256: str
    executable: bool = False


class Manifest(Frozen):
    """What a bundle holds, and what it fetches."""

    format: Literal[1] = 1
    files: dict[str, FileDigest]
    artifacts: tuple[Artifact, ...] = ()
    values: dict[str, JsonValue] = Field(default_factory=dict)


class MadeBy(Frozen):
    """Who first packed a bundle; told beside the manifest, not part of its digest."""

    rekindle_version: str
    commit: str | None = None  # None: not a git work tree
    dirty: bool = False


@dataclass(frozen=True)
class Release:
    """A bundle: `digest` names its content, whatever packed it and when."""

    digest: str
    body: bytes  # tar.gz

    @classmethod
    def of(
        cls, root: Path, *, artifacts: Sequence[Artifact] = (), values: Mapping[str, Any] | None = None
    ) -> "Release":
        """The release that a project's folder declares; deterministic."""
        files = {name: (root / name).read_bytes() for name in _declared(root)}
        manifest = Manifest(
            files={name: _file_digest(root / name, body) for name, body in files.items()},
            artifacts=tuple(sorted(artifacts, key=lambda artifact: (artifact.name, artifact.sha256))),
            values=json.loads(canonical(values or {})),
        )
        return cls(_digest(manifest), _packed(manifest, _made_by(root), files))

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        return self._manifest.artifacts

    @property
    def values(self) -> Mapping[str, Any]:
        return self._manifest.values

    @property
    def made_by(self) -> MadeBy:
        return MadeBy.model_validate(self._head["made_by"])

    def entry(self, command: str) -> ReleaseEntry:
        """The journal's word for working from this release."""
        made_by = self.made_by
        return ReleaseEntry(
            release=self.digest,
            command=command,
            rekindle_version=made_by.rekindle_version,
            commit=made_by.commit,
            dirty=made_by.dirty,
        )

    def verify(self) -> None:
        """JournalDamaged unless each file has the digest that the manifest says, and the manifest the release's."""
        if _digest(self._manifest) != self.digest:
            raise self._damaged("its manifest was altered")
        named = self._manifest.files
        odd = sorted(
            name
            for name in named.keys() | self._files.keys()
            if name not in named
            or name not in self._files
            or sha256(self._files[name]).hexdigest() != named[name].sha256
            or not _is_inside(name)
        )
        if odd:
            raise self._damaged(f"these files are not as the manifest says: {', '.join(odd[:5])}")

    def unpack(self, into: Path) -> None:
        """Writes Pulumi.yaml, stacks/, roles/, packages/ into a folder."""
        self.verify()
        for name, body in self._files.items():
            file = into / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(body)
            file.chmod(EXECUTABLE if self._manifest.files[name].executable else PLAIN)

    @cached_property
    def _members(self) -> dict[str, bytes]:
        try:
            with tarfile.open(fileobj=io.BytesIO(self.body), mode="r:gz") as archive:
                streams = {member.name: archive.extractfile(member) for member in archive.getmembers()}
                return {name: stream.read() for name, stream in streams.items() if stream}
        except (OSError, EOFError, tarfile.TarError) as error:
            raise self._damaged("is torn") from error

    @cached_property
    def _files(self) -> dict[str, bytes]:
        return {name: body for name, body in self._members.items() if name != MANIFEST}

    @cached_property
    def _head(self) -> dict[str, Any]:
        try:
            head: dict[str, Any] = json.loads(self._members[MANIFEST])
            return head
        except (KeyError, ValueError) as error:
            raise self._damaged("has no manifest") from error

    @cached_property
    def _manifest(self) -> Manifest:
        try:
            return Manifest.model_validate(self._head["manifest"])
        except (KeyError, ValidationError) as error:
            raise self._damaged("has a manifest that this version of Rekindle cannot read") from error

    def _damaged(self, what: str) -> JournalDamaged:
        return JournalDamaged(
            what,
            where=f"release {self.digest}",
            next_step="Bring the object's earlier version back, or use another release.",
        )


class Releases:
    """Bundles in a store, by digest."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def save(self, release: Release) -> str:
        """Its digest; a bundle that is there already is left as it is."""
        with suppress(AlreadyExists):
            self._store.create(_key(release.digest), release.body)
        return release.digest

    def load(self, digest: str) -> Release:
        """The bundle, verified; Missing if it is not there."""
        release = Release(digest, self._store.get(_key(digest)))
        release.verify()
        return release


def _key(digest: str) -> str:
    return f"releases/{digest}.tar.gz"


def _digest(manifest: Manifest) -> str:
    return digest(manifest.model_dump(mode="json"))


def _declared(root: Path) -> list[str]:
    """Names of all declared files, sorted; InputError for a link, whose target would not travel."""
    names = []
    for file in (file for top in DECLARED for file in _files_of(root / top)):
        name = file.relative_to(root)
        if LEFT_OUT & set(name.parts) or file.suffix in (".pyc", ".swp") or file.name.endswith("~"):
            continue
        if file.is_symlink():
            raise InputError("is a link; a release holds files only", where=str(file), next_step="Put the file itself.")
        names.append(name.as_posix())
    return sorted(names)


def _files_of(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from (file for file in path.rglob("*") if file.is_symlink() or file.is_file())
    elif path.exists():
        yield path


def _file_digest(file: Path, body: bytes) -> FileDigest:
    return FileDigest(sha256=sha256(body).hexdigest(), executable=bool(file.stat().st_mode & 0o100))


def _packed(manifest: Manifest, made_by: MadeBy, files: Mapping[str, bytes]) -> bytes:
    head = {"manifest": manifest.model_dump(mode="json"), "made_by": made_by.model_dump(mode="json")}
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", filename="", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        _add(archive, MANIFEST, json.dumps(head, indent=2, sort_keys=True).encode(), PLAIN)
        for name, body in sorted(files.items()):
            _add(archive, name, body, EXECUTABLE if manifest.files[name].executable else PLAIN)
    return packed.getvalue()


def _add(archive: tarfile.TarFile, name: str, body: bytes, mode: int) -> None:
    member = tarfile.TarInfo(name)  # its owner is 0:0 and its time 0
    member.size, member.mode = len(body), mode
    archive.addfile(member, io.BytesIO(body))


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def _made_by(root: Path) -> MadeBy:
    commit = _git(root, "rev-parse", "HEAD")
    changes = _git(root, "status", "--porcelain", "--", *DECLARED) if commit else None
    return MadeBy(rekindle_version=version("rekindle"), commit=commit, dirty=bool(changes))


def _git(root: Path, *arguments: str) -> str | None:
    """What git says; None where there is no git, or no work tree."""
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
