"""The rooms that faults are planted in, and the unit tests that stand for each: those that import it."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

LOSING = ("journal", "backup", "replay", "plan", "operation", "secrets")
"""Where a mistake loses data."""


@dataclass(frozen=True)
class Room:
    """A room of rekindle, one of rehearsal (rehearsal/region), or stacks."""

    root: Path
    name: str

    @cached_property
    def modules(self) -> list[Path]:
        """Of this checkout, relative to it."""
        base = self.root / ("stacks" if self.name == "stacks" else f"src/{self._package}")
        found = [base.with_suffix(".py")] if base.with_suffix(".py").exists() else sorted(base.rglob("*.py"))
        return [path.relative_to(self.root) for path in found]

    @cached_property
    def tests(self) -> list[Path]:
        """Its own folder's first, since those notice soonest; then all others that import it."""
        concerned = [path for path in _test_files(self.root) if any(map(self._is_mine, _imported(self.root, path)))]
        return sorted(concerned, key=lambda path: (self.name.split("/")[-1] not in path.as_posix(), path))

    @property
    def _package(self) -> str:
        return self.name if self.name.startswith("rehearsal/") else f"rekindle/{self.name}"

    def _is_mine(self, module: str) -> bool:
        mine = "components" if self.name == "stacks" else self._package.replace("/", ".")
        return f"{module}.".startswith(f"{mine}.")


def rooms_of(root: Path) -> list[Room]:
    """All of them, those where a mistake loses data first."""
    names = sorted(_rooms_in(root / "src/rekindle"), key=lambda name: (name not in LOSING, name))
    stage = [f"rehearsal/{name}" for name in sorted(_rooms_in(root / "src/rehearsal"))]
    return [Room(root, name) for name in (*names, "stacks", *stage)]


def _rooms_in(library: Path) -> Iterator[str]:
    for path in library.iterdir():
        if not path.name.startswith("_") and (path.suffix == ".py" or (path / "__init__.py").exists()):
            yield path.stem


def _test_files(root: Path) -> list[Path]:
    aside = {"integration", "mutation"}
    return [p.relative_to(root) for p in sorted((root / "tests").rglob("test_*.py")) if p.parent.name not in aside]


def _imported(root: Path, path: Path) -> set[str]:
    """Every module that a test file imports, itself or by its conftest and by what lies beside it."""
    beside = {p.stem: p.relative_to(root) for p in (root / path).parent.glob("*.py")}
    left, seen, found = [path.stem, "conftest"], set(), set()
    while left:
        stem = left.pop()
        if stem in beside and stem not in seen:
            seen.add(stem)
            names = set(_names(root / beside[stem]))
            found |= names
            left += names
    return found


def _names(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
