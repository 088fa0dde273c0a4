"""The one kernel setting that is not inside a namespace, raised while any stage is up."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rehearsal.region.stage import Stage

_SETTING = Path("/proc/sys/fs/inotify/max_user_instances")
_SHARED = Path("/run/rekindle-rehearsal-shared")
_NEEDED = 8192
"""Twenty systemd machines exhaust the default of 128."""


def raise_limits(stage: Stage) -> None:
    """The setting is high enough; its first value is kept for `restore_limits`."""
    with _locked():
        (_SHARED / "users" / stage.name).touch()
        before = int(_SETTING.read_text())
        if before < _NEEDED:
            (_SHARED / "before").write_text(str(before))
            _SETTING.write_text(str(_NEEDED))


def restore_limits(stage: Stage) -> None:
    """The setting is what it was, unless another stage is up; repeatable."""
    if not _SHARED.is_dir():
        return
    with _locked():
        (_SHARED / "users" / stage.name).unlink(missing_ok=True)
        kept = _SHARED / "before"
        if not any((_SHARED / "users").iterdir()):
            if kept.exists():
                _SETTING.write_text(kept.read_text())
                kept.unlink()
            (_SHARED / "users").rmdir()
            (_SHARED / "lock").unlink()
            _SHARED.rmdir()


@contextmanager
def _locked() -> Iterator[None]:
    (_SHARED / "users").mkdir(parents=True, exist_ok=True)
    with (_SHARED / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
