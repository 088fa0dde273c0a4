"""What a node needs and Debian's base does not have: a Java runtime, ZooKeeper, Python libraries, our own code."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import rehearsal
from rehearsal.installer import cache

NODE_PYTHON = (3, 11)
JAVA_MODULES = ("java.base", "java.logging", "java.management", "java.naming", "java.security.jgss",
                "java.security.sasl", "java.xml", "jdk.unsupported")  # fmt: skip
# Debian 12's ZooKeeper 3.8 and the libraries its server really loads.
DEBIAN_PACKAGES = ("libzookeeper-java", "libslf4j-java", "libdropwizard-metrics-java", "libsnappy-java",
                   "libcommons-io-java", "libnetty-java")  # fmt: skip
JARS = ("zookeeper", "zookeeper-jute", "slf4j-api", "slf4j-nop", "metrics-core", "snappy-java", "netty-handler",
        "netty-common", "netty-buffer", "netty-transport", "commons-io")  # fmt: skip
PYTHON_DISTRIBUTIONS = ("aiohttp", "kazoo", "dnslib", "chevron", "jsonschema", "cryptography", "pyjwt", "pyyaml")
NOT_NEEDED = re.compile(r"(^|/)(tests?|testing|__pycache__)/|\.(pyi|pyx|pxd|c|h)$|(^|/)bin/|^\.\./")


class PayloadError(Exception):
    """A part of the archive cannot be had here; says which and what would help."""


def java() -> Path:
    """A Java 17 runtime of the modules that ZooKeeper uses, with shared class data."""
    jlink = shutil.which("jlink")
    if jlink is None:
        raise PayloadError("jlink is missing: install openjdk-17-jdk-headless")
    release = _run(jlink, "--version").strip()
    return cache.kept("java", cache.digest([release, *JAVA_MODULES]), lambda target: _make_java(jlink, target))


def _make_java(jlink: str, target: Path) -> None:
    runtime = target / "jre"
    _run(jlink, "--add-modules", ",".join(JAVA_MODULES), "--strip-debug", "--no-header-files", "--no-man-pages",
         "--compress=0", "--output", str(runtime))  # fmt: skip
    if shutil.which("strip"):
        for library in runtime.rglob("*.so"):
            _run("strip", "--strip-unneeded", str(library))
    _run(str(runtime / "bin" / "java"), "-Xshare:dump")


def zookeeper() -> Path:
    """ZooKeeper's jars."""
    return cache.kept("zookeeper", cache.digest([*DEBIAN_PACKAGES, *JARS]), _make_zookeeper)


def _make_zookeeper(target: Path) -> None:
    download, unpacked = target / "download", target / "unpacked"
    download.mkdir()
    _run("apt-get", "download", *DEBIAN_PACKAGES, cwd=download)
    for package in sorted(download.glob("*.deb")):
        _run("dpkg-deb", "-x", str(package), str(unpacked))
    (target / "lib").mkdir()
    for name in JARS:
        shutil.copy((unpacked / "usr/share/java" / f"{name}.jar").resolve(), target / "lib" / f"{name}.jar")
    shutil.rmtree(download)
    shutil.rmtree(unpacked)


def python_libraries() -> Path:
    """The libraries that the cluster's code imports, for the nodes' Python."""
    found = _closure(PYTHON_DISTRIBUTIONS)
    pins = sorted(f"{one.metadata['Name']}=={one.version}" for one in found)
    key = cache.digest([*pins, str(sys.version_info[:2] == NODE_PYTHON)])
    return cache.kept("python", key, lambda target: _make_python(found, pins, target))


def _make_python(found: list[importlib.metadata.Distribution], pins: list[str], target: Path) -> None:
    libraries = target / "lib"
    libraries.mkdir()
    if sys.version_info[:2] == NODE_PYTHON:
        for distribution in found:
            _copy(distribution, libraries)
    else:
        version = ".".join(map(str, NODE_PYTHON))
        _run(sys.executable, "-m", "pip", "install", "--quiet", "--target", str(libraries), "--no-deps",
             "--only-binary=:all:", "--python-version", version, "--implementation", "cp",
             "--platform", "manylinux2014_x86_64", "--platform", "manylinux_2_28_x86_64", *pins)  # fmt: skip


def _closure(names: tuple[str, ...]) -> list[importlib.metadata.Distribution]:
    """The distributions and all that they require here, without extras."""
    waiting, known = list(names), {}
    while waiting:
        name = _canonical(waiting.pop())
        if name in known:
            continue
        try:
            known[name] = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            raise PayloadError(f"the Python package {name} is missing: pip install 'rekindle[rehearsal]'") from None
        waiting += [requirement for text in known[name].requires or [] if (requirement := _required(text))]
    return [known[name] for name in sorted(known)]


def _required(text: str) -> str | None:
    """The name in a requirement, unless its marker rules it out for Python 3.11 on Linux."""
    requirement, _, marker = text.partition(";")
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    is_other_python = "platform_python_implementation" in marker and "!=" not in marker
    if name is None or "extra ==" in marker or is_other_python:
        return None
    limit = re.search(r"python_(?:full_)?version\s*<\s*['\"](\d+)\.(\d+)", marker)
    if limit and (int(limit[1]), int(limit[2])) <= NODE_PYTHON:
        return None
    return None if "win32" in marker else name.group(0)


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _copy(distribution: importlib.metadata.Distribution, target: Path) -> None:
    for file in distribution.files or []:
        if NOT_NEEDED.search(str(file)):
            continue
        source = Path(str(distribution.locate_file(file)))
        if source.is_file():
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target / file)


def own_code(target: Path) -> None:
    """The cluster's own modules, and the configuration generator's."""
    source = Path(next(iter(rehearsal.__path__)))
    for name in ("__init__.py", "cluster", "installer"):
        path = source / name
        destination = target / "rehearsal" / name
        if path.is_dir():
            shutil.copytree(path, destination, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, destination)


def _run(*command: str, cwd: Path | None = None) -> str:
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PayloadError(f"{' '.join(command[:3])} exited with {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout
