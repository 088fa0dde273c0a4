"""Host subjects read and written: what facts mean as tables, and the real thing over a shell."""

import hashlib
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rekindle.drivers.hosts import HostDriver, content_digest, file_state
from rekindle.drivers.hosts.install import InstallKind
from rekindle.drivers.hosts.os_package import OsPackageKind
from rekindle.drivers.hosts.os_release import OsKind
from rekindle.drivers.hosts.sysctl import SysctlKind
from rekindle.drivers.hosts.unit import UnitKind
from rekindle.drivers.hosts.user import UserKind
from rekindle.errors import CommandFailed, GateFailed, InputError, Refused
from rekindle.plan import Declared, State, Step
from rekindle.transport import Result, Transport
from rekindle.transport.execution import quoted

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="changes owners")
WANTED = {"role": "slave", "version": "2.1", "bootstrap_url": "http://b"}
INSTALLED = "roles tree active target "


@pytest.mark.parametrize(
    ("kind", "name", "wanted", "fields", "state"),
    [
        (InstallKind(), "dcos", WANTED, ("", "", "", ""), None),
        (InstallKind(), "dcos", WANTED, ("running", "slave ", "", ""), None),
        (InstallKind(), "dcos", WANTED, (INSTALLED, "slave ", "2.1.4", "http://b"), WANTED),
        (
            InstallKind(),
            "dcos",
            WANTED,
            (INSTALLED, "slave ", "2.0.1", "http://b"),
            {**WANTED, "version": "2.0.1"},
        ),
        (
            InstallKind(),
            "dcos",
            WANTED,
            (INSTALLED, "slave ", "2.10", "http://b"),
            {**WANTED, "version": "2.10"},
        ),
        (InstallKind(), "dcos", WANTED, ("roles tree ", "slave ", "", ""), {"half_installed": "roles tree"}),
        (InstallKind(), "dcos", WANTED, ("tree ", "", "", ""), {"half_installed": "tree"}),
        (UnitKind(), "u", {}, ("enabled", "active", ""), {"enabled": True, "active": True}),
        (UnitKind(), "u", {}, ("static", "active", ""), {"enabled": True, "active": True}),
        (UnitKind(), "u", {}, ("enabled", "failed", ""), {"enabled": True, "active": False}),
        (UnitKind(), "u", {}, ("enabled", "activating", ""), {"enabled": True, "active": False}),
        (UnitKind(), "u", {}, ("disabled", "activating", ""), {"enabled": False, "active": False}),
        (UnitKind(), "u", {}, ("disabled", "inactive", ""), None),
        (UnitKind(), "u", {}, ("", "inactive", ""), None),
        (
            UnitKind(),
            "u",
            {"inputs": "x"},
            ("enabled", "active", "y"),
            {"enabled": True, "active": True, "inputs": "y"},
        ),
        (OsPackageKind(), "p", {}, ("installed",), {"installed": True}),
        (OsPackageKind(), "p", {}, ("config-files",), None),
        (OsPackageKind(), "p", {}, (), None),
        (SysctlKind(), "s", {}, ("1 2", ""), {"live": "1 2", "boot": ""}),
        (SysctlKind(), "s", None, ("1", ""), None),
        (UserKind(), "u", {}, (), None),
        (UserKind(), "u", {}, ("/h", "/s", "b a "), {"home": "/h", "shell": "/s", "groups": ["a", "b"]}),
        (OsKind(), "debian-12", {}, ("debian-12",), {}),
        (OsKind(), "debian-12", {}, ("centos-7",), {"is": "centos-7"}),
    ],
)
def test_what_facts_mean(kind: Any, name: str, wanted: State | None, fields: tuple[str, ...], state: State) -> None:
    assert kind.state(name, wanted, fields) == state


@pytest.mark.parametrize(
    ("kind", "step", "says"),
    [
        (InstallKind(), ("install:dcos", {"half_installed": "roles tree"}, WANTED), "half-installed"),
        (InstallKind(), ("install:dcos", {**WANTED, "role": "master"}, WANTED), "installed as"),
        (OsKind(), ("os:debian-12", {"is": "centos-7"}, {}), "runs centos-7"),
    ],
)
def test_what_is_refused(kind: Any, step: tuple[str, State, State], says: str) -> None:
    subject, before, after = step
    with pytest.raises(Refused, match=says) as caught:
        kind.change([Step(target="h", subject=subject, before=before, after=after)])
    assert caught.value.where == "h"
    assert caught.value.next_step


class ThisMachine(Transport):
    """A transport whose every host is this machine, with the shell that hosts would run."""

    def __init__(self) -> None:
        self.facts_asked = 0

    def run(self, host: str, command: Any, **more: Any) -> Result:
        given = more.get("stdin", b"")
        line = quoted(command, as_root_from=None, seconds=60)
        done = subprocess.run(
            ["sh", "-c", line], input=given.encode() if isinstance(given, str) else given, capture_output=True
        )
        result = Result(
            host=host,
            command=str(command),
            exit_code=done.returncode,
            stdout=done.stdout.decode(),
            stderr=done.stderr.decode(),
        )
        return result.check() if more.get("check", True) else result

    def facts(self, host: str, script: str, **more: Any) -> str:
        self.facts_asked += 1
        return super().facts(host, script, **more)

    def long_run(self, host: str, name: str, command: str, timeout: float, progress: Any = None) -> Result:
        return self.run(host, command, check=False)


