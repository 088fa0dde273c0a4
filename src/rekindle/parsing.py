"""Turns a decoded file into a frozen model, and what is wrong with it into sentences that name file and key."""

import json
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from rekindle.errors import InputError

Model = TypeVar("Model", bound=BaseModel)


class Frozen(BaseModel):
    """A value parsed once at the edge: immutable, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def read_yaml(path: Path) -> Any:
    """The decoded content of a YAML or JSON file; InputError names the file, line and column."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise InputError(f"is not text in UTF-8: {error}", where=str(path), next_step=_SAVE_AS_TEXT) from error
    except yaml.YAMLError as error:
        raise InputError(f"is not YAML: {error}", where=str(path)) from error
    except ValueError as error:  # of a value that looks like a date, a time or a number, and is none
        raise InputError(f"holds a value that is none: {error}", where=str(path), next_step=_QUOTE) from error


def decoded(value: Any, *, where: str) -> Any:
    """A value that may have come as JSON text, as config values given on a command line do."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise InputError(f"is not JSON: {value}", where=where) from error


def parse(model: type[Model], data: Any, *, where: str) -> Model:
    """The model of a decoded file; InputError has a sentence for each wrong key, with the nearest valid name."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        sentences = [_sentence(model, dict(item)) for item in error.errors()]
        raise InputError("\n  ".join(sentences), where=where, next_step="Correct the file and run it again.") from error


def load(model: type[Model], path: Path) -> Model:
    """The model of a YAML file."""
    return parse(model, read_yaml(path), where=str(path))


def nearest(name: str, valid: Iterable[str]) -> str:
    """ "did you mean …?", or the valid names when none is near."""
    names = sorted(valid)
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else f"valid are {', '.join(names)}"


_SAVE_AS_TEXT = "Save the file as UTF-8 and run it again."
_QUOTE = "Correct the value, or quote it if it is meant as text, and run it again."


def _sentence(model: type[BaseModel], item: Mapping[str, Any]) -> str:
    location = tuple(item["loc"])
    key = ".".join(map(str, location)) or "the file"
    if item["type"] == "extra_forbidden":
        return f"{key} is not a known key; {nearest(str(location[-1]), _fields_at(model, location[:-1]))}"
    if item["type"] == "missing":
        return f"{key} is missing"
    said = str(item["msg"]).removeprefix("Value error, ")
    is_whole = item["type"] == "value_error" and not location  # a check across keys, which names them itself
    return said if is_whole else f"{key}: {said}"


def _fields_at(model: Any, location: tuple[Any, ...]) -> list[str]:
    """Names that are valid at a place inside a model, as its annotations say."""
    candidates = _models_in(model)
    for part in location:
        fields = [m.model_fields[part].annotation for m in candidates if part in m.model_fields]
        if fields:
            candidates = [found for annotation in fields for found in _models_in(annotation)]
    return [name for m in candidates for name in m.model_fields]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for argument in get_args(annotation) for found in _models_in(argument)]
