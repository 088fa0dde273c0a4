"""roles/ as read: each role with all that it includes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rekindle.errors import InputError
from rekindle.parsing import load as read
from rekindle.parsing import nearest
from rekindle.roles.schema import OsFile, RoleFile

COMMON = "common"
DEEPEST = 50  # includes within includes


@dataclass(frozen=True)
class Roles:
    """All roles of a folder, and what differs by operating system."""

    directory: Path
    files: Mapping[str, RoleFile]
    systems: Mapping[str, OsFile]

    def parts(self, name: str) -> tuple[str, ...]:
        """The role and all it includes, included ones first; InputError names a cycle or an unknown role."""
        found: dict[str, None] = {}
        self._add_parts(name, (), found)
        return tuple(found)

    def system(self, name: str) -> OsFile:
        """The data of an operating system; InputError if there is none."""
        if name not in self.systems:
            raise InputError(
                f"no operating system {name} is known; {nearest(name, self.systems)}",
                where=str(self.directory / COMMON / "os"),
                next_step="Add a file for it beside the others.",
            )
        return self.systems[name]

    def _add_parts(self, name: str, above: tuple[str, ...], found: dict[str, None]) -> None:
        """Notes the role behind all that it includes; what is noted is not gone through again."""
        where = str(self.directory / (above[-1] if above else "") / "role.yaml")
        if name in above:
            raise InputError(f"these include one another: {' → '.join((*above, name))}", where=where)
        if name not in self.files:
            raise InputError(f"no role is named {name}; {nearest(name, self.files)}", where=where)
        if len(above) > DEEPEST:
            raise InputError(f"roles include one another more than {DEEPEST} deep", where=where)
        if name not in found:
            for other in self.files[name].includes:
                self._add_parts(other, (*above, name), found)
            found[name] = None


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
