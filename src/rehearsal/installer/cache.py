"""Keeps what was built, by the digest of what went in."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path


def directory() -> Path:
    """Where builds are kept: `${XDG_CACHE_HOME:-~/.cache}/rekindle/installer`."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "rekindle" / "installer"


def digest(parts: Iterable[bytes | str]) -> str:
    """One digest of several inputs."""
    found = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        found.update(len(data).to_bytes(8, "big") + data)
    return found.hexdigest()[:40]


def tree_digest(root: Path) -> str:
    """The digest of a directory's files: names, modes and contents."""
    parts: list[bytes | str] = []
    for path in sorted(root.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            parts += [str(path.relative_to(root)), f"{path.stat().st_mode & 0o111:o}", path.read_bytes()]
    return digest(parts)


def kept(name: str, key: str, make: Callable[[Path], None]) -> Path:
    """The directory made for a key; made at most once, and whole or not at all."""
    target = directory() / f"{name}-{key}"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{name}-"))
    try:
        part.chmod(0o755)
        make(part)
        try:
            part.rename(target)
        except OSError:  # another process was first
            if not target.exists():
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return target
