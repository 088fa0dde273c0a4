"""The order that must hold, as tables; the plan; Rekindle's own account."""

from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, cast

import jwt
import pytest

from rekindle import bootstrap, environment, roles
from rekindle.drivers.hosts import KINDS, HostDriver
from rekindle.errors import InputError, Refused
from rekindle.inventory import Host, Inventory, Role, Ssh
from rekindle.plan import Key, Observed, State
from rekindle.secrets import Secret
from rekindle.transport import Transport

ROLES = Path(__file__).parents[2] / "roles"
DCOS = roles.DcosSettings(version="2.1", installer_url="http://a/i.sh", installer_sha256="0" * 64)
SETTINGS = roles.HostSettings(kernel="shared", container_runtime="none")
HOSTS = {
    "bastion": Role.BASTION,
    "bootstrap": Role.BOOTSTRAP,
    "master-1": Role.MASTER,
    "master-2": Role.MASTER,
    "master-3": Role.MASTER,
    "private-1": Role.PRIVATE_AGENT,
    "public-1": Role.PUBLIC_AGENT,
}
MASTERS = ("master-1", "master-2", "master-3")


def inventory(**changed: Any) -> Inventory:
    hosts = tuple(
        Host(name=name, role=role, pool="p", zone="admin", az="z", private_ip=IPv4Address(f"10.0.0.{n}"), **changed)
        for n, (name, role) in enumerate(HOSTS.items(), 1)
    )
    return Inventory(environment="t", region=None, cluster_name="t", hosts=hosts, ssh=Ssh(user="root"))


def declared(**changed: Any) -> roles.Rendered:
    return bootstrap.declare(roles.load(ROLES), inventory(**changed), DCOS, SETTINGS, "KEY\n")


def needs(target: str, subject: str) -> set[Key]:
    return {key for d in declared().declared if d.key == (target, subject) for key in d.needs}


def elsewhere(target: str, subject: str) -> set[Key]:
    return {key for key in needs(target, subject) if key[0] != target}


@pytest.mark.parametrize(
    ("target", "subject", "expected"),
    [
        ("master-1", "install:dcos", {("bootstrap", "gate:serving")}),
        ("private-1", "install:dcos", {(m, "gate:quorum") for m in MASTERS}),
        ("public-1", "install:dcos", {(m, "gate:quorum") for m in MASTERS}),
        ("bootstrap", "gate:serving", set()),
        ("master-1", "gate:quorum", set()),
        ("master-2", "gate:cluster", {("private-1", "gate:registered"), ("public-1", "gate:registered")}),
        ("master-1", "file:/etc/systemd/journald.conf.d/50-rekindle.conf", set()),
    ],
)
def test_the_order_that_must_hold(target: str, subject: str, expected: set[Key]) -> None:
    assert elsewhere(target, subject) == expected


def test_a_host_is_installed_after_all_else_on_it_and_gated_after_that() -> None:
    own = {subject for target, subject in needs("private-1", "install:dcos") if target == "private-1"}
    everything = {d.subject for d in declared().declared if d.target == "private-1"}
    assert own == everything - {"install:dcos", "gate:registered"}
    assert ("private-1", "install:dcos") in needs("private-1", "gate:registered")


def test_the_gate_of_the_bootstrap_host_asks_that_host_for_the_installer() -> None:
    gate = next(d for d in declared().declared if d.key == ("bootstrap", "gate:serving"))
    assert "http://10.0.0.2/dcos_install.sh" in str(gate.state)


def facts(rendered: roles.Rendered, *without: str) -> dict[Key, State | None]:
    return {d.key: d.state for d in rendered.declared if d.target not in without}


def test_nothing_is_planned_where_all_is_so() -> None:
    rendered = declared()
    assert _plan(rendered, Observed(facts(rendered))).steps == ()


def test_a_host_that_did_not_answer_has_its_steps_and_the_others_none() -> None:
    rendered = declared()
    steps = _plan(rendered, Observed(facts(rendered, "private-1"))).steps
    assert {s.target for s in steps} == {"private-1"}


