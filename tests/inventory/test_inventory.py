"""An inventory is parsed whole or refused, and answers by name and role."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.errors import InputError
from rekindle.inventory import Role, load, parse

FILE = Path(__file__).parents[1] / "services" / "inventory.yaml"
GOOD: dict[str, Any] = yaml.safe_load(FILE.read_text())
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def test_a_host_is_found_by_its_name_and_no_other() -> None:
    found = load(FILE)
    assert [found.host(name).name for name in ("private-2", "master-1")] == ["private-2", "master-1"]
    with pytest.raises(InputError, match="no host is named private-9"):
        found.host("private-9")


def test_hosts_of_roles_come_in_the_order_of_the_inventory() -> None:
    found = load(FILE)
    assert [h.name for h in found.with_role(Role.MASTER, Role.PUBLIC_AGENT)] == ["master-1", "public-1"]
    assert found.with_role(Role.BASTION) == ()


def test_what_is_parsed_reads_back() -> None:
    found = load(FILE)
    assert parse(json.loads(found.model_dump_json()), where="x") == found


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "version: Input should be 1"),
        ({"hosts": {}}, "hosts: .*tuple"),
        ({"hosts": [GOOD["hosts"][0] | {"role": "king"}]}, "hosts.0.role: "),
        ({"hosts": [GOOD["hosts"][0] | {"private_ip": "10.0.0"}]}, "hosts.0.private_ip: "),
        ({"hosts": [GOOD["hosts"][0] | {"zone": "dmz"}]}, "hosts.0.zone: "),
        ({"host": []}, r"host is not a known key; did you mean hosts\?"),
        ({"ssh": None}, "ssh: "),
        ({"stores": {"region": "x"}}, "stores.journal_bucket is missing"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse(GOOD | change, where="dev.yaml")


@settings(max_examples=60)
@given(st.sampled_from(sorted(GOOD)), ODD)
def test_any_inventory_is_taken_or_refused(key: str, value: Any) -> None:
    with suppress(InputError):
        parse(GOOD | {key: value}, where="x")
