"""Mustache as Cosmos renders it: no HTML escape, strings JSON-escaped, 0 is true (FACTS 7).

What mustache.java would refuse, or would look for in files that Cosmos has not, is refused here too.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from rekindle.parsing import shown

TAG = re.compile(r"\{\{(?:\{([^{}]*)\}\}\}|([#^/!&>=]?)([^{}]*)\}\})")
MAX_DEPTH = 50  # sections within sections
MAX_OUTPUT = 1 << 20  # characters; sections over lists multiply
MAX_SECTIONS = 100_000  # rendered, those that print nothing too


class NotMustache(ValueError):
    """The template cannot be rendered; says which line, and why."""


@dataclass(frozen=True)
class Variable:
    """The place of a value."""

    name: str


@dataclass(frozen=True)
class Section:
    """What is rendered once for each item of a value, or when there is none."""

    name: str
    is_inverted: bool
    parts: "tuple[Part, ...]"


Part: TypeAlias = str | Variable | Section


def render(template: str, *scopes: Any) -> str:
    """The template with values of the innermost scope that knows each name; unknown names are empty.

    NotMustache says why it cannot be rendered.
    """
    written, size = [], 0
    for text in _Rendering().of(_parsed(template), scopes):
        size += len(text)
        if size > MAX_OUTPUT:
            raise NotMustache(f"it makes more than {MAX_OUTPUT} characters")
        written.append(text)
    return "".join(written)


def _parsed(template: str) -> tuple[Part, ...]:
    """The parts of a template: text, variables, and sections with parts of their own."""
    open_ones: list[tuple[str, bool, int, list[Part]]] = [("", False, 0, [])]
    end = 0
    for tag in TAG.finditer(template):
        parts = open_ones[-1][3]
        parts.append(template[end : tag.start()])
        end = tag.end()
        raw, mark, name = tag[1], tag[2] or "", (tag[1] or tag[3] or "").strip()
        if raw is not None or mark in ("", "&"):
            parts.append(Variable(name))
        elif mark in ("#", "^"):
            if len(open_ones) > MAX_DEPTH:
                raise _wrong(template, tag.start(), f"sections are nested deeper than {MAX_DEPTH}")
            open_ones.append((name, mark == "^", tag.start(), []))
        elif mark == "/":
            if len(open_ones) == 1 or open_ones[-1][0] != name:
                raise _wrong(template, tag.start(), f"{shown(tag[0])} closes a section that is not the one open here")
            opened, is_inverted, _, inside = open_ones.pop()
            open_ones[-1][3].append(Section(opened, is_inverted, tuple(inside)))
        elif mark != "!":
            raise _wrong(template, tag.start(), f"{shown(tag[0])} is of a kind that Cosmos does not render")
    if len(open_ones) > 1:
        raise _wrong(template, open_ones[-1][2], f"the section {shown(open_ones[-1][0])} is not closed")
    return (*open_ones[0][3], template[end:])


def _wrong(template: str, place: int, what: str) -> NotMustache:
    line = template.count("\n", 0, place) + 1
    return NotMustache(f"line {line}: {what}")


class _Rendering:
    """One template on its way; counts the sections that it renders."""

    def __init__(self) -> None:
        self._sections = 0

    def of(self, parts: Sequence[Part], scopes: Sequence[Any]) -> Iterator[str]:
        for part in parts:
            if isinstance(part, str):
                yield part
            elif isinstance(part, Variable):
                yield _text(_lookup(part.name, scopes))
            else:
                yield from self._section(part, scopes)

    def _section(self, section: Section, scopes: Sequence[Any]) -> Iterator[str]:
        value = _lookup(section.name, scopes)
        for inner in _scopes(section, value):
            self._sections += 1
            if self._sections > MAX_SECTIONS:
                raise NotMustache(f"it renders more than {MAX_SECTIONS} sections")
            yield from self.of(section.parts, [*scopes, *inner])


def _scopes(section: Section, value: Any) -> list[list[Any]]:
    """For each time that a section is rendered, the scopes that it adds."""
    is_skipped = value is None or value is False or value in ("", [])
    if section.is_inverted:
        return [[]] if is_skipped else []
    if is_skipped:
        return []
    return [[item] for item in (value if isinstance(value, list) else [value])]


def _lookup(name: str, scopes: Sequence[Any]) -> Any:
    if name == ".":
        return scopes[-1]
    first, *others = name.split(".")
    value = next((s[first] for s in reversed(scopes) if isinstance(s, Mapping) and first in s), None)
    for part in others:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)[1:-1]
    if isinstance(value, list):
        return "[" + ", ".join(json.dumps(item, ensure_ascii=False) for item in value) + "]"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value, ensure_ascii=False)