def driver(*declared: tuple[str, State | None], contents: Mapping[str, bytes] | None = None) -> HostDriver:
    wanted = [Declared(target="h", subject=subject, state=state) for subject, state in declared]
    return HostDriver(ThisMachine(), wanted, contents or {})


def make_true(one: HostDriver, *declared: tuple[str, State | None]) -> Mapping[str, State | None]:
    """Writes what differs and reads again."""
    subjects = [subject for subject, _ in declared]
    seen = one.read("h", subjects)
    steps = [Step(target="h", subject=s, before=seen[s], after=state) for s, state in declared if seen[s] != state]
    one.write("h", steps)
    return one.read("h", subjects)


@needs_root
def test_files_directories_and_commands_become_true(tmp_path: Path) -> None:
    old, link = tmp_path / "old", tmp_path / "link"
    old.write_text("x")
    link.symlink_to("/nowhere")
    declared: list[tuple[str, State | None]] = [
        (f"file:{tmp_path}/new", file_state(content_digest(b"hello\n"), mode="0640", owner="nobody", group="nogroup")),
        (f"file:{tmp_path}/empty", file_state(content_digest(b""))),
        (f"file:{old}", None),
        (f"file:{link}", None),
        (f"directory:{tmp_path}/d", {"mode": "0750", "owner": "nobody", "group": "root"}),
        (
            "command:touch",
            {"guard": f"test -e {tmp_path}/t", "run": f"touch {tmp_path}/t", "timeout": 9, "long": False},
        ),
        (
            "command:long",
            {"guard": f"test -e {tmp_path}/l", "run": f"touch {tmp_path}/l", "timeout": 9, "long": True},
        ),
        ("gate:there", {"check": f"test -e {tmp_path}/l", "timeout": 1}),
    ]
    one = driver(*declared, contents={content_digest(c): c for c in (b"hello\n", b"")})
    assert make_true(one, *declared) == dict(declared)
    assert one._transport.facts_asked == 2, "one round trip for all facts"  # type: ignore[attr-defined]
    assert (tmp_path / "new").read_text() == "hello\n"


@needs_root
def test_a_link_in_a_files_place_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("keep")
    (tmp_path / "f").symlink_to(tmp_path / "target")
    declared = (f"file:{tmp_path}/f", file_state(content_digest(b"x")))
    one = driver(declared, contents={content_digest(b"x"): b"x"})
    assert one.read("h", [declared[0]])[declared[0]] == {"is": "symbolic link"}
    assert make_true(one, declared) == dict([declared])
    assert (tmp_path / "target").read_text() == "keep"


@needs_root
def test_a_command_runs_again_when_what_it_watches_changed(tmp_path: Path) -> None:
    name = f"test-{os.getpid()}"
    run = f"echo ran >>{tmp_path}/log"

    def command(inputs: str) -> tuple[str, State]:
        return f"command:{name}", {"guard": "true", "run": run, "timeout": 9, "long": False, "inputs": inputs}

    stamp = Path(f"/var/lib/rekindle/commands/{name}")
    try:
        for inputs, runs in (("a", 1), ("a", 1), ("b", 2)):
            declared = command(inputs)
            assert make_true(driver(declared), declared) == dict([declared])
            assert (tmp_path / "log").read_text().count("ran") == runs
    finally:
        stamp.unlink()


@needs_root
def test_an_artifact_is_kept_only_with_its_digest(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"payload")
    sha256 = content_digest(b"payload").removeprefix("sha256:")
    right = (
        f"artifact:{tmp_path}/got",
        {"url": f"file://{source}", "sha256": sha256, "mode": "0755"},
    )
    wrong = (right[0], {**right[1], "sha256": "0" * 64})
    stamp = Path("/var/lib/rekindle/artifacts", hashlib.sha256(f"{tmp_path}/got".encode()).hexdigest()[:16])
    request.addfinalizer(lambda: stamp.unlink(missing_ok=True))
    with pytest.raises(CommandFailed, match="has the digest"):
        make_true(driver(wrong), wrong)
    assert [path.name for path in tmp_path.iterdir()] == ["source"], "nothing of it is left"
    assert make_true(driver(right), right) == dict([right])
    assert {path.name for path in tmp_path.iterdir()} == {"source", "got"}
    (tmp_path / "got").write_bytes(b"altered")
    assert driver(right).read("h", [right[0]])[right[0]] != right[1], "a kept digest does not outlive the file"
    (tmp_path / "got").unlink()
    (tmp_path / "got").symlink_to(source)
    assert driver(right).read("h", [right[0]])[right[0]] is None, "what a link leads to may be another's"
    assert make_true(driver(right), right) == dict([right])
    assert not (tmp_path / "got").is_symlink()


def test_a_gate_that_stays_shut_says_what_it_said_last() -> None:
    shut: tuple[str, State] = ("gate:g", {"check": "echo 2 of 3 serve; exit 1", "timeout": 0})
    with pytest.raises(GateFailed, match="2 of 3 serve"):
        make_true(driver(shut), shut)


def test_content_that_is_not_at_hand_is_said(tmp_path: Path) -> None:
    declared = (f"file:{tmp_path}/f", file_state("sha256:00"))
    with pytest.raises(InputError, match="not at hand"):
        make_true(driver(declared), declared)


def test_guards_cannot_eat_the_script() -> None:
    declared: tuple[str, State] = ("command:c", {"guard": "cat", "run": "true", "timeout": 1, "long": False})
    assert driver(declared, ("group:root", {})).read("h", [declared[0], "group:root"])["group:root"] == {}
