"""Builds what the packages fetch: a broker, its Java runtime, and the two example services.

Kept by the digest of their inputs, so building again costs a look. Archives of the same inputs
are the same bytes wherever the parts are (jlink's output differs by JDK build).
"""

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
COPY_DEPENDENCIES = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
JAVA_MODULES = (
    "java.base",
    "java.desktop",  # java.beans, which the logger sets its appenders up with
    "java.management",
    "java.naming",
    "java.security.jgss",
    "java.security.sasl",
    "java.sql",
    "jdk.crypto.ec",
    "jdk.unsupported",
)
AGENT_PYTHON = (  # what runs the tasks, whatever Python builds their archives
    "--implementation", "cp",
    "--python-version", "3.11",
    "--platform", "manylinux_2_28_x86_64",
    "--platform", "manylinux_2_17_x86_64",
    "--platform", "manylinux2014_x86_64",
)  # fmt: skip
OUTPUT_LINES = 20


class BuildFailed(Exception):
    """A tool that builds an artifact failed; its last lines of output say why."""


@dataclass(frozen=True)
class Artifact:
    """An archive, the sources it is made from, and how its tree is made."""

    name: str
    inputs: tuple[Path, ...]
    make: Callable[[Path], None]  # fills an empty directory
    tool: tuple[str, ...] = ()  # a command whose output is an input too


def build(out_dir: Path, *, cache: Path | None = None) -> dict[str, Path]:
    """Every artifact in `out_dir`, by name; only what changed since the last time is built."""
    kept = cache or _cache_home() / "rekindle" / "artifacts"
    out_dir.mkdir(parents=True, exist_ok=True)
    return {artifact.name: _placed(_built(artifact, kept), out_dir / artifact.name) for artifact in ARTIFACTS}


def _cache_home() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _placed(source: Path, target: Path) -> Path:
    target.unlink(missing_ok=True)
    shutil.copyfile(source, target)
    return target


def _built(artifact: Artifact, cache: Path) -> Path:
    archive = cache / _key(artifact) / artifact.name
    if not archive.exists():
        archive.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            tree = Path(scratch) / "tree"
            tree.mkdir()
            artifact.make(tree)
            packed = Path(scratch) / artifact.name
            _pack(tree, packed)
            packed.replace(archive)
    return archive


def _key(artifact: Artifact) -> str:
    digest = hashlib.sha256(artifact.name.encode())
    for path in sorted(file for entry in artifact.inputs for file in _files(entry)):
        digest.update(str(path.relative_to(SOURCE)).encode())
        digest.update(path.read_bytes())
    if artifact.tool:
        digest.update(_run(*artifact.tool).encode())
    return digest.hexdigest()[:32]


def _files(entry: Path) -> Iterator[Path]:
    if entry.is_file():
        yield entry
    yield from (p for p in entry.rglob("*") if p.is_file() and "__pycache__" not in p.parts)


def _pack(tree: Path, archive: Path) -> None:
    """A tar.gz with nothing of the moment in it: no times, no owners, a sorted order."""
    with (
        archive.open("wb") as raw,
        gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1, mtime=0, filename="") as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for path in sorted(tree.rglob("*")):
            tar.add(path, arcname=str(path.relative_to(tree)), recursive=False, filter=_timeless)


def _timeless(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.mtime = entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = "\n".join((done.stdout + done.stderr).splitlines()[-OUTPUT_LINES:])
        raise BuildFailed(f"{command[0]} ended with {done.returncode}:\n{lines}")
    return done.stdout + done.stderr


def _make_kafka(tree: Path) -> None:
    pom = SOURCE / "tools" / "kafka" / "pom.xml"
    libs = tree / "kafka" / "libs"
    _run("mvn", "-q", "-B", "-f", str(pom), COPY_DEPENDENCIES, "-DincludeScope=runtime", f"-DoutputDirectory={libs}")
    for part in ("bin", "config"):
        shutil.copytree(pom.parent / part, tree / "kafka" / part)


def _make_jre(tree: Path) -> None:
    jre = tree / "jre"
    plain = ("--strip-debug", "--no-header-files", "--no-man-pages", "--compress=0")
    _run("jlink", "--add-modules", ",".join(JAVA_MODULES), *plain, "--output", str(jre))
    _run(str(jre / "bin" / "java"), "-Xshare:dump")  # shared classes: a third off the start


def _make_orders(tree: Path) -> None:
    project = SOURCE / "examples" / "orders"
    requirements = str(project / "requirements.txt")
    pip = (sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-compile", "--only-binary", ":all:")
    _run(*pip, *AGENT_PYTHON, "--target", str(tree / "orders"), "-r", requirements)
    _copy_module(project / "orders", tree / "orders" / "orders")


def _make_edge(tree: Path) -> None:
    _copy_module(SOURCE / "examples" / "edge" / "edge", tree / "edge" / "edge")


def _copy_module(source: Path, target: Path) -> None:
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))


ARTIFACTS = (
    Artifact(name="kafka.tgz", inputs=(SOURCE / "tools" / "kafka",), make=_make_kafka),
    Artifact(name="jre.tgz", inputs=(Path(__file__).resolve(),), make=_make_jre, tool=("jlink", "--version")),
    Artifact(name="orders.tgz", inputs=(SOURCE / "examples" / "orders", Path(__file__).resolve()), make=_make_orders),
    Artifact(name="edge.tgz", inputs=(SOURCE / "examples" / "edge",), make=_make_edge),
)
