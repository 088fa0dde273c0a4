"""Settings are parsed once, with a sentence for each mistake; addresses and placement keep their promises."""

from ipaddress import IPv4Network
from itertools import combinations, pairwise

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rekindle.environment import FLOWS, Origin, flows_into, load, master_address, parse, placed_hosts, subnets
from rekindle.errors import InputError
from rekindle.inventory import Role

GOOD = {
    "version": 1,
    "cluster_name": "dev",
    "azs": ["us-east-1a", "us-east-1b", "us-east-1c"],
    "network": {"cidr": "10.10.0.0/16", "admin_allowed_cidrs": ["198.18.1.2/32"]},
    "ssh": {"user": "admin", "public_key": "ssh-ed25519 AAAA operator"},
    "ami": "ami-0123",
    "bastion": {"instance_type": "t3.micro"},
    "bootstrap": {"instance_type": "t3.large"},
    "masters": {"count": 1, "instance_type": "m5.xlarge"},
    "pools": {
        "private-agent": {"role": "private_agent", "count": 3, "instance_type": "m5.xlarge", "has_volumes": True},
        "public-agent": {"role": "public_agent", "count": 1, "instance_type": "m5.large"},
    },
    "volumes": {"kafka-1": {"size_gib": 4, "az": "us-east-1a", "service": "kafka-1"}},
    "dcos": {
        "version": "2.1",
        "installer": {"url": "https://example.test/dcos_generate_config.sh", "sha256": "a" * 64},
    },
    "public_name": "orders.example.test",
}


def settings(**changes):
    config = {"aws:region": "us-east-1", "rekindle:environment": GOOD | changes}
    return parse("dev", config, where="Pulumi.dev.yaml")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"clustr_name": "x"}, r"clustr_name is not a known key; did you mean cluster_name\?"),
        ({"masters": {"count": 2, "instance_type": "m5"}}, "2 masters cannot form a quorum"),
        ({"azs": ["us-west-2a"]}, "az us-west-2a is not in region us-east-1"),
        ({"volumes": {"v": {"size_gib": 1, "az": "us-east-1d", "service": "k"}}}, "unknown az us-east-1d"),
        ({"network": GOOD["network"] | {"cidr": "10.10.0.0/28"}}, "must be between /16"),
        ({"network": GOOD["network"] | {"cidr": "8.8.0.0/16"}}, "is not a private network"),
        ({"network": GOOD["network"] | {"peers": {"dev-dr": "10.10.4.0/24"}}}, "overlaps 10.10.4.0/24 of dev-dr"),
        ({"network": GOOD["network"] | {"admin_allowed_cidrs": []}}, "admin_allowed_cidrs"),
        ({"restore": {"kafka1": "snap-1"}}, r"restore names kafka1, .* did you mean kafka-1\?"),
        ({"pools": {}}, "no pool with has_volumes"),
        ({"ami": "debian"}, "ami: "),
        ({"recovers": "dev"}, "recovers: dev cannot stand by for itself"),
    ],
)
def test_a_mistake_is_said_before_anything_is_made(changes, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        settings(**changes)
    assert caught.value.where == "Pulumi.dev.yaml"


def test_an_unknown_environment_is_answered_with_the_nearest(tmp_path):
    (tmp_path / "stacks").mkdir()
    document = {"config": {"aws:region": "us-east-1", "rekindle:environment": GOOD}}
    (tmp_path / "stacks" / "Pulumi.dev.yaml").write_text(yaml.safe_dump(document))
    assert load(tmp_path, "dev") == settings()
    with pytest.raises(InputError, match=r"no environment dve; did you mean dev\?"):
        load(tmp_path, "dve")


@pytest.mark.parametrize(("recovers", "refused"), [("dev", None), ("dve", r"recovers dve, .* did you mean dev\?")])
def test_an_environment_stands_by_for_one_that_is_declared_beside_it(tmp_path, recovers, refused):
    (tmp_path / "stacks").mkdir()
    for name, changes in (("dev", {}), ("dev-dr", {"recovers": recovers})):
        document = {"config": {"aws:region": "us-east-1", "rekindle:environment": GOOD | changes}}
        (tmp_path / "stacks" / f"Pulumi.{name}.yaml").write_text(yaml.safe_dump(document))
    if refused is None:
        assert load(tmp_path, "dev-dr").recovers == "dev"
        return
    with pytest.raises(InputError, match=refused):
        load(tmp_path, "dev-dr")


@pytest.mark.parametrize(("value", "standby"), [(False, False), ("false", False), ("true", True), (True, True)])
def test_overriding_keys_win(value, standby):
    config = {
        "aws:region": "us-east-1",
        "rekindle:environment": GOOD | {"standby": not standby},
        "rekindle:standby": value,
        "rekindle:restore": '{"kafka-1": "snap-1"}',
    }
    found = parse("dev", config, where="x")
    assert (found.standby, found.restore) == (standby, {"kafka-1": "snap-1"})


networks = st.builds(
    lambda prefix, block: IPv4Network(((10 << 24) + (block % 2 ** (prefix - 8) << 32 - prefix), prefix)),
    st.integers(16, 22),
    st.integers(0, 255),
)
azs = st.integers(1, 4).map(lambda n: [f"us-east-1{letter}" for letter in "abcd"[:n]])


@given(networks, azs)
def test_subnets_lie_inside_their_network_and_never_overlap(network, names):
    found = subnets(network, names)
    assert len(found) == 3 * len(names)
    assert all(s.cidr.subnet_of(network) for s in found)
    assert not any(a.cidr.overlaps(b.cidr) for a, b in combinations(found, 2))


@given(networks, azs)
def test_an_az_more_moves_no_subnet(network, names):
    fewer = subnets(network, names[:-1]) if names[:-1] else ()
    assert set(fewer) <= set(subnets(network, names))


@given(networks)
def test_masters_have_addresses_of_their_own(network):
    admin = next(s for s in subnets(network, ["us-east-1a"]) if s.zone == "admin")
    addresses = [master_address(admin, number) for number in range(1, 10)]
    assert len(set(addresses)) == 9
    assert all(a in admin.cidr for a in addresses)


@given(st.integers(0, 40))
def test_a_pool_is_spread_evenly_and_growing_it_moves_nobody(count):
    pool = GOOD["pools"]["public-agent"]
    sizes = [GOOD["pools"] | {"public-agent": pool | {"count": n}} for n in (count, count + 1)]
    before, after = ({h.name: h.az for h in placed_hosts(settings(pools=p))} for p in sizes)
    assert before.items() <= after.items()
    spread = [sum(1 for n, az in after.items() if n.startswith("public") and az == a) for a in GOOD["azs"]]
    assert max(spread) - min(spread) <= 1


def test_only_the_bastion_and_the_load_balancer_are_reached_from_outside():
    outside = {(f.to, f.ports) for f in FLOWS if f.source in (Origin.INTERNET, Origin.OPERATORS)}
    assert outside == {(Role.BASTION, (22, 22)), (Origin.LOAD_BALANCER, (80, 80))}


@pytest.mark.parametrize("role", [Role.MASTER, Role.BOOTSTRAP])
def test_the_admin_zone_takes_no_connection_from_the_load_balancer(role):
    assert Origin.LOAD_BALANCER not in {f.source for f in flows_into(role)}


def test_each_flow_stands_once():
    rows = [(f.source, f.to, f.protocol, f.ports) for f in FLOWS]
    assert len(rows) == len(set(rows))
    assert all(a <= b for f in FLOWS for a, b in pairwise(f.ports))
