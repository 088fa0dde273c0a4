"""What operators write: settings, inventories, packages, plan files."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from tests.hostile.parser import Parser, documents

from rekindle import environment, inventory, packages, parsing, services
from rekindle.cli import main as _command_line  # noqa: F401 - what a command loads is loaded here
from rekindle.dcos import Agent
from rekindle.dcos.app_definition import normal
from rekindle.inventory import Inventory
from rekindle.plan import Declared, Plan, Step
from rekindle.secrets import Keyring, Secret

PROJECT = Path(__file__).resolve().parents[2]
FETCHED = ("kafka.tgz", "jre.tgz", "orders.tgz", "edge.tgz")
VALUES = {"artifacts": "s3://upstream", "digests": dict.fromkeys(FETCHED, "0" * 64)}
KEYRING = Keyring(b"k" * 32)


class AnyLinks(dict[str, str]):
    """A mirror that has everything."""

    def __missing__(self, name: str) -> str:
        return f"http://mirror/{name}"

    def __contains__(self, name: object) -> bool:
        return True


class AnySecrets(dict[str, Secret]):
    """A store of secrets that has every one."""

    def __missing__(self, name: str) -> Secret:
        return Secret("a value")


def stands() -> Inventory:
    """An inventory that the project's packages fit."""
    return inventory.load(PROJECT / "tests" / "services" / "inventory.yaml")


def parsers(scratch: Path) -> Iterator[Parser]:
    """All of them; files go under `scratch`."""
    yield Parser("yaml", lambda body: _kept(scratch / "a.yaml", body, parsing.read_yaml), YAML)
    yield Parser("json", lambda body: parsing.json_value(body, where="x"), JSON, "json")
    yield Parser("plan file", lambda body: _kept(scratch / "p.json", body, _plan), [_plan_file()], "json")
    yield from _stacks(scratch / "project")
    inventory_file = (PROJECT / "tests" / "services" / "inventory.yaml").read_bytes()
    yield Parser(
        "inventory", lambda body: _kept(scratch / "inventory.yaml", body, inventory.load), [inventory_file], "yaml"
    )
    yield from _packages(scratch / "packages")


def _stacks(project: Path) -> Iterator[Parser]:
    folder = project / "stacks"
    folder.mkdir(parents=True)
    files = [(PROJECT / "stacks" / "Pulumi.dev.yaml").read_bytes()]

    def stack(body: bytes) -> None:
        (folder / "Pulumi.dev.yaml").write_bytes(body)
        environment.placed_hosts(environment.load(project, "dev"))

    def foundation(body: bytes) -> None:
        (folder / "Pulumi.foundation.yaml").write_bytes(body)
        document = parsing.mapping(parsing.read_yaml(folder / "Pulumi.foundation.yaml"), where="x")
        environment.parse_foundation(parsing.mapping(document.get("config"), where="x"), where="x")

    def name(body: bytes) -> None:
        environment.load(PROJECT, body.decode(errors="surrogateescape"))

    yield Parser("stack file", stack, files, "yaml")
    yield Parser("foundation", foundation, [(PROJECT / "stacks" / "Pulumi.foundation.yaml").read_bytes()], "yaml")
    yield Parser("environment name", name, [b"dev", b"dev-dr"])


def _packages(root: Path) -> Iterator[Parser]:
    """Each file of each package in turn, all others as they are; the last parser is the folder's name."""
    shutil.copytree(PROJECT / "packages", root)
    (root / "orders" / "values").mkdir()
    for package, name, form in FILES:
        path = root / package / name
        seeds = [path.read_bytes()] if path.exists() else [RESOURCE if form == "json" else b"cpus: 0.5\nmem: 64\n"]
        yield Parser(f"{package}/{name}", _rendering(root / package, path), seeds, form)
    yield Parser("an app", _rendering(root / "edge", root / "edge" / "app.json.j2"), documents(APP), "json")
    yield Parser("package folder", lambda body: _named(root, body), [b"web", b"web-1"])


def _rendering(folder: Path, path: Path) -> Callable[[bytes], None]:
    stand, right = stands(), path.read_bytes() if path.exists() else None

    def feed(body: bytes) -> None:
        path.write_bytes(body)
        try:
            package = packages.load_one(folder, "dev", VALUES)
            _declared(package, stand)
        finally:
            path.unlink() if right is None else path.write_bytes(right)

    return feed


def _declared(package: packages.Package, stand: Inventory) -> None:
    packages.sources(package, stand)
    alone = package.spec.model_copy(update={"needs": ()})
    if alone.backup:
        alone = alone.model_copy(update={"backup": alone.backup.model_copy(update={"barrier": None})})
    found = [packages.Package(package.name, package.folder, alone, package.values, package.universe)]
    services.generated(found)
    declaration = services.declare(found, stand, AnyLinks(), AnySecrets(), KEYRING)
    packages.check_capacity(declaration.services, AGENTS)
    made = Plan(environment="dev", command="apply", release="r", journal_head="h", steps=_steps(declaration.declared))
    made.to_json().encode()
    for service in declaration.services:
        json.dumps(normal(service.app), allow_nan=False).encode()


