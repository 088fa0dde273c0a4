"""A wrong file becomes a sentence that names file, key and nearest valid name."""

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from rekindle.errors import InputError
from rekindle.parsing import (
    Frozen,
    from_json,
    json_value,
    load,
    mapping,
    nearest,
    parse,
    read_json,
    read_text,
    read_yaml,
    yaml_value,
)


class Pool(Frozen):
    count: int
    instance_type: str = "m5.large"


class Settings(Frozen):
    cluster_name: str
    pools: dict[str, Pool] = Field(default_factory=dict)
    masters: Pool | None = None


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"cluster_nam": "x"}, r"cluster_nam is not a known key; did you mean cluster_name\?"),
        ({"cluster_name": "x", "zzz": 1}, "zzz is not a known key; valid are cluster_name, masters, pools"),
        ({}, "cluster_name is missing"),
        (
            {"cluster_name": "x", "pools": {"a": {"count": 1, "instance_typ": 1}}},
            r"pools.a.instance_typ .* instance_type\?",
        ),
        ({"cluster_name": "x", "masters": {"cuont": 1}}, r"masters.cuont .* did you mean count\?"),
        ({"cluster_name": "x", "pools": {"a": {"count": "many"}}}, "pools.a.count: .*integer"),
        ([], "the file: .*"),
    ],
)
def test_what_is_wrong_is_said(data, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        parse(Settings, data, where="dev.yaml")
    assert caught.value.where == "dev.yaml"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"a: [", "is not YAML"),
        (None, "cannot be read"),
        (b"a: \xff", "is not text in UTF-8"),
        (b"a: 2024-13-45", "holds a value that is none: month must be in"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, content, sentence):
    path = tmp_path / "dev.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=sentence) as caught:
        load(Settings, path)
    assert caught.value.where == str(path)


TENFOLD = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{below}'] * 10)}]\n" for below, name in zip("abcdef", "bcdefg", strict=True)
)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3: a is set a second time; the first is on line 1"),
        ("x:\n  a: 1\n  a: 1\n", "line 3: a is set a second time; the first is on line 2"),
        ("{a: 1, a: 2}", "line 1: a is set a second time; the first is on line 1"),
        ("a:\n  1: x\n", "line 2: the key 1 is not text"),
        ("on: x\n", "line 1: the key on is not text"),
        ("? [a]\n: x\n", "line 1: a key is not text"),
        ("a: !!int ''\n", "line 1: holds a value that is none: nothing with the type !!int"),
        ("a: !!timestamp x\n", "line 1: holds a value that is none"),
        ("a: !!bool perhaps\n", "line 1: holds a value that is none"),
        ("a: 2024-01-01\n", "line 1: the date 2024-01-01 is not taken here"),
        ("a: !!binary aGk=\n", "line 1: the type !!binary is not taken here"),
        ("a: !!set {b}\n", "line 1: the type !!set is not taken here"),
        ("a: !!python/object/apply:os.getcwd []\n", "line 1: the type !!python.object.apply:os.getcwd is not taken"),
        ("a: &a [*a]\n", "line 1: .* holds itself"),
        (TENFOLD, "this stands for more than 100000 values"),
        ("- " * 5000, "nested deeper than 100"),
        ("[" * 5000, "nested deeper than 100"),
        ("[" * 150 + "]" * 150, "nested deeper than 100"),
        ("a:\n  b: .nan\n", "a.b: nan is no number"),
        ("a: [1, -.inf]\n", "a.1: -inf is no number"),
        ("a: " + "9" * 5000, "line 1: holds a value that is none: Exceeds the limit"),
        ("a: 0x1" + "0" * 17, "a: the number is too large"),
        ('a: "\\ud800"\n', "a: .*half of a character"),
        ("a: \x00", "is not YAML"),
        ("--- a\n--- b\n", "is not YAML: expected a single document"),
    ],
)
def test_yaml_gives_plain_values_or_says_what_is_none(text, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        yaml_value(text, where="dev.yaml")
    assert caught.value.where == "dev.yaml"
    assert caught.value.next_step


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("a: &x {b: 1, c: 2}\nd: {<<: *x, b: 3}\n", {"a": {"b": 1, "c": 2}, "d": {"b": 3, "c": 2}}),
        ("'on': '1'\n", {"on": "1"}),
        ("a: 18446744073709551616\n", {"a": 1 << 64}),
        ("[" * 99 + "]" * 99, None),
    ],
)
def test_what_is_plain_is_taken(text, value):
    found = yaml_value(text, where="x")
    assert value is None or found == value


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[" * 10_000, "nested deeper than 100"),
        ("[" * 150 + "]" * 150, "nested deeper than 100"),
        ('{"a": NaN}', "a: nan is no number"),
        ('{"a": [1e999]}', "a.0: inf is no number"),
        ("1" * 5000, "Exceeds the limit"),
        ("1" * 4000, "the value: the number is too large"),
        ('{"a": "\\ud800"}', "a: .*half of a character"),
        ('{"\\ud800": 1}', "a key: .*half of a character"),
        ('{"a": 1, "a": 2}', "the key a stands twice"),
        (b"\xff", "invalid start byte"),
        ("", "Expecting value"),
    ],
)
def test_json_gives_plain_values_or_says_what_is_none(text, sentence):
    with pytest.raises(InputError, match=f"is not JSON: .*{sentence}"):
        json_value(text, where="x")


def test_of_a_key_that_an_api_sends_twice_the_last_counts():
    assert from_json('{"a": 1, "a": 2}') == {"a": 2}


def test_a_file_of_any_size_takes_no_more_than_its_limit(tmp_path):
    path = tmp_path / "dev.yaml"
    path.write_bytes(b"#" * 101)
    with pytest.raises(InputError, match="is larger than 100 bytes"):
        read_text(path, limit=100)
    assert len(read_text(path, limit=101)) == 101


@pytest.mark.parametrize("name", ["absent", "a\0b", "."])
def test_a_name_that_no_file_has_is_an_input_error(tmp_path, name):
    with pytest.raises(InputError, match="cannot be read"):
        read_text(tmp_path / name)


def test_a_name_of_any_length_is_answered_shortly():
    said = nearest("x" * 1_000_000, [f"name-{n}" for n in range(1000)])
    assert said.endswith("and 980 more")


@pytest.mark.parametrize("value", [None, [], "a", 1, True])
def test_what_is_no_mapping_is_said_to_be_none(value):
    with pytest.raises(InputError, match="config must be a mapping of names, and is "):
        mapping(value, where="x", what="config")


def test_mistakes_beyond_a_screenful_are_counted():
    with pytest.raises(InputError) as caught:
        parse(Settings, {"cluster_name": "x", **{f"k{n}": 1 for n in range(100)}}, where="x")
    assert str(caught.value).count("is not a known key") == 20
    assert "and 80 more" in str(caught.value)


@settings(max_examples=60)
@given(st.binary(max_size=200) | st.text(alphabet="[]{}:,&*!?-#|>'\" \nab0.<%@", max_size=60).map(str.encode))
def test_any_bytes_are_taken_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "dev.yaml"
    path.write_bytes(content)
    for read in (read_yaml, read_json):
        with suppress(InputError):
            json.dumps(read(path), allow_nan=False).encode()
