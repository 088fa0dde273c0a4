"""Jinja as a project's templates get it: they compute text from what they are given, and reach nothing else.

A template is whoever's branch is planned, so it is run in Jinja's immutable sandbox. What the sandbox
leaves open is closed here: methods that every pydantic model has (one of them unpickles), other files,
chance, and sizes, which are counted as they grow.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from typing import Any

from jinja2 import StrictUndefined, TemplateRuntimeError, TemplateSyntaxError, Undefined, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer
from pydantic import BaseModel

VALUE_LIMIT = 1024 * 1024  # characters or elements of one value
WORK_LIMIT = 16 * 1024 * 1024  # of all values that one text makes on its way
STEP = 32  # what a call or a turn of a loop counts beside what it makes
INTEGER_BITS = 4096
WIDTH = re.compile(r"\d{6}|%[-+ #0]*(\d*\.)?\*")  # in a format: padding of a million, or of whatever is given
WIDENING = frozenset({"batch", "center", "indent", "round", "slice", "tojson", "truncate", "wordwrap"})
LEFT_OUT = frozenset({"random", "divisibleby"})  # one release renders to one thing; `%` counts sizes, this does not


class TooMuch(TemplateRuntimeError):
    """A template makes more than any file of a host or app needs."""


class Sandbox(ImmutableSandboxedEnvironment):
    """Renders texts and expressions; a Sandbox renders one at a time."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, **options: Any) -> None:
        super().__init__(
            undefined=StrictUndefined,
            autoescape=False,  # files of hosts and apps, not HTML
            keep_trailing_newline=True,
            finalize=self._shown,
            **options,
        )
        self.policies["json.dumps_function"] = _json
        self.globals = {name: self.globals[name] for name in ("range", "dict", "namespace", "cycler", "joiner")}
        self.tests = {name: test for name, test in self.tests.items() if name not in LEFT_OUT}
        self.filters = {n: self._bounded(n, filter_) for n, filter_ in self.filters.items() if n not in LEFT_OUT}
        self.filters |= {"_concatenated": self._bounded("_concatenated", _concatenated), "_counted": self._counted}
        self._work = 0

    def text(self, source: str, names: Mapping[str, Any]) -> str:
        """The template's text. Any exception may come of a template: `reason` tells it."""
        self._work = 0
        pieces, size = [], 0
        for piece in self.from_string(source).generate(names):
            size += len(piece)
            _require(size <= VALUE_LIMIT)
            pieces.append(piece)
        return "".join(pieces)

    def value(self, expression: str, names: Mapping[str, Any]) -> Any:
        """What an expression gives; an undefined name raises."""
        self._work = 0
        found = self.compile_expression(expression, undefined_to_none=False)(**names)
        if isinstance(found, Undefined):
            str(found)  # raises, with the name
        _require(_size(found) <= VALUE_LIMIT)
        return found

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Of a model, its fields and its own methods: pydantic's would read files and unpickle."""
        is_pydantics = isinstance(obj, BaseModel) and hasattr(BaseModel, attr)
        return not is_pydantics and super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """The operation, refused where its result would be huge."""
        if operator == "*":
            _require(_product(left, right) <= WORK_LIMIT)
        elif operator == "**":
            _require(not (_is_integer(left) and _is_integer(right)) or left.bit_length() * right <= INTEGER_BITS)
        elif operator == "%" and isinstance(left, str):
            _require_narrow(left, right)
        return self._charged(super().call_binop(context, operator, left, right))

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """The call, refused where a method of a text or number would widen it hugely."""
        owner = getattr(getattr(__obj, "__wrapped__", __obj), "__self__", None)
        if isinstance(owner, str | bytes | int):
            _require(_product(owner, *args, *kwargs.values()) <= WORK_LIMIT)
        if isinstance(owner, str):
            _require(not WIDTH.search(owner) or getattr(__obj, "__name__", "") not in ("format", "format_map"))
        return __self._charged(super().call(__context, __obj, *args, **kwargs))

    def _generate(self, source: nodes.Template, *more: Any, **options: Any) -> str:
        return super()._generate(_Counting(self).visit(source), *more, **options)

    def _bounded(self, name: str, filter_: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(filter_)  # which keeps Jinja's marks of what it is to be passed
        def bounded(*given: Any, **named: Any) -> Any:
            sizes = [*given, *named.values()]
            if name not in WIDENING:
                sizes = [0 if _is_integer(one) else one for one in sizes]
            if name == "format":
                _require_narrow(str(given[0]), *given[1:])
            _require(_product(*sizes) <= WORK_LIMIT)
            return self._charged(filter_(*given, **named))

        return bounded

    def _counted(self, items: Iterable[Any], data: int) -> Iterator[Any]:
        """The items of a loop whose body holds so many characters of plain text."""
        for item in items:
            self._charge(STEP + data)
            yield item

    def _shown(self, value: Any) -> str:
        """A value as it is put into the text."""
        _require(_size(value) <= VALUE_LIMIT)
        return str(self._charged(str(value)))

    def _charged(self, value: Any) -> Any:
        size = _size(value)
        _require(size <= VALUE_LIMIT)
        self._charge(STEP + size)
        return value

    def _charge(self, work: int) -> None:
        self._work += work
        _require(self._work <= WORK_LIMIT)


def reason(error: Exception) -> str:
    """What is wrong with a template, as one sentence for whoever wrote it."""
    match error:
        case TemplateSyntaxError():
            return f"line {error.lineno}: {error.message}"
        case RecursionError():
            return "it is nested too deeply"
        case MemoryError():
            return "it needs too much memory"
        case KeyError():
            return f"there is no {error}"
        case _:
            return str(error) or type(error).__name__


class _Counting(NodeTransformer):
    """Loops and `~` go where their sizes are counted."""

    def __init__(self, environment: Sandbox) -> None:
        self.environment = environment

    def visit_For(self, node: nodes.For) -> nodes.Node:
        self.generic_visit(node)
        data = sum(len(part.data) for part in node.find_all(nodes.TemplateData))
        node.iter = self._filter("_counted", node.iter, nodes.Const(data))
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return self._filter("_concatenated", nodes.List(node.nodes, lineno=node.lineno, environment=self.environment))

    def _filter(self, name: str, of: nodes.Node, *arguments: nodes.Node) -> nodes.Filter:
        place = {"lineno": of.lineno, "environment": self.environment}
        return nodes.Filter(of, name, list(arguments), [], None, None, **place)


def _concatenated(parts: list[Any]) -> str:
    return "".join(map(str, parts))


def _json(value: Any, **options: Any) -> str:
    return json.dumps(value, default=_unknown, **options)


def _unknown(value: Any) -> Any:
    str(value)  # of an undefined name this raises, with the name
    raise TypeError(f"{type(value).__name__} is not a JSON value")


def _size(value: Any) -> int:
    """Characters and elements in it; no more is counted once it is too much."""
    total, left = 0, [value]
    while left and total <= VALUE_LIMIT:
        one = left.pop()
        total += len(one) if isinstance(one, str | bytes | range | dict | list | tuple | set | frozenset) else 1
        if isinstance(one, dict):
            left += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple | set | frozenset):
            left += one
        elif _is_integer(one):
            total += int(one).bit_length() // 8
    return total


def _product(*values: Any) -> int:
    """The most that can be made of these together; an integer counts as a width or a number of times.

    Of integers alone a number is made, and its bits are what counts.
    """
    if all(_is_integer(value) for value in values):
        return sum(int(value).bit_length() for value in values) * (WORK_LIMIT // INTEGER_BITS)
    total = 1
    for value in values:
        total *= max(1, abs(int(value)) if _is_integer(value) else _size(value))
    return total


def _require_narrow(template: str, *values: Any) -> None:
    _require(not WIDTH.search(template) and _product(template, *values) <= WORK_LIMIT)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _require(is_little: bool) -> None:
    if not is_little:
        raise TooMuch("it makes more than a template may; is a number in it wrong?")
