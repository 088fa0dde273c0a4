"""Settings are parsed once, with a sentence for each mistake; addresses and placement keep their promises."""

from collections import Counter
from contextlib import suppress
from ipaddress import IPv4Network
from itertools import combinations, pairwise

import pytest
import yaml
from hypothesis import example, given
from hypothesis import settings as limits
from hypothesis import strategies as st

from rekindle.environment import (
    FLOWS,
    Origin,
    flows_into,
    load,
    master_address,
    parse,
    parse_foundation,
    placed_hosts,
    subnets,
)
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
        ({"azs": ["us-east-1a", "us-east-1a"]}, "azs: an az stands there twice"),
        ({"ssh": {"user": "a;b", "public_key": "ssh-ed25519 AAAA"}}, "ssh.user"),
        ({"ssh": {"user": "admin", "public_key": "ssh-ed25519 AAAA x\nssh-ed25519 BBBB"}}, "ssh.public_key"),
        ({"bastion": {"instance_type": "t3.micro", "root_gib": 1 << 40}}, "bastion.root_gib: .*16384"),
        ({"pools": "agents"}, "pools: .*dictionary"),
        ({"pools": {"Agents": {}}}, "pools.Agents"),
        ({"volumes": ["kafka-1"]}, "volumes: .*dictionary"),
        ({"network": GOOD["network"] | {"cidr": True}}, "network.cidr"),
        ({"values": ["a"]}, "values: .*dictionary"),
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


def pool(count, **more):
    return {"role": "private_agent", "count": count, "instance_type": "m5.xlarge", "has_volumes": True} | more


ONE_AZ = {"azs": ["us-east-1a"], "volumes": {}}
SMALL = {"network": GOOD["network"] | {"cidr": "10.10.0.0/22"}}  # a subnet has 64 addresses, 43 of them for hosts


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"pools": {"a": pool(10_001)}}, "pools.a.count: .*less than or equal to 10000"),
        ({"pools": {"a": pool(-1)}}, "pools.a.count: .*greater than or equal to 0"),
        ({"pools": {"a": pool(10**40)}}, "pools.a.count: "),
        ({"pools": {"a": pool(44)}} | ONE_AZ | SMALL, "44 hosts are to stand in the private subnet of us-east-1a"),
        ({"pools": {"a": pool(20), "b": pool(24)}} | ONE_AZ | SMALL, "44 hosts are to stand in the private subnet"),
        ({"pools": {"a": pool(130)}} | SMALL, "44 hosts are to stand in the private subnet of us-east-1a"),
        ({"pools": {"a": pool(45, azs=["us-east-1b"])}, "volumes": {}} | SMALL, "private subnet of us-east-1b"),
        ({"pools": {"a": pool(43, role="public_agent")}} | ONE_AZ | SMALL, "44 hosts are to stand in the public"),
        ({"pools": {"a": pool(4076)}} | ONE_AZ, "4076 hosts .* which has addresses for 4075"),
    ],
)
def test_a_pool_that_does_not_fit_its_subnets_is_said_before_anything_is_made(changes, sentence):
    with pytest.raises(InputError, match=sentence):
        settings(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"pools": {"a": pool(43)}} | ONE_AZ | SMALL,
        {"pools": {"a": pool(129)}} | SMALL,
        {"pools": {"a": pool(42, role="public_agent")}} | ONE_AZ | SMALL,
        {"pools": {"a": pool(4075)}} | ONE_AZ,
        {"pools": {"a": pool(0), "b": pool(1)}} | ONE_AZ,
        {"masters": {"count": 9, "instance_type": "m5", "spread": False}} | SMALL,
    ],
)
def test_what_fits_is_taken_and_its_hosts_have_addresses(changes):
    found = settings(**changes)
    held = Counter((host.zone, host.az) for host in placed_hosts(found))
    for subnet in subnets(found.network.cidr, found.azs):
        assert held[subnet.zone, subnet.az] <= subnet.cidr.num_addresses - 5 - 16  # AWS's own, and what is no host


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the file must be a mapping of names, and is empty"),
        ("- a\n", "the file must be a mapping of names, and is a list"),
        ("config:\n", "config must be a mapping of names, and is empty"),
        ("config: [a]\n", "config must be a mapping of names, and is a list"),
        ("config: text\n", "config must be a mapping of names, and is text"),
        ("config: {}\n", "config has no rekindle:environment"),
        ("config: {rekindle:environment: }\n", "config has no rekindle:environment"),
        ("config: {rekindle:environment: [a]}\n", "rekindle:environment must be a mapping"),
        ("config: {1: a}\n", "line 1: the key 1 is not text"),
        ("config: {a: 1, a: 2}\n", "line 1: a is set a second time"),
    ],
)
def test_a_stack_file_of_another_form_is_named(tmp_path, text, sentence):
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks" / "Pulumi.dev.yaml").write_text(text)
    with pytest.raises(InputError, match=sentence) as caught:
        load(tmp_path, "dev")
    assert caught.value.where == str(tmp_path / "stacks" / "Pulumi.dev.yaml")
    assert caught.value.next_step


@pytest.mark.parametrize("name", ["../stacks/Pulumi.dev", "dev/", "Dev", "", "d\0v", "x" * 300, "dev\n"])
def test_a_name_that_leads_elsewhere_is_no_environment(tmp_path, name):
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks" / "Pulumi.dev.yaml").write_text(yaml.safe_dump({"config": {}}))
    with pytest.raises(InputError, match=r"there is no environment .*dev"):
        load(tmp_path, name)


@pytest.mark.parametrize("value", ["yes", "True", 2, None, [], {}, "falsee"])
def test_standby_is_true_or_false_and_never_taken_for_it(value):
    config = {"aws:region": "us-east-1", "rekindle:environment": GOOD, "rekindle:standby": value}
    with pytest.raises(InputError, match=r"rekindle:standby is .* must be true or false"):
        parse("dev", config, where="x")


@pytest.mark.parametrize("value", ["{", "[]", "[" * 5000, '{"kafka-1": 1}', '{"a": "b", "a": "c"}', 3])
def test_snapshots_to_restore_are_a_mapping(value):
    config = {"aws:region": "us-east-1", "rekindle:environment": GOOD, "rekindle:restore": value}
    with pytest.raises(InputError, match=r"x.*(is not JSON|restore)"):
        parse("dev", config, where="x")


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({}, "config has no rekindle:foundation"),
        ({"rekindle:foundation": []}, "rekindle:foundation must be a mapping"),
        ({"rekindle:foundation": {"version": 1}}, "bucket_prefix is missing"),
    ],
)
def test_a_foundation_of_another_form_is_named(config, sentence):
    with pytest.raises(InputError, match=sentence):
        parse_foundation({"aws:region": "us-west-2", **config}, where="x")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@example(key="pools", value={"a": pool(10**400)})
@given(key=st.sampled_from(sorted(GOOD)), value=json_values)
@limits(max_examples=60)
def test_settings_of_any_types_are_taken_or_refused(key, value):
    with suppress(InputError):
        placed_hosts(settings(**{key: value}))


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