def _steps(declared: tuple[Declared, ...]) -> tuple[Step, ...]:
    return tuple(Step(target=d.target, subject=d.subject, before=None, after=d.state) for d in declared)


def _named(root: Path, body: bytes) -> None:
    name = body.decode(errors="surrogateescape").replace("/", "").replace("\0", "")
    if not 0 < len(name.encode(errors="surrogateescape")) < 200 or name.startswith("."):
        return
    folder = root.parent / "named" / name
    shutil.copytree(root / "edge", folder)
    try:
        packages.load(folder.parent, "dev", VALUES)
    finally:
        shutil.rmtree(folder)


def _kept(path: Path, body: bytes, read: Callable[[Path], object]) -> None:
    path.write_bytes(body)
    read(path)


def _plan(path: Path) -> None:
    plan = Plan.from_json(parsing.read_text(path), where=str(path))
    json.loads(plan.to_json().encode())


def _plan_file() -> bytes:
    needs = frozenset({("marathon", "app:/a")})
    steps = (
        Step(target="marathon", subject="app:/a", before=None, after={"cmd": "x", "mem": 1}),
        Step(target="/a", subject="health:/a", before={"up": "1"}, after=None, needs=needs),
    )
    return Plan(environment="dev", command="apply", release="r", journal_head="h", steps=steps).to_json().encode()


AGENTS = [Agent("S", "10.0.0.1", {"public_ip": of}, True, 64, 1e6, 0, 0, 0, frozenset()) for of in ("true", "false")]
FILES: tuple[tuple[str, str, Any], ...] = (
    ("orders", "package.yaml", "yaml"),
    ("orders", "values.yaml", "yaml"),
    ("orders", "values/dev.yaml", "yaml"),
    ("orders", "app.json.j2", "text"),
    ("kafka", "package.yaml", "yaml"),
    ("kafka", "values.yaml", "yaml"),
    ("kafka", "options.json.j2", "text"),
    ("kafka", "universe/package.json", "json"),
    ("kafka", "universe/config.json", "json"),
    ("kafka", "universe/resource.json", "json"),
    ("kafka", "universe/marathon.json.mustache", "text"),
)
YAML = [
    b"a: &x {b: 1, c: [1, 2.5, true, null, 'text']}\nd:\n  <<: *x\n  e: |\n    lines\n    of text\nf: >-\n  folded\n",
    yaml.safe_dump({"values": {"heap": 512, "hosts": ["a", "b"]}, "when": "2024-01-01"}).encode(),
]
RESOURCE = b'{"assets": {"uris": {"kafka": "http://a/kafka.tgz"}}, "images": {"icon-small": "http://a/i.png"}}'
JSON = documents({"a": [1, 2.5, None, True, "x"], "b": {"c": {"d": []}}})
APP = {
    "cmd": "sleep 1",
    "cpus": 0.1,
    "mem": 32,
    "instances": 1,
    "acceptedResourceRoles": ["slave_public"],
    "constraints": [["zone", "IS", "us-east-1a"], ["hostname", "UNIQUE"]],
    "container": {
        "type": "MESOS",
        "docker": {"image": "x", "parameters": [{"key": "a", "value": "b"}]},
        "volumes": [
            {"containerPath": "data", "mode": "RW", "external": {"name": "kafka-1", "provider": "dvdi", "options": {}}},
            {"containerPath": "p", "mode": "RW", "persistent": {"size": 10}},
        ],
        "portMappings": [{"containerPort": 80, "hostPort": 0, "labels": {"a": "b"}}],
    },
    "env": {"A": "b", "S": {"secret": "s"}},
    "secrets": {"s": {"source": "a/b"}},
    "fetch": [{"uri": "http://m/a.tgz", "extract": True}],
    "healthChecks": [{"protocol": "MESOS_HTTP", "path": "/", "portIndex": 0}],
    "labels": {"A": "b"},
    "networks": [{"mode": "host"}],
    "portDefinitions": [{"port": 9092, "name": "web", "labels": {"VIP_0": "/a:80"}}],
    "readinessChecks": [{"name": "r", "httpStatusCodesForReady": [200]}],
    "requirePorts": True,
    "upgradeStrategy": {"minimumHealthCapacity": 1, "maximumOverCapacity": 0.5},
    "unreachableStrategy": {"inactiveAfterSeconds": 0, "expungeAfterSeconds": 0},
}
