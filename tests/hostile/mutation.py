"""Valid documents made odd: in their bytes, and in their structure."""

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, TypeAlias

Change: TypeAlias = Callable[[Random, bytearray], None]

DEEP: Any = []
for _ in range(300):
    DEEP = [DEEP]

ODD_VALUES: Sequence[Any] = (
    None, True, False, 0, -1, 1, 2.5, 1 << 40, 1 << 70, 10**400, float("nan"), float("inf"), -0.0, 1e308,
    "", " ", "x", "0", "\x00", "a\nb", "\t", "\ud800", "é\u202e", "../../etc", "{{ x }}", "x" * 5000,
    "2024-01-01", "-" * 70, [], [[]], [None], [1, "a", {}], {}, {"": None}, {"a": 1}, {"a": {"b": []}},
    {"$ref": "#"}, DEEP,
)  # fmt: skip
ODD_KEYS = ("", "x", "0", "\x00", "\ud800", "a.b", "__class__", "id", "name", "version", "kind", "x" * 3000)
ODD_BYTES: Sequence[bytes] = (
    b"\x00", b"\xff", b"\xed\xa0\x80", b"\n", b"\t", b"\r", b"'", b'"', b"\\", b"{", b"}", b"[", b"]", b":",
    b",", b"#", b"-", b"%", b"=", b"!!int ''", b"!!float ''", b"!!bool x", b"!!timestamp x", b"!!binary x",
    b"!!set {a}", b"!!python/name:os.system", b"!!null x", b"&a [*a]", b"*a", b"&a", b"<<: ", b"? ",
    b"- " * 400, b"[" * 3000, b'{"a":' * 3000, b"NaN", b"Infinity", b"-1e999", b"9" * 5000, b"0x", b"f" * 5000,
    b"1:60:60", b"2024-13-45", b"2024-01-01", b"null", b"true", b"1e5", b"\\ud800", b"\xef\xbb\xbf", b"{{",
    b"}}", b"{{ x }}", b"{{{", b"{{#a}}", b"{{/a}}", b"{{^a}}", b"{{>a}}", b"{{=<% %>=}}", b"{% for a in b %}",
    b"{% endfor %}", b"{% if %}", b"{{ 1 // 0 }}", b"{{ values + 1 }}", b"{{ values.nope | tojson }}",
    b"{{ 'x' * 10**9 }}", b"{{ range(10**9) | list }}", b"{{ ''.__class__ }}", b"{% include 'x' %}",
    b"\x1b]0;x\x07", b"\xc2\x9b", b"\xe2\x80\xae",
)  # fmt: skip


def mutated_bytes(random: Random, seeds: Sequence[bytes]) -> bytes:
    """One of the documents with some of its bytes otherwise."""
    body = bytearray(random.choice(seeds))
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        random.choice(CHANGES)(random, body)
    if random.random() < 0.05:
        body += random.choice(seeds)
    return bytes(body)


def mutated_value(random: Random, value: Any) -> Any:
    """A JSON value with some of its parts otherwise."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        value = _changed(random, value)
    return value


def as_json(value: Any) -> bytes:
    """JSON of anything that a mutation makes."""
    return json.dumps(value).encode()


def _changed(random: Random, value: Any) -> Any:
    places = list(_places(value))
    if not places:
        return random.choice(ODD_VALUES)
    above, key = random.choice(places)
    return _replaced(value, above, lambda part: _one_change(random, part, key))


def _places(value: Any, path: tuple[Any, ...] = ()) -> Any:
    """(path of the container, key in it) of every part."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield path, key
        yield from _places(item, (*path, key)) if len(path) < 12 else ()


def _replaced(value: Any, path: Sequence[Any], change: Callable[[Any], Any]) -> Any:
    if not path:
        return change(value)
    result = dict(value) if isinstance(value, dict) else list(value)
    result[path[0]] = _replaced(value[path[0]], path[1:], change)
    return result


def _one_change(random: Random, part: Any, key: Any) -> Any:
    result = dict(part) if isinstance(part, dict) else list(part)
    match random.randrange(6):
        case 0 | 1 | 2:
            result[key] = random.choice(ODD_VALUES)
        case 3:
            del result[key]
        case 4 if isinstance(result, dict):
            result[random.choice((*ODD_KEYS, f"{key}x"))] = result.pop(key) if random.random() < 0.5 else result[key]
        case 4:
            result.insert(key, random.choice(ODD_VALUES))
        case _:
            result[key] = random.choice(([result[key]], {"x": result[key]}, str(result[key]), [result[key]] * 3))
    return result


def _place(random: Random, body: bytearray) -> int:
    return random.randrange(len(body) + 1)


def _insert(random: Random, body: bytearray) -> None:
    place = _place(random, body)
    body[place:place] = random.choice(ODD_BYTES)


def _overwrite(random: Random, body: bytearray) -> None:
    place = _place(random, body)
    body[place : place + random.choice((1, 1, 4, 20))] = random.choice(ODD_BYTES)


def _flip(random: Random, body: bytearray) -> None:
    if body:
        body[random.randrange(len(body))] ^= 1 << random.randrange(8)


def _cut(random: Random, body: bytearray) -> None:
    del body[_place(random, body) :]


def _delete(random: Random, body: bytearray) -> None:
    place = _place(random, body)
    del body[place : place + random.choice((1, 2, 5, 40))]


def _repeat(random: Random, body: bytearray) -> None:
    place = _place(random, body)
    body[place:place] = body[place : place + random.choice((5, 20, 100))] * random.choice((1, 2, 20))


def _repeat_line(random: Random, body: bytearray) -> None:
    lines = bytes(body).splitlines(keepends=True)
    if lines:
        place = random.randrange(len(lines))
        lines.insert(random.randrange(len(lines) + 1), lines[place])
        body[:] = b"".join(lines)


CHANGES: Sequence[Change] = (_insert, _insert, _overwrite, _flip, _cut, _delete, _repeat, _repeat_line)
