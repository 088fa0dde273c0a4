"""The form of role.yaml and of os/<os>.yaml, version 1."""

from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, model_validator

from rekindle.inventory import Role
from rekindle.parsing import Frozen

Text = Annotated[str, Field(min_length=1)]
Seconds = Annotated[float, Field(gt=0, le=86400, allow_inf_nan=False)]
Mode = Annotated[str, Field(pattern="^0[0-7]{3,4}$")]


class Item(Frozen):
    """A subject as declared: each text may hold Jinja, over the variables and `item`."""

    when: str | None = None  # a Jinja expression; the item is left out where it is false
    each: str | None = None  # a Jinja expression of a list; the item is declared for each `item` of it


class Group(Item):
    """A group that exists."""

    name: Text


class User(Item):
    """A user account."""

    name: Text
    home: Text = "/nonexistent"
    shell: Text = "/usr/sbin/nologin"
    groups: tuple[str, ...] = ()


class OsPackage(Item):
    """A package of the operating system that is installed."""

    name: Text


class Directory(Item):
    """A directory with an owner and a mode."""

    path: Text
    mode: Mode = "0755"
    owner: Text = "root"
    group: Text = "root"


class File(Item):
    """A file from a template or a text; or a path where nothing is."""

    path: Text
    template: Text | None = None
    content: str | None = None
    absent: bool = False
    fixed: bool = False  # may not change once DC/OS is installed on the host
    mode: Mode = "0644"
    owner: Text = "root"
    group: Text = "root"


class Artifact(Item):
    """A file fetched by URL, known by its digest."""

    path: Text
    url: Text
    sha256: Text
    mode: Mode = "0644"


class Sysctl(Item):
    """A kernel setting, now and at the next boot."""

    name: Text
    value: Text


class Unit(Item):
    """A systemd unit: enabled and running with its present configuration, or off."""

    name: Text
    stopped: bool = False  # neither enabled nor running; true also where there is no such unit
    watches: tuple[str, ...] = ()  # files whose change restarts it

    @model_validator(mode="after")
    def _runs_if_it_watches(self) -> Self:
        if self.stopped and self.watches:
            raise ValueError(f"unit {self.name} is stopped, so it can watch nothing")
        return self


class Command(Item):
    """A command that runs while its guard fails, or once more when a file it watches has changed."""

    name: Text
    run: Text
    guard: Text
    watches: tuple[str, ...] = ()
    timeout: Seconds = 300
    long: bool = False  # outlives the connection; its timeout may be long


class Gate(Item):
    """A condition that others wait for: shell text that exits with 0, and says on the way what is missing."""

    name: Text
    check: Text
    timeout: Seconds = 900
    after: tuple[Role, ...] = ()  # roles whose gates must hold before this one is waited for


class RoleFile(Frozen):
    """role.yaml."""

    version: Literal[1]
    summary: Text
    includes: tuple[str, ...] = ()
    groups: tuple[Group, ...] = ()
    users: tuple[User, ...] = ()
    os_packages: tuple[OsPackage, ...] = ()
    directories: tuple[Directory, ...] = ()
    files: tuple[File, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    sysctls: tuple[Sysctl, ...] = ()
    units: tuple[Unit, ...] = ()
    commands: tuple[Command, ...] = ()
    install: Literal["master", "slave", "slave_public"] | None = None  # the installer's own name of the role
    gates: tuple[Gate, ...] = ()


class OsFile(Frozen):
    """os/<os>.yaml: what differs by operating system."""

    version: Literal[1]
    summary: Text
    names: dict[str, JsonValue]  # reached in templates and expressions as os.<name>
