"""Turns what came from outside into plain values and frozen models, and what is wrong with it into sentences.

A plain value is what JSON can hold: text, whole numbers of 64 bits, finite numbers, booleans, null, and lists and
mappings (with keys of text) of those, nested within reason. Nothing else gets past this room.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from rekindle.errors import InputError

Model = TypeVar("Model", bound=BaseModel)

MAX_BYTES = 1 << 20  # of a file that people write; a YAML of that size takes seconds
MAX_DEPTH = 100  # of values within values
MAX_NODES = 100_000  # values of one YAML file, each counted as often as anchors repeat it
MAX_NUMBER = 1 << 64  # of whole numbers
SHOWN = 20  # mistakes named in one error
SHOWN_TEXT = 80  # of a value or key that is quoted in an error

_YAML = "tag:yaml.org,2002:"
_TAGS = frozenset(_YAML + name for name in ("null", "bool", "int", "float", "str", "seq", "map", "merge"))
_ODD = (ValueError, LookupError, AttributeError, TypeError, ArithmeticError)  # what PyYAML raises for `!!int ''`

SAVE_AS_TEXT = "Save the file as UTF-8 and run it again."
NOT_RENDERED = "it does not render to JSON"
QUOTE = "Correct the value, or quote it if it is meant as text, and run it again."
CORRECT = "Correct the file and run it again."


class Frozen(BaseModel):
    """A value parsed once at the edge: immutable, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NotPlain(ValueError):
    """What came from outside is not JSON, or holds what no plain value may."""


def read_text(path: Path, *, limit: int = MAX_BYTES) -> str:
    """The text of a file; InputError if there is none, if it is too large, or if it is not UTF-8."""
    try:
        with path.open("rb") as stream:
            content = stream.read(limit + 1)
    except (OSError, ValueError) as error:  # a NUL in its name is a ValueError
        said = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(
            f"cannot be read: {said}", where=str(path), next_step="Name a file that you may read."
        ) from error
    if len(content) > limit:
        raise InputError(
            f"is larger than {limit} bytes", where=str(path), next_step="Name the file that was meant, or split it."
        )
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"is not text in UTF-8: {error}", where=str(path), next_step=SAVE_AS_TEXT) from error


def read_yaml(path: Path) -> Any:
    """The plain value of a YAML or JSON file; InputError names the file, and the line or the key."""
    return yaml_value(read_text(path), where=str(path))


def yaml_value(text: str, *, where: str) -> Any:
    """The plain value of YAML; InputError names the line or the key that is wrong."""
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if root is None:
            return None
        _inspect(loader, root, where)
        value = loader.construct_document(root)
    except yaml.YAMLError as error:
        raise InputError(f"is not YAML: {error}", where=where, next_step=CORRECT) from error
    except RecursionError as error:
        raise InputError(f"is nested deeper than {MAX_DEPTH}", where=where, next_step=CORRECT) from error
    return _checked(value, where)


def read_json(path: Path, *, unique: bool = True) -> Any:
    """The plain value of a JSON file; InputError names the file and what is wrong."""
    return json_value(read_text(path), where=str(path), unique=unique)


def json_value(text: str | bytes, *, where: str, unique: bool = True, what: str = "is not JSON") -> Any:
    """The plain value of JSON; InputError says what is wrong, a key that stands twice if it must be `unique`."""
    try:
        return from_json(text, unique=unique)
    except NotPlain as error:
        raise InputError(f"{what}: {error}", where=where, next_step=CORRECT) from error


def from_json(text: str | bytes, *, unique: bool = False) -> Any:
    """The plain value of JSON (in UTF-8); NotPlain, and nothing else, for any other text.

    With `unique` a key that stands twice in one object is refused; without, the last one counts.
    """
    try:
        decoded_text = text.decode() if isinstance(text, bytes) else text
        value = json.loads(decoded_text, object_pairs_hook=_unique if unique else None)
    except RecursionError as error:
        raise NotPlain(f"it is nested deeper than {MAX_DEPTH}") from error
    except ValueError as error:
        raise NotPlain(str(error)) from error
    for problem in _problems(value):
        raise NotPlain(problem)
    return value


def decoded(value: Any, *, where: str) -> Any:
    """A value that may have come as JSON text, as config values given on a command line do."""
    return json_value(value, where=where) if isinstance(value, str) else value


def mapping(value: Any, *, where: str, what: str = "it") -> Mapping[str, Any]:
    """The value, which is a mapping; InputError if it is anything else."""
    if isinstance(value, dict):
        return value
    raise InputError(f"{what} must be a mapping of names, and is {_kind(value)}", where=where, next_step=CORRECT)


