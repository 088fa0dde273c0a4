"""The client and the drivers against a master of the stage: what is written reads back as declared.

There are no agents, so nothing runs; deployments wait, which is tested too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from fake_cluster import PEM
from fake_hosts import FakeHosts
from stage_master import master, repository_server, zookeeper

from rehearsal import artifacts
from rekindle import packages, services
from rekindle.dcos import ApiError, Client, Credentials, LoginFailed, connected
from rekindle.errors import GateFailed
from rekindle.inventory import parse
from rekindle.plan import Declared, Driver, Step
from rekindle.secrets import Keyring, Secret

VALUES = {
    "artifacts": "s3://upstream",
    "digests": dict.fromkeys(("kafka.tgz", "jre.tgz", "orders.tgz", "edge.tgz"), "d" * 64),
}

pytestmark = pytest.mark.integration

PROJECT = Path(__file__).resolve().parents[2]
KEYRING = Keyring(b"k" * 32)
KINDS = ("repository", "package", "app")


@dataclass(frozen=True)
class Applied:
    """The project's packages, written to a cluster."""

    url: str
    client: Client
    declared: tuple[Declared, ...]
    drivers: dict[str, Driver]

    def read(self, subject: str) -> object:
        declared = next(d for d in self.declared if d.subject == subject)
        return self.drivers[subject.partition(":")[0]].read(declared.target, [subject])[subject]


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Applied]:
    folder = tmp_path_factory.mktemp("stage")
    archives = artifacts.build(folder / "archives")
    (folder / "repositories").mkdir()
    with (
        zookeeper(archives, folder),
        master(folder) as url,
        repository_server(folder / "repositories") as served,
        connected(url, Credentials("rekindle", Secret(PEM))) as client,
    ):
        yield _applied(url, client, folder / "repositories", served)


def _applied(url: str, client: Client, folder: Path, served: str) -> Applied:
    found = packages.load(PROJECT / "packages", "dev", VALUES)
    inventory = parse(yaml.safe_load((Path(__file__).parent / "inventory.yaml").read_text()), where="test")
    for made in services.generated(found):
        (folder / made.name).write_bytes(made.body)
    names = [s.name for s in services.fetched(found, inventory)] + [g.name for g in services.generated(found)]
    links = {name: f"{served}/{name}" for name in names}
    declared = services.declare(found, inventory, links, {"orders/token": Secret("x")}, KEYRING).declared
    drivers = services.drivers(client, FakeHosts(), KEYRING, declared, found)
    for kind in KINDS:
        for d in (d for d in declared if d.subject.startswith(f"{kind}:")):
            before = drivers[kind].read(d.target, [d.subject])[d.subject]
            if before != d.state:
                step = Step(target=d.target, subject=d.subject, before=before, after=d.state)
                drivers[kind].write(d.target, [step])
    return Applied(url, client, declared, drivers)


def test_what_was_written_reads_back_as_declared(applied: Applied) -> None:
    written = [d for d in applied.declared if d.subject.partition(":")[0] in KINDS]
    assert {d.subject: applied.read(d.subject) for d in written} == {d.subject: d.state for d in written}


def test_the_cluster_says_how_it_is(applied: Applied) -> None:
    health = applied.client.health
    assert health.ensemble().is_whole(1)
    assert (health.version().version[:2], health.version().variant) == ("2.", "open")
    assert health.addresses("leader.mesos")
    assert health.addresses("nobody.mesos") == ()
    assert applied.client.mesos.agents() == ()
    assert applied.client.mesos.metrics()["registrar/log/recovered"] == 1


def test_cosmos_lists_what_it_installed(applied: Applied) -> None:
    found = {(i.app_id, i.name) for i in applied.client.cosmos.installed()}
    assert found == {(f"/kafka-{n}", "kafka") for n in (1, 2, 3)}
    assert applied.client.cosmos.describe("kafka")["version"] == "3.9.1-1"


def test_a_gate_on_what_cannot_be_placed_ends(applied: Applied) -> None:
    with pytest.raises(GateFailed, match="/kafka-1 is not up after 0 s: 0 of 1 run"):
        applied.client.marathon.await_settled("/kafka-1", 0)


def test_a_change_takes_the_place_of_a_deployment_that_waits_for_ever(applied: Applied) -> None:
    app = next(d.state for d in applied.declared if d.subject == "app:/orders")
    assert app is not None
    assert applied.client.marathon.deployments()
    applied.client.marathon.put({**app, "mem": 200})
    assert applied.read("app:/orders") == {**app, "mem": 200}
    applied.client.marathon.put(app)


def test_refusals_say_what_and_where(applied: Applied) -> None:
    with pytest.raises(ApiError, match=r"PUT .*/bad was answered 422: Object is not valid /cpus"):
        applied.client.marathon.put({"id": "/bad", "cmd": "sleep 1", "cpus": -1})
    with pytest.raises(ApiError, match="/node: 'id' is a required property"):
        applied.client.cosmos.install("kafka", "3.9.1-1", {"service": {"name": "x", "zone": "z"}}, "/x")
    with pytest.raises(ApiError) as caught:
        applied.client.cosmos.describe("nothing")
    assert caught.value.kind == "PackageNotFound"


def test_a_wrong_account_is_not_accepted(applied: Applied) -> None:
    with connected(applied.url, Credentials("stranger", Secret(PEM))) as client, pytest.raises(LoginFailed):
        client.marathon.apps()