def test_attributes_of_an_installed_agent_do_not_change() -> None:
    before, after = declared(), declared(attributes={"zone": "elsewhere"})
    with pytest.raises(Refused, match="attributes or resources") as caught:
        _plan(after, Observed(facts(before)))
    assert caught.value.where == "private-1"
    bare = {key: None if key[1] == "install:dcos" else state for key, state in facts(before).items()}
    assert [s.subject for s in _plan(after, Observed(bare)).steps].count("file:/var/lib/dcos/mesos-slave-common") == 2


def test_one_bootstrap_host_is_needed() -> None:
    hosts = tuple(h for h in inventory().hosts if h.role is not Role.BOOTSTRAP)
    with pytest.raises(InputError, match="one bootstrap host"):
        bootstrap.declare(roles.load(ROLES), inventory().model_copy(update={"hosts": hosts}), DCOS, SETTINGS, "KEY\n")


def _plan(rendered: roles.Rendered, observed: Observed) -> Any:
    return bootstrap.plan("t", rendered, observed, release="r", journal_head="h")


def test_each_kind_of_subject_of_hosts_has_a_driver() -> None:
    found = bootstrap.drivers(cast(Transport, None), declared())
    assert set(found) == set(KINDS)
    assert all(isinstance(driver, HostDriver) for driver in found.values())


def settings(values: dict[str, Any], **pool: Any) -> environment.Environment:
    """The shipped environment with these values, its first pool changed so."""
    found = environment.load(ROLES.parent, "dev")
    (name, first), *others = found.pools.items()
    changed = {name: first.model_copy(update=pool), **dict(others)}
    return found.model_copy(update={"values": values, "pools": changed})


@pytest.mark.parametrize("has_volumes", [True, False])
def test_machines_are_what_pools_and_values_say(has_volumes: bool) -> None:
    given = settings({"hosts": {"kernel": "shared"}}, has_volumes=has_volumes, resources="[]")
    name = next(iter(given.pools))
    found = bootstrap.host_settings(given)
    assert found.kernel == "shared"
    assert found.container_runtime == given.dcos.container_runtime
    assert (name in found.volume_pools) is has_volumes
    assert found.resources == {n: pool.resources for n, pool in given.pools.items() if pool.resources is not None}
    assert found.resources[name] == "[]"
    assert bootstrap.host_settings(settings({})).os == "debian-12"
    assert bootstrap.host_settings(settings({"hosts": {"container_runtime": "none"}})).container_runtime == "none"


def test_a_pool_that_offers_all_of_its_machine_has_no_resources_of_its_own() -> None:
    given = settings({}, resources=None)
    assert next(iter(given.pools)) not in bootstrap.host_settings(given).resources


@pytest.mark.parametrize("hosts", [["kernel"], {"kernle": "own"}])
def test_values_of_machines_that_do_not_fit_are_named_with_their_environment(hosts: Any) -> None:
    with pytest.raises(InputError) as caught:
        bootstrap.host_settings(settings({"hosts": hosts}))
    assert str(caught.value).startswith("environment dev, values.hosts")


class Kept(dict[str, Secret]):
    """Secrets in memory."""

    environment = "dev"
    may_set = True

    def set(self, name: str, secret: Secret) -> int:
        self[name] = secret
        return 1

    def get(self, name: str) -> Secret:  # type: ignore[override]
        return self[name]

    def names(self) -> tuple[str, ...]:
        return tuple(self)


def test_the_account_is_made_once_and_its_halves_fit() -> None:
    kept = Kept()
    first, second = bootstrap.service_account(kept), bootstrap.service_account(kept)
    assert first == second
    token = jwt.encode({"uid": "rekindle"}, first.private_key.reveal(), algorithm="RS256")
    assert jwt.decode(token, first.public_key, algorithms=["RS256"]) == {"uid": "rekindle"}
    assert "BEGIN" not in repr(first.private_key)


def test_a_command_that_only_looks_makes_no_account() -> None:
    kept = Kept()
    kept.may_set = False
    with pytest.raises(InputError, match=r"dev: it is not bootstrapped yet\nRun `rekindle bootstrap dev`\."):
        bootstrap.service_account(kept)
    assert not kept


def test_a_secret_that_is_no_key_is_not_shown() -> None:
    kept = Kept({"dcos/service-account": Secret("planted")})
    with pytest.raises(InputError, match="no private key") as caught:
        bootstrap.service_account(kept)
    assert "planted" not in str(caught.value)
