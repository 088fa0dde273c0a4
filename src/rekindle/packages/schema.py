"""What a package.yaml may say, and errors that name file, key and the nearest valid name."""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rekindle.errors import InputError

GATE_SECONDS = 300.0  # how long a service may take to be up and healthy
INITIALISE_SECONDS = 900  # how long after its first installation a service may begin with empty data
SECRETS_FOLDER = "/var/lib/rekindle/secrets"

NAME = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"  # one segment of a Marathon id (FACTS 5)
MODE = r"^0[0-7]{3}$"


class Strict(BaseModel):
    """Immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ArtifactSpec(Strict):
    """Something that tasks fetch; `url` may use values. Its name is unique among all packages."""

    name: str
    url: str
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")


class SecretSpec(Strict):
    """A secret that tasks read from a file which Rekindle puts on the agents where they may run."""

    name: str = Field(pattern=NAME)
    path: str | None = Field(default=None, pattern=r"^/")
    mode: str = Field(default="0600", pattern=MODE)
    owner: str = "root"


class InstanceSpec(Strict):
    """One installation of the package: its app, its volume, its own values."""

    name: str = Field(pattern=NAME)
    volume: str | None = None  # the named volume in whose availability zone it runs
    values: dict[str, Any] = Field(default_factory=dict)


class InitialiseSpec(Strict):
    """The option that lets a service begin with empty data, given as seconds since 1970, for a while only."""

    option: str  # dotted: volume.initialise_until
    seconds: int = Field(default=INITIALISE_SECONDS, gt=0)


class BarrierSpec(Strict):
    """Who says what was acknowledged when a backup begins: GET of a path on a port of a service's tasks."""

    service: str
    path: str = Field(pattern=r"^/")
    port_index: int = 0


class BackupSpec(Strict):
    """How the package's volumes are saved together."""

    volumes: tuple[str, ...]
    consistency: Literal["frozen", "crash"] = "frozen"
    barrier: BarrierSpec | None = None


class PackageSpec(Strict):
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
    gate_seconds: float = Field(default=GATE_SECONDS, gt=0)


Model = TypeVar("Model", bound=BaseModel)


def read_yaml(path: Path) -> Any:
    """The decoded file; InputError names the line that is not YAML."""
    try:
        return yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise InputError(f"this is not YAML: {' '.join(str(error).split())}", where=str(path)) from error
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error


def parse(model: type[Model], data: Any, *, where: str) -> Model:
    """A model of decoded data; InputError names each wrong key and the nearest valid name."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = "; ".join(_problem(model, item) for item in error.errors(include_url=False, include_input=False))
        raise InputError(problems, where=where) from error


def unknown(key: str, valid: Iterable[str], *, inside: str = "") -> str:
    """The sentence for a key that nothing knows."""
    place = f"{inside}.{key}" if inside else key
    nearest = get_close_matches(key, list(valid), n=1, cutoff=0.5)
    return f"unknown key {place}" + (f"; did you mean {nearest[0]}?" if nearest else "")


def _problem(model: type[BaseModel], item: Mapping[str, Any]) -> str:
    location = tuple(item["loc"])
    if item["type"] == "extra_forbidden":
        parent = _model_at(model, location[:-1])
        return unknown(str(location[-1]), parent.model_fields, inside=_dotted(location[:-1]))
    return f"{_dotted(location) or 'the file'}: {item['msg']}"


def _dotted(location: tuple[Any, ...]) -> str:
    return ".".join(map(str, location))


def _model_at(model: type[BaseModel], location: tuple[Any, ...]) -> type[BaseModel]:
    """The model that a location leads to."""
    for part in location:
        if isinstance(part, str) and part in model.model_fields:
            model = next(_models_in(model.model_fields[part].annotation), model)
    return model


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, UnionType, tuple, list, dict):
        for argument in get_args(annotation):
            yield from _models_in(argument)
