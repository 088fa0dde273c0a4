"""Builds `dcos_generate_config.sh`: a shell script with the packages of a cluster behind it."""

from __future__ import annotations

import compileall
import io
import json
import lzma
import shutil
import sys
import tarfile
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from py_compile import PycInvalidationMode

from rehearsal.installer import cache, payload

NAME = "dcos_generate_config.sh"
XZ_PRESET = 0
# Which packages only some roles need; the others go to every node.
ROLES = {"zookeeper": ["master"]}
EPOCH = 1_600_000_000


def build(out_dir: Path) -> Path:
    """The archive, in the directory; the same inputs give the same bytes, and are built once."""
    out_dir.mkdir(parents=True, exist_ok=True)
    packages = [_zookeeper(), _python(), _cluster()]
    header = file_text("header.sh")
    key = cache.digest([header, *(package.name for package in packages)])
    built = cache.kept("archive", key, lambda target: _write(target / NAME, header, packages))
    result = out_dir / NAME
    shutil.copy(built / NAME, result)
    result.chmod(0o755)
    return result


def file_text(name: str) -> str:
    """One of the files that the installer carries."""
    return (resources.files("rehearsal.installer") / "files" / name).read_text()


def _write(target: Path, header: str, packages: list[Path]) -> None:
    with target.open("wb") as file:
        file.write(header.encode())
        with tarfile.open(fileobj=file, mode="w") as archive:
            for package in packages:
                archive.add(package, f"packages/{package.name}", filter=_plain)


def _zookeeper() -> Path:
    java, zookeeper = payload.java(), payload.zookeeper()

    def make(root: Path) -> None:
        shutil.copytree(java / "jre", root / "jre")
        shutil.copytree(zookeeper / "lib", root / "lib")
        _units(root / "dcos.target.wants_master", {
            "dcos-exhibitor": ("Exhibitor: ZooKeeper", "zookeeper", "simple", "", "")})  # fmt: skip

    return _package("zookeeper", cache.digest([java.name, zookeeper.name, file_text("unit.service"), _recipe()]), make)


def _python() -> Path:
    libraries = payload.python_libraries()

    def make(root: Path) -> None:
        shutil.copytree(libraries / "lib", root / "lib")
        _compile(root / "lib")

    return _package("python", cache.digest([libraries.name, _recipe()]), make)


def _cluster() -> Path:
    source = Path(str(resources.files("rehearsal")))
    key = cache.digest([cache.tree_digest(source / "cluster"), cache.tree_digest(source / "installer")])
    return _package("cluster", key, _make_cluster)


def _make_cluster(root: Path) -> None:
    payload.own_code(root / "lib")
    _compile(root / "lib")
    (root / "bin").mkdir()
    for name in ("dcos-node", "dcos-check-runner"):
        script = root / "bin" / name
        script.write_text(file_text(name))
        script.chmod(0o755)
    net = {"dcos-net": ("DC/OS Net: names and virtual addresses", "net", "notify", "", "")}
    _units(root / "dcos.target.wants", net)
    _units(root / "dcos.target.wants_master", {
        "dcos-master": ("DC/OS Master: Mesos, Marathon, Cosmos, IAM, Admin Router", "master", "notify",
                        "dcos-exhibitor.service dcos-net.service", "")})  # fmt: skip
    agent = ("Mesos Agent", "agent", "notify", "dcos-net.service", "KillMode=mixed")
    _units(root / "dcos.target.wants_slave", {"dcos-mesos-slave": agent})
    _units(root / "dcos.target.wants_slave_public", {"dcos-mesos-slave-public": agent})


def _units(directory: Path, units: dict[str, tuple[str, str, str, str, str]]) -> None:
    directory.mkdir(parents=True)
    for name, (description, process, kind, after, more) in units.items():
        values = {"description": description, "process": process, "type": kind, "after": after, "more": more}
        (directory / f"{name}.service").write_text(filled(file_text("unit.service"), values))


def filled(template: str, values: dict[str, str]) -> str:
    """A template with each `@name@` replaced."""
    for name, value in values.items():
        template = template.replace(f"@{name}@", value)
    return template


def _compile(root: Path) -> None:
    """Spare the nodes the compilation, where this Python writes what theirs reads."""
    if sys.version_info[:2] == payload.NODE_PYTHON:
        compileall.compile_dir(root, quiet=2, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH, workers=1)


def _package(name: str, key: str, make: Callable[[Path], None]) -> Path:
    """`<name>--<id>.tar.xz` as pkgpanda names packages."""
    filename = f"{name}--{key}.tar.xz"

    def write(target: Path) -> None:
        root = target / "root"
        root.mkdir()
        make(root)
        compress(root, target / filename)
        shutil.rmtree(root)

    return cache.kept(f"package-{name}", key, write) / filename


def compress(root: Path, target: Path) -> None:
    """A directory as tar.xz: quickly, for the stage's machines are small."""
    with lzma.open(target, "wb", preset=XZ_PRESET) as stream, tarfile.open(fileobj=stream, mode="w") as archive:
        for path in sorted(root.iterdir()):
            archive.add(path, path.name, filter=_plain)


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    info.mtime = EPOCH
    return info


def _recipe() -> str:
    return f"xz{XZ_PRESET} python{sys.version_info[:2]} {json.dumps(ROLES)}"


def tar_of(files: dict[str, tuple[bytes, int]]) -> bytes:
    """A tar.xz of files given as name → (content, mode)."""
    buffer = io.BytesIO()
    with lzma.open(buffer, "wb", preset=XZ_PRESET) as stream, tarfile.open(fileobj=stream, mode="w") as archive:
        for name, (content, mode) in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(content), mode, EPOCH
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()
