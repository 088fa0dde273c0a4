"""What a package may not be is said with its file and its place, before anything is touched."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_packages import LINKS, VALUES, edit, rendered

from rekindle import packages
from rekindle.errors import InputError
from rekindle.inventory import Inventory

FOLDERS = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def app_of(root: Path, inventory: Inventory, **fields: Any) -> packages.Service:
    """The edge package with an app of these fields alone."""
    (root / "edge/app.json.j2").write_text(json.dumps({"cmd": "sleep 1", "mem": 32, **fields}))
    package = packages.load_one(root / "edge", "dev", VALUES)
    (service,) = packages.services(package, inventory, LINKS)
    return service


@pytest.mark.parametrize("name", ["web_frontend", "Web", "-web", "web-", "wéb", "web.1"])
def test_a_folder_that_no_app_can_be_called_after_is_named(root: Path, name: str) -> None:
    (root / "edge").rename(root / name)
    with pytest.raises(InputError, match=f"{name} is no name of a package: .*digits and hyphens") as caught:
        packages.load(root, "dev", VALUES)
    assert caught.value.where == str(root / name)
    assert caught.value.next_step == "Rename the folder."


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("values.meme | tojson", r"meme is used in the template, and nothing defines it; did you mean mem\?"),
        ("[values.meme] | tojson", r"meme is used .* did you mean mem\?"),
        ("{'a': values.meme} | tojson", r"meme is used .* did you mean mem\?"),
        ("values.mem + 'm'", r"cannot be rendered: unsupported operand .*'int' and 'str'"),
        ("values.mem | join(',')", "cannot be rendered: 'int' object is not iterable"),
        ("100 // 0", "cannot be rendered: integer division or modulo by zero"),
        ("values.mem.real.imag.foo", "foo is used in the template"),
        ("''.__class__", "cannot be rendered: .*unsafe"),
        ("'x' * 10 ** 9", "cannot be rendered: it makes more than a template may"),
        ("range(10 ** 9) | list", "cannot be rendered: .*[Rr]ange too big"),
    ],
)
def test_what_an_expression_cannot_be_is_said_with_its_template(
    root: Path, inventory: Inventory, expression: str, said: str
) -> None:
    path = root / "orders/app.json.j2"
    path.write_text(path.read_text().replace("{{ values.mem }}", f"{{{{ {expression} }}}}"))
    with pytest.raises(InputError, match=said) as caught:
        rendered(root, inventory)
    assert caught.value.where == f"{path} for /orders"
    assert caught.value.next_step


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"constraints": [["hostname"]]}, "constraints.0: .*at least 2 items"),
        ({"constraints": [["a", "IS", "b", "c"]]}, "constraints.0: .*at most 3 items"),
        ({"constraints": [["a", "IS", 1]]}, "constraints.0.2: .*string"),
        ({"constraints": {"a": "b"}}, "constraints: .*list"),
        ({"container": {"volumes": ["/data:/data"]}}, r"container.volumes.0: .*Volume"),
        ({"container": {"volumes": [{"containerPath": "d", "external": {}}]}}, "external.name is missing"),
        ({"container": {"volumes": [{"containerPath": "d", "external": "v"}]}}, "external: .*External"),
        ({"container": {"docker": "nginx"}}, "container.docker: "),
        ({"container": []}, "container: "),
        ({"labels": ["a"]}, "labels: .*dictionary"),
        ({"labels": {"a": 1}}, "labels.a: .*string"),
        ({"instances": "two"}, "instances: .*integer"),
        ({"instances": 1.5}, "instances: .*integer"),
        ({"instances": -1}, "instances: .*greater than or equal to 0"),
        ({"instances": 1 << 31}, "instances: .*less than 2147483648"),
        ({"instances": True}, "instances: .*integer"),
        ({"cpus": float("nan")}, "does not render to JSON: cpus: nan is no number"),
        ({"cpus": "1"}, "cpus: .*number"),
        ({"mem": float("inf")}, "does not render to JSON: mem: inf is no number"),
        ({"portDefinitions": [{"port": "80"}]}, "portDefinitions.0.port: .*integer"),
        ({"portDefinitions": [{"port": 65536}]}, "portDefinitions.0.port: .*65535"),
        ({"portDefinitions": 80}, "portDefinitions: .*list"),
        ({"requirePorts": "yes"}, "requirePorts: .*boolean"),
        ({"acceptedResourceRoles": "slave_public"}, "acceptedResourceRoles: .*list"),
        ({"healthChecks": [None]}, "healthChecks.0: "),
        ({"healthChecks": {"protocol": "HTTP"}}, "healthChecks: .*list"),
        ({"fetch": ["http://a"]}, "fetch.0: "),
        ({"fetch": [{}]}, "fetch.0.uri is missing"),
        ({"env": {"A": 1}}, "env.A"),
        ({"env": "A=1"}, "env: .*dictionary"),
        ({"upgradeStrategy": {"minimumHealthCapacity": 1}}, "upgradeStrategy.maximumOverCapacity is missing"),
        ({"cmd": ["sleep", "1"]}, "cmd: .*string"),
    ],
)
def test_a_field_of_another_type_is_named(root: Path, inventory: Inventory, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        app_of(root, inventory, **fields)
    assert str(root / "edge/app.json.j2") in caught.value.where
    assert caught.value.next_step


def test_what_is_null_says_what_a_missing_field_says(root: Path, inventory: Inventory) -> None:
    service = app_of(root, inventory, constraints=None, labels=None, container=None, instances=2.0)
    assert service.app == {
        "id": "/edge",
        "cmd": "sleep 1",
        "mem": 32,
        "instances": 2,
        "labels": {packages.OWNER_LABEL: "dev/edge"},
    }


@pytest.mark.parametrize("label", ["poc/edge", "", "dev/orders"])
def test_a_templates_label_does_not_hide_the_owner(root: Path, inventory: Inventory, label: str) -> None:
    service = app_of(root, inventory, labels={packages.OWNER_LABEL: label, "A": "b"})
    assert service.app["labels"] == {packages.OWNER_LABEL: "dev/edge", "A": "b"}


def test_an_apps_id_is_its_installations_whatever_its_template_says(root: Path, inventory: Inventory) -> None:
    assert app_of(root, inventory, id="/somebody-elses").app["id"] == "/edge"


def test_a_key_that_stands_twice_in_a_template_is_named(root: Path, inventory: Inventory) -> None:
    (root / "edge/app.json.j2").write_text('{"cmd": "a", "cmd": "b"}')
    with pytest.raises(InputError, match="does not render to JSON: the key cmd stands twice"):
        rendered(root, inventory)


@pytest.mark.parametrize("text", ["[]", "1", "null", '"x"'])
def test_a_template_that_renders_to_no_object_is_refused(root: Path, inventory: Inventory, text: str) -> None:
    (root / "edge/app.json.j2").write_text(text)
    with pytest.raises(InputError, match="what it renders to must be a mapping"):
        rendered(root, inventory)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"secrets": [{"name": "token", "path": "relative"}]}, "secrets.0.path"),
        ({"secrets": [{"name": "token", "path": "/etc/../a"}]}, "secrets.0.path"),
        ({"secrets": [{"name": "token", "path": "/a b"}]}, "secrets.0.path"),
        ({"secrets": [{"name": "token", "path": "/a\n/b"}]}, "secrets.0.path"),
        ({"secrets": [{"name": "token", "owner": "a;b"}]}, "secrets.0.owner"),
        ({"secrets": [{"name": "token", "mode": "0999"}]}, "secrets.0.mode"),
        ({"secrets": [{"name": "to_ken"}]}, "secrets.0.name"),
        ({"artifacts": [{"name": "../a", "url": "http://a"}]}, "artifacts.0.name"),
        ({"artifacts": [{"name": "a", "url": "http://a", "sha256": "0"}]}, "artifacts.0.sha256"),
        ({"gate_seconds": 0}, "gate_seconds"),
        ({"gate_seconds": 1e9}, "gate_seconds"),
        ({"backup": {"volumes": [], "barrier": {"service": "orders", "path": "/[1-9]"}}}, "barrier.path"),
        ({"backup": {"volumes": [], "barrier": {"service": "orders", "path": "/", "port_index": -1}}}, "port_index"),
        ({"initialise": {"option": "a..b"}}, "initialise.option"),
        ({"instances": [{"name": "a/b"}]}, "instances.0.name"),
        ({"needs": "kafka"}, "needs: "),
    ],
)
def test_names_and_numbers_that_do_harm_are_refused(root: Path, change: dict[str, Any], said: str) -> None:
    edit(root / "orders/package.yaml", change)
    with pytest.raises(InputError, match=said):
        packages.load(root, "dev", VALUES)


@pytest.mark.parametrize("text", ["- a\n", "text\n", "1\n"])
def test_values_are_a_mapping(root: Path, text: str) -> None:
    (root / "edge/values.yaml").write_text(text)
    with pytest.raises(InputError, match=r"must be a mapping of names, and is ") as caught:
        packages.load(root, "dev", VALUES)
    assert caught.value.where.endswith("edge/values.yaml")


def test_a_universe_that_is_no_address_is_named(root: Path, inventory: Inventory) -> None:
    from rekindle import services
    from rekindle.secrets import Keyring, Secret

    found = packages.load(root, "dev", {**VALUES, "universe": ["http://a"]})
    names = [s.name for s in services.fetched(found, inventory)] + [g.name for g in services.generated(found)]
    with pytest.raises(InputError, match="the value `universe` is no address"):
        services.declare(
            found, inventory, dict.fromkeys(names, "http://m"), {"orders/token": Secret("x")}, Keyring(b"k" * 32)
        )


# The four files of a Universe package


def universe(root: Path, file: str, text: str) -> Callable[[], packages.Universe]:
    (root / "kafka/universe" / file).write_text(text)
    return lambda: packages.Universe.load(root / "kafka/universe")


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("package.json", "{}", "name is missing"),
        ("package.json", '{"name": "Kafka", "version": "1"}', "name: .*pattern"),
        ("package.json", '{"name": "kafka", "version": 1}', "version: .*string"),
        ("package.json", "[]", "must be a mapping"),
        ("config.json", "[]", "must be a mapping"),
        ("config.json", '{"type": "nothing"}', "is not a JSON schema of draft 4: type"),
        ("config.json", '{"properties": []}', "is not a JSON schema of draft 4: properties"),
        ("config.json", '{"properties": {"a": 1}}', "is not a JSON schema of draft 4: properties.a"),
        ("config.json", '{"default": 3}', "default must be a mapping"),
        ("config.json", "{" * 300, "is not JSON"),
        ("resource.json", "3", "must be a mapping"),
        ("marathon.json.mustache", "\udcff", "is not text in UTF-8"),
    ],
)
def test_what_is_wrong_with_a_file_of_a_universe_package_is_said(root: Path, file: str, text: str, said: str) -> None:
    path = root / "kafka/universe" / file
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=said) as caught:
        packages.Universe.load(path.parent)
    assert caught.value.where == str(path)


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"$ref": "#"}, r"its \$ref leads back to itself"),
        ({"properties": {"a": {"$ref": "#/properties/a"}}}, r"its \$ref leads back to itself"),
        ({"$ref": "#/definitions/a"}, r"its \$ref .*/definitions/a leads nowhere"),
        ({"$ref": "http://127.0.0.1:9/x"}, r"its \$ref http://127.0.0.1:9/x leads nowhere"),
        ({"$ref": "file:///etc/passwd"}, r"its \$ref file:///etc/passwd leads nowhere"),
        ({"patternProperties": {"(": {}}}, "missing"),
    ],
)
def test_a_schema_that_cannot_be_followed_is_named_and_nothing_is_fetched(
    root: Path, monkeypatch: pytest.MonkeyPatch, schema: dict[str, Any], said: str
) -> None:
    fetched: list[object] = []
    monkeypatch.setattr("urllib.request.urlopen", lambda url, *more, **options: fetched.append(url))
    made = universe(root, "config.json", json.dumps(schema))()
    with pytest.raises(InputError, match=said) as caught:
        made.check({"a": "x"}, where="here")
    assert caught.value.where.endswith("config.json")
    assert fetched == []


def test_a_schema_may_refer_to_its_own_parts(root: Path) -> None:
    schema = {"definitions": {"n": {"type": "integer"}}, "properties": {"a": {"$ref": "#/definitions/n"}}}
    made = universe(root, "config.json", json.dumps(schema))()
    made.check({"a": 1}, where="here")
    with pytest.raises(InputError, match="a: 'x' is not of type"):
        made.check({"a": "x"}, where="here")


def test_keys_that_stand_twice_in_published_packages_are_taken_as_cosmos_takes_them(root: Path) -> None:
    text = '{"name": "a", "name": "kafka", "version": "1"}'
    assert universe(root, "package.json", text)().name == "kafka"


@FOLDERS
@given(st.sampled_from(["orders/package.yaml", "edge/values.yaml", "kafka/universe/config.json"]), ODD)
def test_a_file_of_any_content_is_taken_or_refused(root: Path, inventory: Inventory, file: str, value: Any) -> None:
    right = (root / file).read_text()
    (root / file).write_text(json.dumps(value))
    with suppress(InputError):
        rendered(root, inventory)
    (root / file).write_text(right)


@FOLDERS
@given(st.sampled_from(["constraints", "container", "labels", "instances", "portDefinitions", "fetch"]), ODD)
def test_an_app_of_any_types_is_taken_or_refused(root: Path, inventory: Inventory, field: str, value: Any) -> None:
    with suppress(InputError):
        packages.check([app_of(root, inventory, **{field: value})], inventory)
