"""A wrong file becomes a sentence that names file, key and nearest valid name."""

import pytest
from pydantic import Field

from rekindle.errors import InputError
from rekindle.parsing import Frozen, load, parse


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
