"""Releases: what was declared when a command ran, as one content-addressed bundle.

The digest is that of the manifest, which names each file by its own digest: it does not depend on who
packed the bundle, when, or with which version of zlib. The commit is not part of it either, so that a
plan made on a branch still holds on the commit that merges it; the journal's entry names the commit.

What is executed is sealed: each environment keeps beside a bundle a document under its own key that names the
bundle's bytes by SHA-256. No byte is decompressed before that holds, nor more than a bundle may have after it.
"""

import gzip
import io
import json
import re
import subprocess
import tarfile
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal, cast

from pydantic import Field, JsonValue, ValidationError

from rekindle.errors import InputError, JournalDamaged
from rekindle.journal.entries import Frozen, ReleaseEntry
from rekindle.journal.seal import damaged, digest_of, seal, unseal
from rekindle.journal.store import AlreadyExists, Missing, Store
from rekindle.plan import canonical, digest
from rekindle.secrets import Keyring

DECLARED = ("Pulumi.yaml", "stacks", "roles", "packages")
LEFT_OUT = frozenset({"__pycache__", ".git", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".DS_Store"})
MANIFEST = "manifest.json"
EXECUTABLE, PLAIN = 0o755, 0o644

# Far above what declared data needs (this project's own bundle has 60 files and 100 KiB), far below what hurts.
MOST_PACKED = 32 * 1024**2
MOST_UNPACKED = 128 * 1024**2
MOST_FILES = 10_000
DIGEST = re.compile(r"[0-9a-f]{64}")


class Artifact(Frozen):
    """Something fetched from elsewhere, known by its digest."""

    name: str  # file name
    url: str  # where it was fetched from; empty for what was generated
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0)
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
    """Who first packed a bundle; told beside it, not part of its digest."""

    rekindle_version: str
    commit: str | None = None  # None: not a git work tree
    dirty: bool = False


class Sealed(Frozen):
    """What an environment's key says of a release: the bytes that are its bundle, and who made it."""

    bundle: str = Field(pattern=r"^[0-9a-f]{64}$")  # SHA-256 of the packed bytes
    size: int = Field(ge=0, le=MOST_PACKED)
    made_by: MadeBy


@dataclass(frozen=True)
class Release:
    """A bundle: `digest` names its content, whatever packed it and when."""

    digest: str
    body: bytes  # tar.gz
    made_by: MadeBy

    @classmethod
    def of(
        cls, root: Path, *, artifacts: Sequence[Artifact] = (), values: Mapping[str, Any] | None = None
    ) -> "Release":
        """The release that a project's folder declares; deterministic."""
        files = {name: _read(root / name) for name in _declared(root)}
        _require_fitting(root, files)
        manifest = Manifest(
            files={name: _file_digest(root / name, body) for name, body in files.items()},
            artifacts=tuple(sorted(artifacts, key=lambda artifact: (artifact.name, artifact.sha256))),
            values=json.loads(canonical(values or {})),
        )
        return cls(_digest(manifest), _packed(manifest, files), _made_by(root))

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        return self._manifest.artifacts

    @property
    def files(self) -> Mapping[str, FileDigest]:
        """What the manifest says of each file, by its name in the project's folder."""
        return self._manifest.files

    @property
    def values(self) -> Mapping[str, Any]:
        return self._manifest.values

    def entry(self, command: str) -> ReleaseEntry:
        """The journal's word for working from this release."""
        return ReleaseEntry(release=self.digest, command=command, **self.made_by.model_dump())

    def verify(self) -> None:
        """JournalDamaged unless each file has the digest that the manifest says, and the manifest the release's."""
        if self._manifest_digest != self.digest:
            raise self._damaged("its manifest was altered")
        named = {name: file.sha256 for name, file in self._manifest.files.items()}
        found = {name: digest_of(body) for name, body in self._files.items()}
        if odd := sorted({name for name, _ in named.items() ^ found.items()}):
            raise self._damaged(f"these files are not as the manifest says: {', '.join(odd[:5])}")
        if outside := sorted(name for name in named if not _is_declared(name, named.keys())):
            raise self._damaged(f"these files are not a project's: {', '.join(outside[:5])}")

    def unpack(self, into: Path) -> None:
        """Writes Pulumi.yaml, stacks/, roles/, packages/ into a folder."""
        self.verify()
        try:
            for name, body in self._files.items():
                _write(into / name, body, EXECUTABLE if self._manifest.files[name].executable else PLAIN)
        except OSError as error:
            raise InputError(
                f"release {self.digest[:12]} cannot be unpacked: {error.strerror}",
                where=str(error.filename or into),
                next_step="Make room, or choose another folder, and run the same command again.",
            ) from error

    @cached_property
    def _members(self) -> dict[str, bytes]:
        members: dict[str, bytes] = {}
        try:
            with (
                gzip.GzipFile(fileobj=io.BytesIO(self.body)) as unzipped,
                tarfile.open(fileobj=cast(IO[bytes], _Bounded(unzipped)), mode="r|") as archive,
            ):
                for member in archive:
                    if not member.isreg() or member.issparse() or member.name in members or len(members) > MOST_FILES:
                        raise self._damaged(f"holds what no bundle may: {member.name[:100]!r}")
                    stream = archive.extractfile(member)
                    members[member.name] = stream.read() if stream else b""
        except _Excess as error:
            raise self._damaged(f"has more than {MOST_UNPACKED} bytes unpacked") from error
        except (OSError, EOFError, tarfile.TarError, zlib.error, ValueError, OverflowError, RecursionError) as error:
            raise self._damaged("is torn") from error
        return members

    @cached_property
    def _files(self) -> dict[str, bytes]:
        return {name: body for name, body in self._members.items() if name != MANIFEST}

    @cached_property
    def _manifest(self) -> Manifest:
        if MANIFEST not in self._members:
            raise self._damaged("has no manifest")
        try:
            return Manifest.model_validate(json.loads(self._members[MANIFEST]))
        except (ValueError, RecursionError) as error:
            raise self._damaged("has a manifest that this version of Rekindle cannot read") from error

    @property
    def _manifest_digest(self) -> str:
        try:
            return _digest(self._manifest)
        except ValueError as error:  # half a character
            raise self._damaged("has a manifest that is not text") from error

    def _damaged(self, what: str) -> JournalDamaged:
        return JournalDamaged(
            what,
            where=f"release {self.digest}",
            next_step="Bring the object's earlier version back, or use another release.",
        )


