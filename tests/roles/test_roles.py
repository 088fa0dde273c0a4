"""Roles as data: loading, what is refused and how, and what a host's role renders to."""

import os
import re
import subprocess
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
import yaml

from rekindle.errors import InputError
from rekindle.inventory import Host, Inventory, Role, Ssh
from rekindle.roles import DcosSettings, HostSettings, Rendered, Variables, config_yaml, load, render
from rekindle.roles.genconf import config

ROLES = Path(__file__).parents[2] / "roles"
DCOS = DcosSettings(version="2.1", installer_url="http://artifacts/i.sh", installer_sha256="0" * 64)
CONTAINERS = HostSettings(kernel="shared", container_runtime="none", volume_pools=frozenset({"data"}))
PUBLIC_KEY = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"


def host(name: str, role: Role, number: int, **more: Any) -> Host:
    fields = {"pool": "p", "zone": "private", "az": "us-east-1a", **more}
    return Host(name=name, role=role, private_ip=IPv4Address(f"10.0.0.{number}"), **fields)


def inventory(*hosts: Host, region: str | None = "us-east-1") -> Inventory:
    masters = () if any(h.role is Role.MASTER for h in hosts) else (host("master-1", Role.MASTER, 4),)
    servers = (host("bootstrap", Role.BOOTSTRAP, 3), *masters, *hosts)
    return Inventory(environment="t", region=region, cluster_name="one", hosts=servers, ssh=Ssh(user="admin"))


def rendered(one: Host, settings: HostSettings = CONTAINERS, directory: Path = ROLES, **more: Any) -> Rendered:
    variables = Variables(
        inventory=inventory(one), dcos=DCOS, settings=settings, bootstrap_url="http://10.0.0.3", **more
    )
    return render(load(directory), one, variables)


def content(found: Rendered, path: str) -> str:
    state = {d.subject: d.state for d in found.declared}[f"file:{path}"]
    assert state is not None
    return found.contents[state["content"]].decode()


def subjects(found: Rendered) -> set[str]:
    return {d.subject for d in found.declared}


AGENT = host("a", Role.PRIVATE_AGENT, 9, pool="data", attributes={"zone": "us-east-1a"})


@pytest.mark.parametrize(
    ("one", "resources", "lines"),
    [
        (AGENT, {}, ["MESOS_ATTRIBUTES=zone:us-east-1a"]),
        (
            host("a", Role.PUBLIC_AGENT, 9, attributes={"zone": "us-east-1b"}),
            {},
            ["MESOS_ATTRIBUTES=public_ip:true;zone:us-east-1b"],
        ),
        (
            AGENT.model_copy(update={"attributes": {"zone": "z", "disk": "ssd"}}),
            {"data": '[{"name":"cpus"}]'},
            ["MESOS_ATTRIBUTES=disk:ssd;zone:z", 'MESOS_RESOURCES=\'[{"name":"cpus"}]\''],
        ),
    ],
)
def test_attributes_are_there_before_the_first_start(one: Host, resources: dict[str, str], lines: list[str]) -> None:
    found = rendered(one, CONTAINERS.model_copy(update={"resources": resources}))
    assert [line for line in content(found, "/var/lib/dcos/mesos-slave-common").splitlines() if line] == lines
    assert (one.name, "file:/var/lib/dcos/mesos-slave-common") in found.fixed


