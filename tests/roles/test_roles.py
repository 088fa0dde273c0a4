"""Roles as data: loading, what is refused and how, and what a host's role renders to."""

import json
import os
import re
import subprocess
from contextlib import suppress
from importlib import import_module
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rekindle.errors import InputError
from rekindle.inventory import Host, Inventory, Role, Ssh
from rekindle.roles import DcosSettings, HostSettings, Rendered, Variables, config_yaml, load, render, schema
from rekindle.roles.genconf import config
from rekindle.roles.names import require

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
        ('files: [{path: "/x y", content: a}]\n', "is no file name"),
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


NAMES = {  # of each kind: one that is none, whole
    "groups: [{name: NAME}]": "group",
    "users: [{name: NAME}]": "user",
    "users: [{name: u, groups: [NAME]}]": "group",
    "os_packages: [{name: NAME}]": "os_package",
    "sysctls: [{name: NAME, value: '1'}]": "sysctl",
    "units: [{name: NAME}]": "unit",
    "commands: [{name: NAME, run: r, guard: g}]": "command",
    "gates: [{name: NAME, check: c}]": "gate",
}
PATHS = {
    "directories: [{path: NAME}]": "directory",
    "files: [{path: NAME, content: x}]": "file",
    "files: [{path: NAME, absent: true}]": "file",
    f"artifacts: [{{path: NAME, url: 'http://u', sha256: '{'0' * 64}'}}]": "artifact",
    "users: [{name: u, home: NAME}]": "directory",
    "users: [{name: u, shell: NAME}]": "file",
}
OWNERS = {
    "files: [{path: /f, content: x, owner: NAME}]": "user",
    "files: [{path: /f, content: x, group: NAME}]": "group",
    "directories: [{path: /d, owner: NAME}]": "user",
}
NO_NAMES = [
    "a\n",
    "a\nb",
    "",
    "-a",
    "$(id)",
    "`id`",
    "a;b",
    "a b",
    "a'b",
    'a"b',
    "a\\b",
    "../a",
    "a/b",
    "ä",
    "a\x1b",
    "x" * 300,
]
NO_PATHS = [
    "a",
    "/",
    "/a/",
    "//a",
    "/a/../b",
    "/a/.",
    "/..",
    "/a\n",
    "/$(id)",
    "/a;b",
    "/a b",
    "/a'b",
    "/\x1b",
    "/" + "x" * 300,
]


def role_with(form: str, name: str) -> str:
    """A role with that name, as a template makes it, so that YAML's own rules are no hindrance."""
    return form.replace("NAME", json.dumps("{{ " + json.dumps(name) + " }}")) + "\n"


@pytest.mark.parametrize(("kind", "names"), [(k, NO_NAMES) for k in NAMES.values()] + [("file", NO_PATHS)])
def test_a_name_is_one_of_its_kind_whole(kind: str, names: list[str]) -> None:
    for name in names:
        with pytest.raises(InputError, match=f"is no {kind} name"):
            require(kind, name, where="here")


@pytest.mark.parametrize(
    ("form", "kind", "name"),
    [(form, kind, "a\n") for form, kind in NAMES.items()] + [(form, kind, "/a\n") for form, kind in PATHS.items()],
)
def test_a_role_gives_no_other_name(own: Path, form: str, kind: str, name: str) -> None:
    write(own, "master", role_with(form, name))
    with pytest.raises(InputError, match=f"is no {kind} name") as caught:
        rendered(host("m", Role.MASTER, 4), directory=own)
    assert "master/role.yaml, for m" in caught.value.where