@dataclass(frozen=True, kw_only=True)
class Releases:
    """Releases of one environment in a store, by digest; their bundles by their own."""

    store: Store
    environment: str
    keyring: Keyring

    def save(self, release: Release) -> str:
        """Its digest, once what is kept under it opens, be it of this command or of an earlier one."""
        bundle = digest_of(release.body)
        sealed = Sealed(bundle=bundle, size=len(release.body), made_by=release.made_by)
        self._keep(_bundle_key(bundle), release.body)
        key = self._key(release.digest)
        self._keep(key, seal(self.keyring, key, sealed.model_dump(mode="json")))
        self.load(release.digest)
        return release.digest

    def load(self, digest: str) -> Release:
        """The release, verified before and after it is decompressed; Missing if it is not there."""
        sealed = self._sealed(self._key(digest))
        body = self._bundle(sealed)
        release = Release(digest, body, sealed.made_by)
        release.verify()
        return release

    def _keep(self, key: str, body: bytes) -> None:
        with suppress(AlreadyExists):
            self.store.create(key, body)

    def _sealed(self, key: str) -> Sealed:
        try:
            return Sealed.model_validate(unseal(self.keyring, key, self.store.get(key)))
        except ValidationError as error:
            raise damaged(key, "says of a release what this version of Rekindle cannot read") from error

    def _bundle(self, sealed: Sealed) -> bytes:
        key = _bundle_key(sealed.bundle)
        try:
            body = self.store.get(key)
        except Missing as error:
            raise damaged(key, "is missing") from error
        if (len(body), digest_of(body)) != (sealed.size, sealed.bundle):
            raise damaged(key, "is not the bundle that was sealed: nothing of it was unpacked")
        return body

    def _key(self, digest: str) -> str:
        if not DIGEST.fullmatch(digest):
            raise InputError(f"{digest[:100]!r} is no digest of a release", where=f"releases of {self.environment}")
        return f"releases/{self.environment}/{digest}.json"


class _Excess(Exception):
    """More was unpacked than a bundle may hold."""


class _Bounded:
    """A stream that gives no more bytes than a bundle may hold."""

    def __init__(self, stream: gzip.GzipFile) -> None:
        self._stream = stream
        self._left = MOST_UNPACKED

    def read(self, size: int) -> bytes:
        piece = self._stream.read(min(size, self._left + 1))
        self._left -= len(piece)
        if self._left < 0:
            raise _Excess
        return piece


def _bundle_key(bundle: str) -> str:
    return f"bundles/{bundle}.tar.gz"


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
        names.append(_in_text(name.as_posix(), file))
    return sorted(names)


def _files_of(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from (file for file in path.rglob("*") if file.is_symlink() or file.is_file())
    elif path.exists():
        yield path


def _in_text(name: str, file: Path) -> str:
    if not name.isprintable():
        raise InputError("has a name that is not plain text", where=repr(str(file)), next_step="Rename the file.")
    return name


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror}", where=str(file), next_step="A release holds it: make it readable."
        ) from error


def _require_fitting(root: Path, files: Mapping[str, bytes]) -> None:
    """What is packed must be opened again: InputError names what makes it too large."""
    total = sum(map(len, files.values())) + 2048 * len(files)  # each with its headers
    if len(files) >= MOST_FILES or total > MOST_UNPACKED // 2:
        largest = max(files, key=lambda name: len(files[name]))
        raise InputError(
            f"{len(files)} files with {total} bytes are too much for a release; the largest is {largest}",
            where=str(root),
            next_step="Keep only what is declared there; what services fetch belongs among their artifacts.",
        )


def _write(file: Path, body: bytes, mode: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(body)
    file.chmod(mode)


def _file_digest(file: Path, body: bytes) -> FileDigest:
    return FileDigest(sha256=sha256(body).hexdigest(), executable=bool(file.stat().st_mode & 0o100))


def _packed(manifest: Manifest, files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", filename="", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        _add(archive, MANIFEST, canonical(manifest.model_dump(mode="json")), PLAIN)
        for name, body in sorted(files.items()):
            _add(archive, name, body, EXECUTABLE if manifest.files[name].executable else PLAIN)
    return packed.getvalue()


def _add(archive: tarfile.TarFile, name: str, body: bytes, mode: int) -> None:
    member = tarfile.TarInfo(name)  # its owner is 0:0 and its time 0
    member.size, member.mode = len(body), mode
    archive.addfile(member, io.BytesIO(body))


def _is_declared(name: str, names: Collection[str]) -> bool:
    """Whether it is a plain name in what a project declares, and no other file's folder."""
    path = PurePosixPath(name)
    return (
        path.as_posix() == name
        and name.isprintable()
        and name.partition("/")[0] in DECLARED
        and ".." not in path.parts
        and not any(parent.as_posix() in names for parent in path.parents)
    )


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
