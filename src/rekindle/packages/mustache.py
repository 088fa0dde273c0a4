"""Mustache as Cosmos renders it: no HTML escape, strings JSON-escaped, 0 is true (FACTS 7)."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

TAG = re.compile(r"\{\{(\{)?\s*([#^/!&]?)\s*([^}]*?)\s*\}?\}\}")
SECTION = re.compile(r"\{\{([#^])\s*([^}\s]+)\s*\}\}(.*?)\{\{/\s*\2\s*\}\}", re.DOTALL)


def render(template: str, *scopes: Any) -> str:
    """The template with values of the innermost scope that knows each name; unknown names are empty."""
    rest, written = template, []
    while match := SECTION.search(rest):
        written.append(_variables(rest[: match.start()], scopes))
        written.append(_section(match[1] == "^", match[2], match[3], scopes))
        rest = rest[match.end() :]
    return "".join(written) + _variables(rest, scopes)


def _section(is_inverted: bool, name: str, body: str, scopes: Sequence[Any]) -> str:
    value = _lookup(name, scopes)
    is_skipped = value is None or value is False or value in ("", [])
    if is_inverted:
        return render(body, *scopes) if is_skipped else ""
    if is_skipped:
        return ""
    items = value if isinstance(value, list) else [value]
    return "".join(render(body, *scopes, item) for item in items)


def _variables(text: str, scopes: Sequence[Any]) -> str:
    return TAG.sub(lambda tag: "" if tag[2] in ("!", "#", "/", "^") else _text(_lookup(tag[3], scopes)), text)


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