@pytest.mark.parametrize(
    ("one", "settings", "there", "not_there"),
    [
        (AGENT, CONTAINERS, {"unit:rekindle-metadata-firewall.service"}, {"sysctl:vm.max_map_count"}),
        (
            AGENT,
            HostSettings(volume_pools=frozenset({"data"})),
            {
                "sysctl:vm.max_map_count",
                "command:swap-off",
                "os_package:docker.io",
                "unit:docker.service",
                "os_package:nvme-cli",
                "file:/etc/udev/rules.d/999-aws-ebs-nvme.rules",
                "unit:chrony.service",
            },
            set(),
        ),
        (
            host("a", Role.PUBLIC_AGENT, 9, pool="edge"),
            CONTAINERS,
            {"gate:registered", "unit:firewalld.service"},
            {"unit:rekindle-metadata-firewall.service", "os_package:docker.io"},
        ),
        (host("b", Role.BASTION, 9), CONTAINERS, {"group:nogroup"}, {"install:dcos", "unit:nginx.service"}),
        (AGENT, HostSettings(os="centos-7"), {"os_package:xz", "unit:chronyd.service"}, {"os_package:xz-utils"}),
    ],
    ids=["containers", "machines", "no volumes", "bastion", "another system"],
)
def test_what_a_role_becomes(one: Host, settings: HostSettings, there: set[str], not_there: set[str]) -> None:
    found = subjects(rendered(one, settings))
    assert there <= found
    assert not found & not_there


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("settings", [CONTAINERS, HostSettings(), HostSettings(os="centos-7")])
def test_every_role_renders_and_its_shell_parses(role: Role, settings: HostSettings) -> None:
    found = rendered(host("h", role, 9), settings, config_yaml="x: 1\n")
    for d in found.declared:
        for text in ((d.state or {}).get(key) for key in ("check", "guard", "run")):
            if text:
                subprocess.run(["sh", "-n", "-c", text], check=True)
    for body in found.contents.values():
        if body.startswith(b"#!/bin/sh"):
            subprocess.run(["sh", "-n"], input=body, check=True)


def test_a_unit_restarts_when_a_file_it_watches_changes() -> None:
    def inputs(one: Host) -> Any:
        found = rendered(one, config_yaml="x")
        return {d.subject: d.state for d in found.declared}["unit:nginx.service"]["inputs"]  # type: ignore[index]

    assert inputs(host("b", Role.BOOTSTRAP, 3)) != inputs(host("b", Role.BOOTSTRAP, 5))


# ip-detect


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [("10.0.0.77", "10.0.0.77"), ("", "10.9.9.9"), ("<html>no</html>", "10.9.9.9")],
    ids=["metadata", "firewalled", "nonsense"],
)
def test_ip_detect_asks_for_a_token_and_falls_back(tmp_path: Path, metadata: str, expected: str) -> None:
    script = content(rendered(host("b", Role.BOOTSTRAP, 3), config_yaml="x"), "/srv/dcos/genconf/ip-detect")
    (tmp_path / "curl").write_text(
        "#!/bin/sh\n"
        f'case "$*" in *PUT*api/token*) {"echo TOKEN" if metadata else "exit 7"} ;;\n'
        f"*'aws-ec2-metadata-token: TOKEN'*local-ipv4*) echo '{metadata}' ;;\n*) exit 22 ;; esac\n"
    )
    (tmp_path / "ip").write_text("#!/bin/sh\necho '10.0.0.3 via 10.0.0.1 dev eth0 src 10.9.9.9 uid 0'\n")
    for tool in ("curl", "ip"):
        (tmp_path / tool).chmod(0o755)
    script = script.replace("PATH=/usr/sbin:/usr/bin:$PATH", f"PATH={tmp_path}:$PATH")
    ran = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, env=dict(os.environ))
    assert ran.stdout == f"{expected}\n"


# Bad input


