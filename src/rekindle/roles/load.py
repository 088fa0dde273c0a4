"""roles/ as read: each role with all that it includes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rekindle.errors import InputError
from rekindle.parsing import load as read
from rekindle.parsing import nearest
from rekindle.roles.schema import OsFile, RoleFile

COMMON = "common"


@dataclass(frozen=True)
class Roles:
    """All roles of a folder, and what differs by operating system."""

    directory: Path
    files: Mapping[str, RoleFile]
    systems: Mapping[str, OsFile]

    def parts(self, name: str) -> tuple[str, ...]:
        """The role and all it includes, included ones first; InputError names a cycle or an unknown role."""
        return tuple(dict.fromkeys(self._parts(name, ())))

    def system(self, name: str) -> OsFile:
        """The data of an operating system; InputError if there is none."""
        if name not in self.systems:
            raise InputError(
                f"no operating system {name} is known; {nearest(name, self.systems)}",
                where=str(self.directory / COMMON / "os"),
                next_step="Add a file for it beside the others.",
            )
        return self.systems[name]

    def _parts(self, name: str, above: tuple[str, ...]) -> list[str]:
        where = str(self.directory / (above[-1] if above else "") / "role.yaml")
        if name in above:
            raise InputError(f"these include one another: {' → '.join((*above, name))}", where=where)
        if name not in self.files:
            raise InputError(f"no role is named {name}; {nearest(name, self.files)}", where=where)
        included = [part for other in self.files[name].includes for part in self._parts(other, (*above, name))]
        return [*included, name]


def load(directory: Path) -> Roles:
    """Every role of a folder; InputError names the file, the key and the nearest valid name."""
    folders = sorted(path.parent for path in directory.glob("*/role.yaml"))
    if not folders:
        raise InputError("there are no roles", where=str(directory))
    roles = Roles(
        directory=directory,
        files={folder.name: read(RoleFile, folder / "role.yaml") for folder in folders},
        systems={path.stem: read(OsFile, path) for path in sorted((directory / COMMON / "os").glob("*.yaml"))},
    )
    for name in roles.files:
        roles.parts(name)
    return roles