def parse(model: type[Model], data: Any, *, where: str) -> Model:
    """The model of a plain value; InputError has a sentence for each wrong key, with the nearest valid name."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise InputError("\n  ".join(_sentences(model, error)), where=where, next_step=CORRECT) from error


def load(model: type[Model], path: Path) -> Model:
    """The model of a YAML file."""
    return parse(model, read_yaml(path), where=str(path))


def misfits(model: type[BaseModel], error: ValidationError) -> str:
    """What a value lacks to be the model, on one line."""
    return "; ".join(_sentences(model, error))


def nearest(name: str, valid: Iterable[str]) -> str:
    """ "did you mean …?", or the valid names when none is near."""
    names = sorted(valid)
    close = get_close_matches(name[:SHOWN_TEXT], names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    return f"valid are {_listed(names)}" if names else "there is none"


def shown(value: object) -> str:
    """A value as an error quotes it: on one line, and no longer than a line."""
    text = " ".join(str(value).split())
    return text if len(text) <= SHOWN_TEXT else f"{text[:SHOWN_TEXT]}…"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(map(shown, names[:SHOWN])) + more


def _checked(value: Any, where: str) -> Any:
    for problem in _problems(value):
        raise InputError(problem, where=where, next_step=QUOTE)
    return value


def _problems(value: Any) -> Iterator[str]:
    """Why the value is not plain, if it is not: looked for where it lies only when there is something."""
    if not _is_plain(value, 0):
        yield from _places(value, ())


def _is_plain(value: Any, depth: int) -> bool:
    if depth > MAX_DEPTH:
        return False
    if isinstance(value, dict):
        return all(_is_plain(key, depth) and _is_plain(item, depth + 1) for key, item in value.items())
    if isinstance(value, list):
        return all(_is_plain(item, depth + 1) for item in value)
    return _scalar_problem(value) is None


def _places(value: Any, path: tuple[str, ...]) -> Iterator[str]:
    if len(path) > MAX_DEPTH:
        yield f"it is nested deeper than {MAX_DEPTH}"
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _places(key, (*path, "a key"))
            yield from _places(item, (*path, str(key)))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _places(item, (*path, str(index)))
    elif problem := _scalar_problem(value):
        yield f"{shown('.'.join(path)) or 'the value'}: {problem}"


def _scalar_problem(value: Any) -> str | None:
    if isinstance(value, str):
        return None if _is_encodable(value) else f"{shown(ascii(value))} holds half of a character"
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{value} is no number that JSON can hold"
    if isinstance(value, int):
        return None if abs(value) <= MAX_NUMBER else "the number is too large"
    return None if value is None else f"it is {_kind(value)}"


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _kind(value: Any) -> str:
    kinds = {type(None): "empty", str: "text", bool: "true or false", list: "a list", dict: "a mapping"}
    return kinds.get(type(value), "a number" if isinstance(value, int | float) else f"a {type(value).__name__}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise NotPlain(f"the key {shown(twice)} stands twice in one object")
    return found


def _inspect(loader: yaml.SafeLoader, root: yaml.Node, where: str) -> None:
    """InputError for what YAML can say and a plain value cannot, or for what was not meant."""
    weights: dict[int, int] = {}  # by node: the values that it stands for

    def weigh(node: yaml.Node, depth: int) -> int:
        if depth > MAX_DEPTH:
            raise _at(node, f"this is nested deeper than {MAX_DEPTH}, or holds itself", where)
        if id(node) not in weights:
            _check_node(loader, node, where)
            weights[id(node)] = 1 + sum(weigh(below, depth + 1) for below in _below(node))
        if weights[id(node)] > MAX_NODES:
            raise _at(node, f"this stands for more than {MAX_NODES} values", where)
        return weights[id(node)]

    weigh(root, 0)


def _below(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [value for _, value in node.value]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _check_node(loader: yaml.SafeLoader, node: yaml.Node, where: str) -> None:
    if isinstance(node, yaml.MappingNode):
        _check_keys(node, where)
    elif isinstance(node, yaml.ScalarNode):
        _check_scalar(loader, node, where)
    if node.tag not in _TAGS:
        raise _at(node, f"{_said_tag(node)} is not taken here", where, next_step=QUOTE)


def _check_keys(node: yaml.MappingNode, where: str) -> None:
    seen: dict[str, int] = {}
    for key, _ in node.value:
        if key.tag not in (_YAML + "str", _YAML + "merge"):
            said = f"the key {shown(key.value)}" if isinstance(key, yaml.ScalarNode) else "a key"
            raise _at(key, f"{said} is not text", where, next_step=QUOTE)
        if key.value in seen:
            raise _at(key, f"{shown(key.value)} is set a second time; the first is on line {seen[key.value]}", where)
        seen[key.value] = key.start_mark.line + 1


def _check_scalar(loader: yaml.SafeLoader, node: yaml.Node, where: str) -> None:
    try:
        loader.construct_object(node)
    except _ODD as error:
        said = error if isinstance(error, ValueError) else f"{shown(node.value) or 'nothing'} with {_said_tag(node)}"
        raise _at(node, f"holds a value that is none: {shown(said)}", where, next_step=QUOTE) from error


def _said_tag(node: yaml.Node) -> str:
    if node.tag == _YAML + "timestamp":
        return f"the date {shown(node.value)}"
    return f"the type {shown(node.tag.replace(_YAML, '!!'))}"


def _at(node: yaml.Node, what: str, where: str, *, next_step: str = CORRECT) -> InputError:
    return InputError(f"line {node.start_mark.line + 1}: {what}", where=where, next_step=next_step)


def _sentences(model: type[BaseModel], error: ValidationError) -> list[str]:
    items = error.errors(include_url=False, include_context=False)
    more = [f"and {len(items) - SHOWN} more"] if len(items) > SHOWN else []
    return [_sentence(model, dict(item)) for item in items[:SHOWN]] + more


def _sentence(model: type[BaseModel], item: Mapping[str, Any]) -> str:
    location = tuple(item["loc"])
    key = shown(".".join(map(str, location))) or "the file"
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