def write(directory: Path, role: str, text: str) -> None:
    (directory / role / "templates").mkdir(parents=True, exist_ok=True)
    (directory / role / "role.yaml").write_text("version: 1\nsummary: s\n" + text)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "common" / "os").mkdir(parents=True)
    (tmp_path / "common" / "os" / "debian-12.yaml").write_text("version: 1\nsummary: s\nnames: {packages: [curl]}\n")
    write(tmp_path, "master", "")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("fils: []\n", ["fils", "files"]),
        ("files: [{path: /x, contnt: y}]\n", ["contnt", "content"]),
        ("units: [{name: x, restart: true}]\n", ["restart"]),
        ("files: [{path: /x, content: y, mode: '644'}]\n", ["files.0.mode"]),
        ("includes: [comon]\n", ["comon"]),
        ("includes: [master]\n", ["include one another", "master → master"]),
        ("install: agent\n", ["install"]),
        ("version: 2\n", ["version"]),
    ],
)
def test_a_wrong_key_is_named_with_its_file_and_the_nearest_name(own: Path, text: str, says: list[str]) -> None:
    write(own, "master", text)
    with pytest.raises(InputError) as caught:
        load(own)
    assert "master/role.yaml" in caught.value.where
    for word in says:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('files: [{path: /x, content: "{{ hots.name }}"}]\n', "hots"),
        ('files: [{path: /x, content: "{{ host.nam }}"}]\n', "nam"),
        ("files: [{path: /x, template: no.j2}]\n", "no template no.j2"),
        ("files: [{path: /x}]\n", "give one of template, content, absent"),
        ("files: [{path: /x, content: a}, {path: /x, content: b}]\n", "declared twice"),
        ('files: [{path: "/x y", content: a}]\n', "is no name for a file"),
        ("units: [{name: u, watches: [/nowhere]}]\n", "/nowhere"),
        ("sysctls: [{name: n, value: '1', when: settings.kernal == 'own'}]\n", "kernal"),
        ('os_packages: [{name: "{{ item }}", each: os.pakages}]\n', "pakages"),
    ],
)
def test_what_cannot_be_rendered_is_named(own: Path, text: str, says: str) -> None:
    write(own, "master", text)
    with pytest.raises(InputError) as caught:
        rendered(host("m", Role.MASTER, 4), directory=own)
    assert says in str(caught.value)
    assert "master/role.yaml, for m" in caught.value.where


def test_an_unknown_operating_system_is_named() -> None:
    with pytest.raises(InputError, match="debian-12"):
        rendered(AGENT, HostSettings(os="debian-13"))


# genconf/config.yaml


def test_config_yaml_is_what_the_generator_takes() -> None:
    document = yaml.safe_load(config_yaml(DCOS, inventory(), PUBLIC_KEY))
    assert document["master_list"] == ["10.0.0.4"]
    assert document["bootstrap_url"] == "http://10.0.0.3"
    assert document["resolvers"] == ["169.254.169.253"]
    assert document["superuser_service_account_public_key"] == PUBLIC_KEY
    operations = document["rexray_config"]["libstorage"]["integration"]["volume"]["operations"]
    assert operations["create"] == {"disable": True, "implicit": False}
    assert operations["mount"] == {"preempt": False}
    assert document["rexray_config"]["rexray"]["service"] == "ebs"
    assert "num_masters" not in document


def test_hosts_outside_aws_get_no_external_volumes() -> None:
    assert "rexray_config" not in config(DCOS, inventory(region=None), PUBLIC_KEY)


@pytest.mark.parametrize(
    ("further", "says"),
    [
        ({"num_masters": 1}, "calculated"),
        ({"cluster_name": "x"}, "set by Rekindle"),
        ({"dns_search": None}, "None"),
        ({"gc_delay": 1.5}, r"1\.5"),
    ],
)
def test_further_keys_that_the_generator_refuses(further: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        config(DCOS.model_copy(update={"config": further}), inventory(), PUBLIC_KEY)


@pytest.mark.parametrize("count", [2, 4, 6])
def test_masters_that_cannot_form_a_quorum(count: int) -> None:
    masters = [host(f"m{n}", Role.MASTER, 20 + n) for n in range(count)]
    with pytest.raises(InputError, match=f"{count} are there"):
        config(DCOS, inventory(*masters), PUBLIC_KEY)


def test_every_role_and_variable_is_documented() -> None:
    text = (ROLES.parent / "docs" / "roles.md").read_text()
    for role in load(ROLES).files:
        assert f"`{role}`" in text, role
    for name in Variables(inventory=inventory(), dcos=DCOS, settings=CONTAINERS).of(AGENT, {}):
        assert re.search(rf"^\| `{name}", text, re.MULTILINE), name