@pytest.mark.parametrize(("form", "kind"), OWNERS.items())
@pytest.mark.parametrize("name", ["a:b", "0"])
def test_an_owner_is_a_name_too(own: Path, form: str, kind: str, name: str) -> None:
    write(own, "master", form.replace("NAME", json.dumps(name)) + "\n")
    with pytest.raises(InputError, match=f"is no {kind} name"):
        rendered(host("m", Role.MASTER, 4), directory=own)


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("units: [{name: NAME}]", "systemd-fsck@dev-sda1:x.service"),
        ("os_packages: [{name: NAME}]", "libstdc++6"),
        ("sysctls: [{name: NAME, value: '*/% x'}]", "net.ipv4.conf.eth0.rp_filter"),
        ("files: [{path: NAME, content: x}]", "/etc/a.d/..x/99-b@c,d~e+f=g:h%i_"),
        ("users: [{name: NAME}]", "_dcos.3dt-x"),
        ("commands: [{name: NAME, run: r, guard: g}]", "swap-off_1.2"),
    ],
)
def test_names_that_hosts_have_are_taken(own: Path, form: str, name: str) -> None:
    write(own, "master", role_with(form, name))
    assert any(subject.endswith(f":{name}") for subject in subjects(rendered(host("m", Role.MASTER, 4), directory=own)))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("artifacts: [{path: /a, url: 'file:///etc/shadow', sha256: D}]", "url"),
        ("artifacts: [{path: /a, url: '-o/etc/x', sha256: D}]", "url"),
        ("artifacts: [{path: /a, url: 'http://u/a b', sha256: D}]", "url"),
        ("artifacts: [{path: /a, url: 'http://u', sha256: d}]", "sha256"),
        ('artifacts: [{path: /a, url: "http://u", sha256: "{{ \'D\' }}\\n"}]', "sha256"),
        ('sysctls: [{name: a.b, value: "1\\nkernel.core_pattern = |/x"}]', "value of a sysctl"),
        ('commands: [{name: c, run: "a\\0b", guard: g}]', "shell text"),
        ('commands: [{name: c, run: r, guard: "a\\0b"}]', "shell text"),
        ('gates: [{name: c, check: "a\\0b"}]', "shell text"),
        ("gates: [{name: c, check: \"{{ 'x' * 70000 }}\"}]", "shell text"),
    ],
)
def test_what_becomes_a_word_of_shell_is_one(own: Path, text: str, says: str) -> None:
    write(own, "master", text.replace("D", "a" * 64) + "\n")
    with pytest.raises(InputError, match=f"is no {says}"):
        rendered(host("m", Role.MASTER, 4), directory=own)


@pytest.mark.parametrize(
    "text",
    [
        "gates: [{name: c, check: x, after: [privat_agent]}]",
        "gates: [{name: c, check: x, timeout: .nan}]",
        "gates: [{name: c, check: x, timeout: .inf}]",
        "gates: [{name: c, check: x, timeout: 0}]",
        "commands: [{name: c, run: r, guard: g, timeout: 1e9}]",
        "units: [{name: u, stopped: true, watches: [/f]}]",
        "files: [{path: /f, content: 1}]",
        "files: {path: /f}",
        "files: [[]]",
        "1: 2",
        "files: [{1: 2}]",
        "? [a, b]\n: c",
        "files: &a [*a]",
        "files: [{path: /f, content: &a [*a]}]",
        "groups: [{name: !!python/object:os.system x}]",
        "groups: [{name: 2001-01-01}]",
        "summary: !!binary ____",
        '"\\ud800": x',
        'groups: [{name: "\\ud800"}]',
    ],
)
def test_an_odd_role_is_an_input_error(own: Path, text: str) -> None:
    write(own, "master", text + "\n")
    with pytest.raises(InputError) as caught:
        rendered(host("m", Role.MASTER, 4), directory=own)
    assert "master/role.yaml" in caught.value.where


KEYS = st.sampled_from([*schema.RoleFile.model_fields, *schema.File.model_fields, "name", "value"]) | st.integers()
LEAVES = st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.sampled_from(["{{ host }}", "{{", "/f"])
ROLE = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=ROLE)
def test_whatever_a_role_holds_it_renders_or_is_an_input_error(own: Path, data: Any) -> None:
    given = data if isinstance(data, dict) else {"files": data}
    (own / "master" / "role.yaml").write_text(yaml.dump({"version": 1, "summary": "s", **given}))
    with suppress(InputError):
        rendered(host("m", Role.MASTER, 4), directory=own)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("os_packages: [{name: p, each: 'range(2000)'}]", "is no list"),
        ("os_packages: [{name: p, each: 'range(10**9)'}]", "Range too big"),
        ("os_packages: [{name: p, each: \"'text'\"}]", "is no list"),
        ("os_packages: [{name: p, each: os}]", "is no list"),
        ("os_packages: [{name: p, each: '3'}]", "is no list"),
        ("files: [{path: /f, content: \"{{ 'x' * 10**9 }}\"}]", "more than a template may"),
        ("files: [{path: '/f{{ item }}', each: '[1,2,3,4,5,6]', content: \"{{ item }}{{ 'x' * 900000 }}\"}]", "larger"),
        ("files: [{path: /f, content: '{{ 1 // 0 }}'}]", "division"),
        ("files: [{path: /f, content: '{{ host.__class__ }}'}]", "unsafe"),
        ("files: [{path: /f, content: '{{ inventory.parse_file(1) }}'}]", "unsafe"),
        ("files: [{path: /f, when: '1 +', content: x}]", "line 1"),
        ("files: [{path: /f, when: '', content: x}]", "an empty text: "),
        ("files: [{path: /f, when: ' ', content: x}]", "an empty text: "),
        ("files: [{path: /f, template: ../../../etc/passwd}]", "no template"),
        ("files: [{path: /f, template: /etc/passwd}]", "no template"),
        ("files: [{path: /f, template: link.j2}]", "no template"),
        ("files: [{path: /f, template: binary.j2}]", "utf-8"),
        ("files: [{path: /f, template: other.j2}]", "no loader"),
    ],
)
def test_templates_reach_and_exhaust_nothing(own: Path, text: str, says: str) -> None:
    write(own, "master", text + "\n")
    templates = own / "master" / "templates"
    (templates / "link.j2").symlink_to("/etc/passwd")
    (templates / "binary.j2").write_bytes(b"\xff\xfe")
    (templates / "other.j2").write_text("{% include 'binary.j2' %}")
    with pytest.raises(InputError, match=says) as caught:
        rendered(host("m", Role.MASTER, 4), directory=own)
    assert "master/role.yaml, for m" in caught.value.where


