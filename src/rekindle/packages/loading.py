"""packages/ as typed values: package.yaml, values by environment, the order of needs."""

import json
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from rekindle.errors import InputError
from rekindle.packages.merging import merged
from rekindle.packages.schema import NAME, InstanceSpec, PackageSpec
from rekindle.packages.universe import Universe
from rekindle.parsing import mapping, nearest, parse, read_yaml, shown


@dataclass(frozen=True)
class Package:
    """One folder of packages/, with its values for one environment."""

    name: str
    folder: Path
    spec: PackageSpec
    values: Mapping[str, Any]
    universe: Universe | None  # of kind universe

    @property
    def instances(self) -> tuple[InstanceSpec, ...]:
        """Its installations; one of the package's own name unless it says otherwise."""
        return self.spec.instances or (InstanceSpec(name=self.name),)

    @property
    def template(self) -> Path:
        """The file that gives options (universe) or the app."""
        return self.folder / ("options.json.j2" if self.spec.kind == "universe" else "app.json.j2")

    @property
    def where(self) -> str:
        return str(self.folder / "package.yaml")


def load(root: Path, environment: str, values: Mapping[str, Any] | None = None) -> tuple[Package, ...]:
    """Every package under `root`, each after what it needs; InputError names what is wrong, and where.

    `values` are the environment's own, which a package's values go over.
    """
    folders = sorted(path.parent for path in root.glob("*/package.yaml"))
    if not folders:
        raise InputError("there is no package here", where=str(root))
    packages = {folder.name: load_one(folder, environment, values or {}) for folder in folders}
    _check_artifacts(list(packages.values()))
    return tuple(packages[name] for name in _ordered(packages))


def load_one(folder: Path, environment: str, values: Mapping[str, Any]) -> Package:
    """One package with its values for an environment."""
    _check_name(folder)
    spec = parse(PackageSpec, read_yaml(folder / "package.yaml"), where=str(folder / "package.yaml"))
    universe = Universe.load(folder / "universe") if spec.kind == "universe" else None
    package = Package(folder.name, folder, spec, merged(values, _values(folder, environment)), universe)
    if not package.template.exists():
        raise InputError(f"a package of kind {spec.kind} needs {package.template.name}", where=str(folder))
    return package


def _check_name(folder: Path) -> None:
    """A package's name is its folder's, and that of its app unless it names installations."""
    if not re.fullmatch(NAME, folder.name):
        raise InputError(
            f"{shown(folder.name)} is no name of a package: it has lower-case letters, digits and hyphens, "
            "and begins and ends with a letter or digit",
            where=str(folder),
            next_step="Rename the folder.",
        )


def holders(packages: Iterable[Package], volumes: Container[str]) -> frozenset[str]:
    """App ids of the installations whose volume is among these, by name."""
    return frozenset(f"/{i.name}" for p in packages for i in p.instances if i.volume in volumes)


def _values(folder: Path, environment: str) -> dict[str, Any]:
    """values.yaml, and over it values/<environment>.yaml, which may set only what values.yaml knows."""
    base_file, own_file = folder / "values.yaml", folder / "values" / f"{environment}.yaml"
    base = _mapping(base_file) if base_file.exists() else {}
    own = _mapping(own_file) if own_file.exists() else {}
    problems = list(_unknown_values(own, base))
    if problems:
        raise InputError("; ".join(problems), where=str(own_file), next_step=f"{base_file} lists every value.")
    return merged(base, own)


def _mapping(path: Path) -> dict[str, Any]:
    value = read_yaml(path)
    return {} if value is None else dict(mapping(value, where=str(path), what="the file"))


def _unknown_values(own: Mapping[str, Any], base: Mapping[str, Any], inside: str = "") -> Iterator[str]:
    for key, value in own.items():
        if key not in base:
            yield f"{inside}{key} is not a known value; {nearest(key, base)}"
        elif isinstance(value, Mapping) and isinstance(base[key], Mapping):
            yield from _unknown_values(value, base[key], f"{inside}{key}.")


def _ordered(packages: Mapping[str, Package]) -> list[str]:
    for package in packages.values():
        for need in package.spec.needs:
            if need not in packages:
                raise InputError(f"needs: there is no package {need}; {nearest(need, packages)}", where=package.where)
    try:
        graph = {name: sorted(package.spec.needs) for name, package in packages.items()}
        return list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        cycle = " → ".join(reversed(error.args[1]))
        raise InputError(
            f"these packages need one another: {cycle}", where="packages", next_step="Remove one of these needs."
        ) from error


def _check_artifacts(packages: Sequence[Package]) -> None:
    """One name stands for one thing: two packages may share an artifact, not a name."""
    seen: dict[str, tuple[str, str]] = {}
    for package in packages:
        for artifact in package.spec.artifacts:
            url = json.dumps([artifact.url, artifact.sha256])
            known, other = seen.setdefault(artifact.name, (url, package.where))
            if known != url:
                raise InputError(f"{artifact.name} is something else in {other}", where=package.where)
