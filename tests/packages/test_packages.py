"""Packages are loaded strictly, rendered for an inventory, and checked before anything is touched."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft4Validator

from rekindle import packages
from rekindle.dcos import Agent
from rekindle.errors import InputError
from rekindle.inventory import Inventory
from rekindle.packages import Package, Service

VALUES = {
    "artifacts": "s3://upstream",
    "digests": dict.fromkeys(("kafka.tgz", "jre.tgz", "orders.tgz", "edge.tgz"), "d" * 64),
}
LINKS = {name: f"http://mirror/sha256/0/{name}" for name in ("kafka.tgz", "jre.tgz", "orders.tgz", "edge.tgz")}
SCHEMAS = Path(__file__).parent / "schemas"


def loaded(root: Path) -> dict[str, Package]:
    return {package.name: package for package in packages.load(root, "dev", VALUES)}


def rendered(root: Path, inventory: Inventory) -> dict[str, Service]:
    found = [s for p in loaded(root).values() for s in packages.services(p, inventory, LINKS)]
    return {service.app_id: service for service in found}


def edit(path: Path, change: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **change}))


def test_needs_come_first(root: Path) -> None:
    names = list(loaded(root))
    assert names.index("kafka") < names.index("orders")


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("orders/package.yaml", {"need": ["kafka"]}, "need is not a known key; did you mean needs"),
        ("orders/package.yaml", {"secrets": [{"nam": "x"}]}, "secrets.0.nam is not a known key; did you mean name"),
        ("orders/package.yaml", {"needs": ["kafkaa"]}, "there is no package kafkaa; did you mean kafka"),
        ("orders/package.yaml", {"kind": "pod"}, "kind: Input should be 'app' or 'universe'"),
        ("kafka/package.yaml", {"backup": {"volume": []}}, "backup.volume is not a known key; did you mean volumes"),
        ("kafka/package.yaml", {"needs": ["orders"]}, "need one another: "),
        ("edge/package.yaml", {"artifacts": [{"name": "jre.tgz", "url": "http://other"}]}, "jre.tgz is something else"),
    ],
)
def test_what_is_wrong_with_a_package_file_is_named(root: Path, file: str, change: dict[str, Any], said: str) -> None:
    edit(root / file, change)
    with pytest.raises(InputError) as caught:
        packages.load(root, "dev", VALUES)
    assert said in str(caught.value)
    assert "package.yaml" in str(caught.value) or "packages" in str(caught.value)


def test_a_cycle_is_named_whole(root: Path) -> None:
    edit(root / "kafka/package.yaml", {"needs": ["orders"]})
    with pytest.raises(InputError, match=r"orders → kafka → orders|kafka → orders → kafka"):
        packages.load(root, "dev", VALUES)


def test_values_of_an_environment_go_over_the_others(root: Path) -> None:
    (root / "orders/values").mkdir()
    (root / "orders/values/dev.yaml").write_text("mem: 256\n")
    assert loaded(root)["orders"].values["mem"] == 256
    assert loaded(root)["orders"].values["cpus"] == 0.2
    assert loaded(root)["orders"].values["artifacts"] == "s3://upstream"


def test_a_misspelt_value_is_named(root: Path) -> None:
    (root / "orders/values").mkdir()
    (root / "orders/values/dev.yaml").write_text("memm: 256\n")
    with pytest.raises(InputError, match=r"dev\.yaml: memm is not a known value; did you mean mem"):
        loaded(root)


def test_artifacts_come_from_where_the_environment_says(root: Path, inventory: Inventory) -> None:
    found = packages.sources(loaded(root)["orders"], inventory)
    assert [(s.name, s.url) for s in found] == [("orders.tgz", "s3://upstream/orders.tgz")]


def test_a_missing_value_is_named_with_its_template(root: Path, inventory: Inventory) -> None:
    package = packages.load_one(root / "orders", "dev", {})
    with pytest.raises(InputError, match=r"package\.yaml, artifact orders\.tgz: .*artifacts"):
        packages.sources(package, inventory)


def test_brokers_run_where_their_volumes_are(root: Path, inventory: Inventory) -> None:
    services = rendered(root, inventory)
    placed = {app_id: s.app["constraints"] for app_id, s in services.items() if s.package.name == "kafka"}
    assert placed == {f"/kafka-{n}": [["zone", "IS", f"us-east-1{az}"]] for n, az in ((1, "a"), (2, "b"), (3, "c"))}


def test_everything_says_who_owns_it(root: Path, inventory: Inventory) -> None:
    owners = {s.app["labels"][packages.OWNER_LABEL] for s in rendered(root, inventory).values()}
    assert owners == {"dev/kafka", "dev/orders", "dev/edge"}


def test_the_projects_own_packages_pass_the_static_check(root: Path, inventory: Inventory) -> None:
    packages.check(list(rendered(root, inventory).values()), inventory)


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (
            "orders/app.json.j2",
            '"instances"',
            '"instance"',
            "instance is not a field of an app; did you mean instances",
        ),
        ("orders/app.json.j2", "values.mem", "values.memory", "memory is used in the template"),
        ("orders/app.json.j2", '"env": {', '"env": {,', "does not render to JSON"),
        ("orders/app.json.j2", "{{ values.cpus }}", "{{ values.cpus }", "line "),
        ("kafka/options.json.j2", '"heap"', '"heep"', "kafka.heep is not a known option; did you mean heap"),
        ("kafka/options.json.j2", "{{ values.heap }}", '"big"', "kafka.heap: 'big' is not of type 'integer'"),
        ("kafka/options.json.j2", "{{ values.heap }}", "1", "kafka.heap: 1 is less than the minimum"),
    ],
)
def test_what_is_wrong_with_a_template_is_named_before_anything_is_sent(
    root: Path, inventory: Inventory, file: str, old: str, new: str, said: str
) -> None:
    path = root / file
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(InputError) as caught:
        rendered(root, inventory)
    assert said in str(caught.value)
    assert file in str(caught.value)


def test_a_missing_volume_is_named(root: Path, inventory: Inventory) -> None:
    volumes = tuple(v for v in inventory.volumes if v.name != "kafka-2")
    with pytest.raises(InputError, match="no volume is named kafka-2"):
        rendered(root, inventory.model_copy(update={"volumes": volumes}))


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("kafka/options.json.j2", "{{ volume.az | tojson }}", '"us-east-1z"', "no private_agent meets its constraints"),
        ("kafka/options.json.j2", "{{ volume.az | tojson }}", '"us-east-1c"', "must keep it in us-east-1a"),
        ("kafka/options.json.j2", "{{ volume.name | tojson }}", '"kafka-1"', "mount the same volume kafka-1"),
        ("kafka/values.yaml", "broker_port: 9092", "broker_port: 5050", "agents do not offer port 5050"),
        (
            "kafka/universe/marathon.json.mustache",
            '"instances": 1',
            '"instances": 2',
            "external volume has one instance",
        ),
        ("edge/app.json.j2", "{{ public_agents }}", "3", "3 instances with fixed ports, and 1 agents"),
        ("edge/values.yaml", "http_port: 80", "http_port: 22", "do not offer port 22"),
    ],
)
def test_what_cannot_be_placed_is_named(
    root: Path, inventory: Inventory, file: str, old: str, new: str, said: str
) -> None:
    path = root / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    services = list(rendered(root, inventory).values())
    with pytest.raises(InputError) as caught:
        packages.check(services, inventory)
    assert said in str(caught.value)


def agent(*, cpus: float = 2, mem: float = 2000, public: bool = False) -> Agent:
    return Agent("id", "10.0.0.1", {"public_ip": "true"} if public else {}, True, cpus, mem, 0, 0, 0, frozenset())


@pytest.mark.parametrize(
    ("agents", "said"),
    [
        ([agent(), agent(), agent(), agent(public=True)], None),
        ([agent(mem=300)] * 20 + [agent(public=True)], "/kafka-1 needs 640 mem, the largest private agent has 300"),
        ([agent(mem=700)] * 3 + [agent(public=True)], "all services need 2176 mem, the private agents have 2100"),
        ([agent()] * 3, "the largest public agent has 0"),
    ],
)
def test_room_is_counted(root: Path, inventory: Inventory, agents: list[Agent], said: str | None) -> None:
    services = list(rendered(root, inventory).values())
    if said is None:
        packages.check_capacity(services, agents)
        return
    with pytest.raises(InputError) as caught:
        packages.check_capacity(services, agents)
    assert said in str(caught.value)


def test_the_repository_fits_the_published_schema(root: Path) -> None:
    universe = loaded(root)["kafka"].universe
    assert universe is not None
    definitions = json.loads((SCHEMAS / "vX-repo-definitions.json").read_text())
    package = json.loads(universe.repository())["packages"][0]
    Draft4Validator({**definitions, "$ref": "#/v40Package"}).validate(package)


def test_the_same_files_give_the_same_repository(root: Path) -> None:
    first, second = (loaded(root)["kafka"].universe for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.repository() == second.repository()


def test_a_restored_volume_makes_its_own_installation_known_and_no_other(root: Path) -> None:
    assert packages.holders(loaded(root).values(), {"kafka-2": "snap-1"}) == {"/kafka-2"}


def pinned(root: Path, **change: Any) -> None:
    package = root / "edge" / "package.yaml"
    artifact = {**yaml.safe_load(package.read_text())["artifacts"][0], **change}
    edit(package, {"artifacts": [{key: value for key, value in artifact.items() if value is not None}]})


@pytest.mark.parametrize(("user", "is_refused"), [(None, True), ("root", True), ("nobody", False)])
def test_what_runs_as_root_is_known_by_its_digest(
    root: Path, inventory: Inventory, user: str | None, is_refused: bool
) -> None:
    pinned(root, sha256=None)
    template = root / "edge" / "app.json.j2"
    template.write_text(
        template.read_text().replace("{", f'{{"user": {json.dumps(user)},', 1) if user else template.read_text()
    )
    (edge,) = packages.services(loaded(root)["edge"], inventory, LINKS)
    if not is_refused:
        packages.check([edge], inventory)
        return
    with pytest.raises(InputError, match=r"run as root, so artifact edge\.tgz needs its `sha256`"):
        packages.check([edge], inventory)


def test_a_pinned_artifact_needs_nothing_more(root: Path, inventory: Inventory) -> None:
    (edge,) = packages.services(loaded(root)["edge"], inventory, LINKS)
    packages.check([edge], inventory)
    (source,) = packages.sources(loaded(root)["edge"], inventory)
    assert source.sha256 == "d" * 64


@pytest.mark.parametrize("digest", ["{{ 'd' * 63 }}", "{{ 'D' * 64 }}", "{{ values.artifacts }}", "{{ 'd' * 64 }}\n"])
def test_a_digest_that_is_none_is_told(root: Path, inventory: Inventory, digest: str) -> None:
    pinned(root, sha256=digest)
    with pytest.raises(InputError, match=r"sha256 is .*, not 64 hexadecimal digits"):
        packages.sources(loaded(root)["edge"], inventory)
