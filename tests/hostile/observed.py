"""What hosts and consoles print, what roles say, and URLs that people give."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.hostile.declared import KEYRING, PROJECT, stands
from tests.hostile.parser import Parser

from rekindle import roles
from rekindle.aws.compute import host_key
from rekindle.bootstrap import host_settings
from rekindle.drivers.hosts.driver import KINDS, HostDriver
from rekindle.drivers.secret_file import SecretFileDriver
from rekindle.environment import load as load_environment
from rekindle.inventory import Role
from rekindle.plan import Declared, canonical
from rekindle.roles import DcosSettings, HostSettings, Variables, render
from rekindle.transport import host_keys

DCOS = DcosSettings(version="2.1", installer_url="http://artifacts/i.sh", installer_sha256="0" * 64)
SETTINGS = HostSettings(kernel="shared", container_runtime="none")


def parsers(scratch: Path) -> Iterator[Parser]:
    """All of them; files go under `scratch`."""
    yield from _roles(scratch / "roles")
    yield Parser("facts of a host", _facts, [FACTS])
    yield Parser("facts of secret files", _secret_files, [b"600 root aGVsbG8= /var/lib/a\n644 root  /var/lib/b\n"])
    yield Parser("console", lambda body: _key(host_key(body.decode(errors="replace"))), [CONSOLE])
    yield Parser("host key", lambda body: _key(body.decode(errors="replace")), [KEY])
    yield Parser("values.hosts", _hosts_value, [b"{os: debian-12, kernel: shared}"], "yaml")


class Printing:
    """A transport whose hosts print this."""

    def __init__(self, printed: str) -> None:
        self.printed = printed

    def facts(self, host: str, script: str) -> str:
        return self.printed


def _facts(body: bytes) -> None:
    subjects = [line.split("\t")[0:2] for line in FACTS.decode().splitlines() if "\t" in line]
    names = [
        f"{'file' if kind == 'content' else kind}:{name}" for kind, name in subjects if kind in (*KINDS, "content")
    ]
    declared = [Declared(target="m", subject=name, state=None) for name in names]
    transport: Any = Printing(body.decode(errors="replace"))
    for state in HostDriver(transport, declared, {}).read("m", names).values():
        canonical(state)


def _secret_files(body: bytes) -> None:
    hosts: Any = Printing(body.decode(errors="replace"))
    found = SecretFileDriver(hosts, KEYRING, {}).read("m", ["secret_file:/var/lib/a", "secret_file:/var/lib/b"])
    canonical(found)


def _key(key: str | None) -> None:
    if key is not None:
        host_keys.fingerprint(host_keys.KnownKey(stands().hosts[0], key, is_new=True).parsed())


def _roles(root: Path) -> Iterator[Parser]:
    shutil.copytree(PROJECT / "roles", root)
    files: Sequence[tuple[str, Any]] = (
        ("common/role.yaml", "yaml"),
        ("master/role.yaml", "yaml"),
        ("common/os/debian-12.yaml", "yaml"),
    )
    for name, form in files:
        yield Parser(f"roles/{name}", _rendering(root, root / name), [(root / name).read_bytes()], form)
    for template in sorted((root / "common" / "templates").glob("*.j2"))[:3]:
        yield Parser(f"roles/{template.name}", _rendering(root, template), [template.read_bytes()])


def _rendering(root: Path, path: Path) -> Callable[[bytes], None]:
    right, stand = path.read_bytes(), stands()
    master = stand.with_role(Role.MASTER)[0]
    variables = Variables(inventory=stand, dcos=DCOS, settings=SETTINGS, bootstrap_url="http://10.0.0.3")

    def feed(body: bytes) -> None:
        path.write_bytes(body)
        try:
            found = render(roles.load(root), master, variables)
            canonical([declared.state for declared in found.declared])
        finally:
            path.write_bytes(right)

    return feed


def _hosts_value(body: bytes) -> None:
    from rekindle.parsing import mapping, yaml_value

    settings = load_environment(PROJECT, "dev")
    value = mapping(yaml_value(body.decode(errors="replace"), where="x"), where="x")
    host_settings(settings.model_copy(update={"values": {"hosts": value}}))


DIGEST = b"0" * 64
FACTS = b"""os\tdebian-12\tdebian-12
group\tnogroup\tthere
user\tdcos\t/home/dcos\t/bin/sh\tdcos
os_package\txz-utils\tinstalled
directory\t/var/lib/a\tdirectory\t755\troot\troot
file\t/etc/a\tregular file\t644\troot\troot
content\t/etc/a\t%(digest)b
sysctl\tvm.max_map_count\t262144\t262144
unit\ta.service\tenabled\tactive\t0
artifact\t/opt/a\t%(digest)b\t644
command\tswap-off\tholds\t0
install\tdcos\troles tree active target \tslave \t2.1.4\thttp://b
gate\tup\tholds
""" % {b"digest": DIGEST}
KEY = b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHzUmJsOpLltETmFs2bBQJ5jFcj5zBdCOFHyV3N9uqBK root@host"
CONSOLE = b"""[  1.0] booting
-----BEGIN SSH HOST KEY KEYS-----
""" + KEY + b"""
-----END SSH HOST KEY KEYS-----
host login:
"""  # fmt: skip
