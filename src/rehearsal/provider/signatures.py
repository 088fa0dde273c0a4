"""What pulumi-aws's own signatures say of a resource type: its inputs, and which are required."""

import importlib
import inspect
import re
import threading
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import pulumi

from rehearsal.provider.values import Properties

_ONE_IMPORT = threading.RLock()  # pulumi-aws imports its modules late, and two threads see half of one


@dataclass(frozen=True, kw_only=True)
class Signature:
    """The inputs of a resource type, or of a structure inside one, by their names on the wire."""

    names: frozenset[str]
    required: frozenset[str]
    nested: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One input that pulumi-aws would refuse."""

    path: str
    reason: str


def of_token(token: str) -> Signature:
    """The signature behind a token such as `aws:ec2/vpc:Vpc`; LookupError if pulumi-aws has none."""
    with _ONE_IMPORT:
        return _of_token(token)


@cache
def _of_token(token: str) -> Signature:
    match = re.fullmatch(r"aws:(\w+)/\w+:(\w+)", token)
    if not match:
        raise LookupError(f"{token} is no resource type of pulumi-aws")
    module = importlib.import_module(f"pulumi_aws.{match[1]}")
    arguments = getattr(module, f"{match[2]}InitArgs", None) or getattr(module, f"{match[2]}Args", None)
    if arguments is None:
        raise LookupError(f"pulumi-aws knows no inputs of {token}")
    return of_class(arguments)


@cache
def of_class(arguments: Any) -> Signature:
    """The signature of one of pulumi-aws's input classes."""
    wire = pulumi._types.input_type_py_to_pulumi_names(arguments)
    parameters = inspect.signature(arguments).parameters
    hints = _hints(arguments)
    return Signature(
        names=frozenset(wire.values()),
        required=frozenset(wire[n] for n, p in parameters.items() if n in wire and p.default is p.empty),
        nested={wire[n]: cls for n in wire if (cls := _input_class(hints.get(n))) is not None},
    )


def faults(signature: Signature, inputs: Properties, path: str = "") -> Iterator[Fault]:
    """Every input that the signature does not know, and every one it requires and is not given."""
    for name in sorted(set(inputs) - signature.names):
        yield Fault(path=f"{path}{name}", reason="pulumi-aws knows no such input")
    for name in sorted(signature.required - set(inputs)):
        yield Fault(path=f"{path}{name}", reason="pulumi-aws requires this input")
    for name, cls in signature.nested.items():
        for index, item in _structures(inputs.get(name)):
            yield from faults(of_class(cls), item, f"{path}{name}{index}.")


def _structures(value: Any) -> Iterator[tuple[str, Properties]]:
    if isinstance(value, dict):
        yield "", value
    elif isinstance(value, list):
        for number, item in enumerate(value):
            if isinstance(item, dict):
                yield f"[{number}]", item


def _hints(arguments: Any) -> dict[str, Any]:
    module = importlib.import_module(arguments.__module__)
    names = {"Output": pulumi.Output, "T": Any}
    return typing.get_type_hints(vars(arguments)["__init__"], vars(module), names)


def _input_class(hint: Any) -> "type[Any] | None":
    """The input class inside `Input[Optional[Sequence[Input[X]]]]`; None where there is none."""
    if isinstance(hint, type) and not isinstance(hint, types.GenericAlias):
        return hint if pulumi._types.is_input_type(hint) else None
    for part in typing.get_args(hint):
        found = _input_class(part)
        if found is not None:
            return found
    return None