def test_subjects_of_a_host_are_counted(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("rekindle.roles.render"), "SUBJECTS_LIMIT", 50)
    write(own, "master", "os_packages: [{name: 'p{{ item }}', each: 'range(60) | list'}]\n")
    with pytest.raises(InputError, match="more than 50 subjects"):
        rendered(host("m", Role.MASTER, 4), directory=own)


def test_roles_that_include_much_are_gone_through_once(own: Path) -> None:
    for n in range(40):
        write(own, f"r{n}", f"includes: [{', '.join(f'r{m}' for m in (n + 1, n + 2) if m < 40)}]\n")
    assert load(own).parts("r0") == tuple(f"r{n}" for n in reversed(range(40)))


def test_roles_that_include_one_another_too_deep_are_refused(own: Path) -> None:
    for n in range(60):
        write(own, f"r{n}", f"includes: [r{n + 1}]\n" if n < 59 else "")
    with pytest.raises(InputError, match="50 deep"):
        load(own)


@pytest.mark.parametrize("changed", ["/a", "/b", "/c"])
def test_a_change_of_any_watched_file_changes_the_inputs(own: Path, changed: str) -> None:
    def inputs(of: str) -> dict[str, Any]:
        contents = {path: "new" if path == of else "old" for path in ("/a", "/b")}
        files = ", ".join(f"{{path: {path}, content: {content}}}" for path, content in contents.items())
        digest = ("1" if of == "/c" else "0") * 64
        write(
            own,
            "master",
            f"files: [{files}]\nartifacts: [{{path: /c, url: 'http://u', sha256: '{digest}'}}]\n"
            "units: [{name: u.service, watches: [/a, /b, /c]}]\n"
            "commands: [{name: c, run: r, guard: g, watches: [/a, /b, /c]}]\n",
        )
        found = rendered(host("m", Role.MASTER, 4), directory=own).declared
        states = {d.subject: d.state or {} for d in found if d.subject in ("unit:u.service", "command:c")}
        assert states["unit:u.service"].keys() == {"enabled", "active", "inputs"}
        assert states["command:c"].keys() == {"run", "guard", "timeout", "long", "inputs"}
        return {subject: state["inputs"] for subject, state in states.items()}

    before, after = inputs("nothing"), inputs(changed)
    assert before.keys() == after.keys() == {"unit:u.service", "command:c"}
    assert all(before[subject] != after[subject] for subject in before)


def test_when_and_each_say_what_applies_here(own: Path) -> None:
    write(
        own,
        "master",
        "groups: [{name: 'g{{ item }}', each: '[1, 2, 3]', when: item != 2}, {name: never, when: 'false'}]\n"
        "files: [{path: /gone, absent: true}, {path: /fixed, content: x, fixed: true, mode: '0600'}]\n"
        "units: [{name: off.service, stopped: true}, {name: on.service}]\ninstall: master\n",
    )
    found = rendered(host("m", Role.MASTER, 4), directory=own)
    states = {d.subject: d.state for d in found.declared}
    assert {subject for subject in states if subject.startswith("group:")} == {"group:g1", "group:g3"}
    assert (states["file:/gone"], states["unit:off.service"]) == (None, None)
    assert states["unit:on.service"] == {"enabled": True, "active": True}
    assert states["file:/fixed"] == {
        "content": "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
        "mode": "0600",
        "owner": "root",
        "group": "root",
    }
    assert states["install:dcos"] == {"role": "master", "version": "2.1", "bootstrap_url": "http://10.0.0.3"}
    assert found.fixed == {("m", "file:/fixed")}


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
