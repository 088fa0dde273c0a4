"""The folder that a replay works in: a release, whole, and the settings of the environment that it builds."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from rekindle.errors import InputError
from rekindle.journal.release import Release

MARK = ".rekindle-release"  # in an unpacked release: its digest
BYTECODE = "__pycache__"
OWNER_MAY_RUN = 0o100


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A release unpacked for building one environment; its program is run, so every byte must be the release's."""

    path: Path
    release: Release
    settings: str  # "stacks/Pulumi.dev-dr.yaml": what a replay, and the operator who was told to, may change

    def unpack(self) -> None:
        """The release is in the folder, whole; settings that a replay wrote are kept.

        InputError if it holds something else, or a file of it was altered, added or taken away.
        """
        if self._is_of_this_release():
            self._forget_bytecode()
            self._require_whole()
            return
        if self.path.exists() and any(self.path.iterdir()):
            raise self._foreign("it holds something else than this release")
        aside = self.path.with_name(f".{self.path.name}.unpacking")
        shutil.rmtree(aside, ignore_errors=True)
        self.release.unpack(aside)
        (aside / MARK).write_text(self.release.digest)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        aside.rename(self.path)

    @contextmanager
    def copied(self) -> Iterator["Folder"]:
        """The same in a folder of its own, which is gone afterwards; settings that stand in this one count there."""
        with TemporaryDirectory(prefix="rekindle-replay-") as made:
            copy = Folder(path=Path(made) / "release", release=self.release, settings=self.settings)
            copy.unpack()
            if self._is_of_this_release():
                self._require_whole()
                shutil.copyfile(self.path / self.settings, copy.path / self.settings)
            yield copy

    def _require_whole(self) -> None:
        """InputError names the first file that is not as in the release."""
        for name, what in self._differences():
            raise self._foreign(f"{name} {what}")

    def _forget_bytecode(self) -> None:
        """Nobody can vouch for it, and Python makes it again."""
        for cache in [found for found in self.path.rglob(BYTECODE) if found.is_dir() and not found.is_symlink()]:
            shutil.rmtree(cache)

    def _is_of_this_release(self) -> bool:
        mark = self.path / MARK
        return mark.is_file() and mark.read_bytes() == self.release.digest.encode()

    def _differences(self) -> Iterator[tuple[str, str]]:
        """Names of files, and what is wrong with them."""
        named = self.release.files
        found = {path.relative_to(self.path).as_posix(): path for path in sorted(self.path.rglob("*"))}
        for name, path in found.items():
            if BYTECODE in name.split("/")[:-1]:
                continue
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                yield name, "is no file"
            elif path.is_file() and name not in named and name not in (MARK, self.settings):
                yield name, "is not in this release"
        for name, told in named.items():
            path = self.path / name
            if not path.is_file():
                yield name, "is missing"
            elif name == self.settings:
                continue
            elif sha256(path.read_bytes()).hexdigest() != told.sha256:
                yield name, "was altered"
            elif bool(path.stat().st_mode & OWNER_MAY_RUN) != told.executable:
                yield name, "has another mode"

    def _foreign(self, what: str) -> InputError:
        return InputError(
            what,
            where=str(self.path),
            next_step=f"Mend it, or move the folder away (keep {self.settings} if you changed it); then run it again.",
        )
