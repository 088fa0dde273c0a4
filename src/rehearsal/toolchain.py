"""Where the Pulumi CLI and its plugins are, and the environment in which they run without a network.

On AWS people have the official CLI and plugins. Here the AWS provider, and where it is absent the
language host, are launchers in a directory that only this module puts on PATH, so that they can
never stand before the official ones by accident.
"""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_PLUGINS: Final = {
    "pulumi-resource-aws": "rehearsal.provider",
    "pulumi-language-python": "rehearsal.language_host",
}


def cache() -> Path:
    """Where tools that take long to make are kept: `${XDG_CACHE_HOME:-~/.cache}/rekindle`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rekindle"


def plugins() -> Path:
    """The directory of the plugins' launchers, written if they are not as they should be."""
    directory = Path(sys.prefix) / "libexec" / "rekindle-rehearsal"
    directory.mkdir(parents=True, exist_ok=True)
    for name, module in _PLUGINS.items():
        _place(directory / name, f'#!/bin/sh\nexec {sys.executable} -m {module} "$@"\n')
    return directory


def environ(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables for running `pulumi` offline: `base` (default: this process's) with PATH and PULUMI_* set."""
    given = dict(os.environ if base is None else base)
    path = [str(plugins()), given.get("PATH", os.defpath), str(cache() / "bin")]
    given["PATH"] = os.pathsep.join([str(Path(sys.prefix) / "bin"), *path])
    given.setdefault("PULUMI_HOME", str(cache() / "pulumi-home"))
    given.setdefault("PULUMI_CONFIG_PASSPHRASE", "")
    return given | {
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_AUTOMATION_API_SKIP_VERSION_CHECK": "true",
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": str(cache() / "bytecode"),  # beside no source: what is declared stays as it is
    }


def pulumi(base: Mapping[str, str] | None = None) -> Path:
    """The CLI that `environ` finds; FileNotFoundError says how to get one."""
    found = shutil.which("pulumi", path=environ(base)["PATH"])
    if found is None:
        raise FileNotFoundError("no pulumi on PATH: run scripts/install-pulumi")
    return Path(found)


def _place(file: Path, text: str) -> None:
    if file.exists() and file.read_text() == text:
        return
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fresh.write_text(text)
    fresh.chmod(0o755)
    fresh.replace(file)
