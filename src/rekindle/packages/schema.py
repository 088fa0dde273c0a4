"""What a package.yaml may say."""

from typing import Any, Literal

from pydantic import Field

from rekindle.parsing import Frozen

GATE_SECONDS = 300.0  # how long a service may take to be up and healthy
INITIALISE_SECONDS = 900  # how long after its first installation a service may begin with empty data
SECRETS_FOLDER = "/var/lib/rekindle/secrets"

NAME = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"  # one segment of a Marathon id (FACTS 5)
MODE = r"^0[0-7]{3}$"
PATH = r"^(/[A-Za-z0-9_+-][A-Za-z0-9._+-]*)+$"  # no part of it is hidden, `.` or `..`
USER = r"^[a-z_][a-z0-9_-]{0,31}$"  # useradd(8)
FILE = r"^[A-Za-z0-9][A-Za-z0-9._+-]*$"
REQUEST = r"^/[A-Za-z0-9._~/?&=%:@+-]*$"  # nothing that curl expands
DIGEST = r"^[0-9a-f]{64}$"
OPTION = r"^[^.\s]+(\.[^.\s]+)*$"
DAY = 86_400.0


class ArtifactSpec(Frozen):
    """Something that tasks fetch; `url` and `sha256` may use values. Its name is unique among all packages."""

    name: str = Field(pattern=FILE, max_length=200)
    url: str
    sha256: str | None = Field(default=None, pattern=rf"{DIGEST}|\{{")


class SecretSpec(Frozen):
    """A secret that tasks read from a file which Rekindle puts on the agents where they may run.

    It is set as `<package>/<name>`.
    """

    name: str = Field(pattern=NAME)
    path: str | None = Field(default=None, pattern=PATH)
    mode: str = Field(default="0600", pattern=MODE)
    owner: str = Field(default="root", pattern=USER)


class InstanceSpec(Frozen):
    """One installation of the package: its app, its volume, its own values."""

    name: str = Field(pattern=NAME)
    volume: str | None = None  # the named volume in whose availability zone it runs
    values: dict[str, Any] = Field(default_factory=dict)


class InitialiseSpec(Frozen):
    """The option that lets a service begin with empty data, given as seconds since 1970, for a while only."""

    option: str = Field(pattern=OPTION)  # dotted: volume.initialise_until
    seconds: int = Field(default=INITIALISE_SECONDS, gt=0, le=DAY)


class BarrierSpec(Frozen):
    """Who says what was acknowledged when a backup begins: GET of a path on a port of a service's tasks."""

    service: str = Field(pattern=NAME)
    path: str = Field(pattern=REQUEST)
    port_index: int = Field(default=0, ge=0)


class BackupSpec(Frozen):
    """How the package's volumes are saved together."""

    volumes: tuple[str, ...]
    consistency: Literal["frozen", "crash"] = "frozen"
    barrier: BarrierSpec | None = None


class PackageSpec(Frozen):
    """package.yaml."""

    version: Literal[1]
    kind: Literal["app", "universe"]
    about: str
    needs: tuple[str, ...] = ()
    artifacts: tuple[ArtifactSpec, ...] = ()
    secrets: tuple[SecretSpec, ...] = ()
    instances: tuple[InstanceSpec, ...] = ()
    initialise: InitialiseSpec | None = None
    backup: BackupSpec | None = None
    outbound: bool = False  # acts on the world outside: suspended at replay until it is released
    gate_seconds: float = Field(default=GATE_SECONDS, gt=0, le=DAY)
