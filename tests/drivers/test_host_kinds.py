"""What each kind of host subject writes, and what no host can make it believe."""

import re
import shlex
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.drivers.hosts import KINDS, HostDriver, content_digest, file_state
from rekindle.drivers.hosts import driver as module
from rekindle.drivers.hosts.file import UNIT_FILES
from rekindle.drivers.hosts.unit import ENABLE
from rekindle.errors import CommandFailed, GateFailed, InputError, Refused
from rekindle.plan import Declared, State, Step
from rekindle.transport import PutFile, Result, files

DIGEST = "a" * 64
FILE = {"content": content_digest(b"x"), "mode": "0644", "owner": "root", "group": "root"}
STATES: dict[str, State] = {
    "os:debian-12": {},
    "group:g": {},
    "user:u": {"home": "/h", "shell": "/s", "groups": ["a", "b"]},
    "os_package:p": {"installed": True},
    "directory:/d": {"mode": "0750", "owner": "o", "group": "g"},
    "file:/f": FILE,
    "sysctl:net.a": {"live": "1 2", "boot": "1 2"},
    "unit:u.service": {"enabled": True, "active": True, "inputs": "i"},
    "artifact:/a/b": {"url": "http://u", "sha256": DIGEST, "mode": "0755"},
    "command:c": {"run": "r", "guard": "g", "timeout": 1, "long": False, "inputs": "i"},
    "install:dcos": {"role": "slave", "version": "2.1", "bootstrap_url": "http://b"},
    "gate:g": {"check": "c", "timeout": 1, "after": []},
}
LINES = {
    "os:debian-12": "debian-12",
    "group:g": "there",
    "user:u": "/h\t/s\tb a ",
    "os_package:p": "installed",
    "directory:/d": "directory\t750\to\tg",
    "file:/f": "regular file\t644\troot\troot",
    "sysctl:net.a": "1 2\t1 2",
    "unit:u.service": "enabled\tactive\ti",
    "artifact:/a/b": f"{DIGEST}\t755",
    "command:c": "holds\ti",
    "install:dcos": "roles tree active target \tslave \t2.1.4\thttp://b",
    "gate:g": "holds",
}
CONTENT = f"content\t/f\t{FILE['content'].removeprefix('sha256:')}\n"


class Asked:
    """A transport that answers facts with a text, and keeps what it is told to put."""

    def __init__(self, text: str = "") -> None:
        self.text = text
        self.put_files: list[PutFile] = []
        self.gone: list[str] = []
        self.before = self.after = ""
        self.puts = 0
        self.long: list[tuple[str, str, float]] = []
        self.codes: list[int] = []

    def facts(self, host: str, script: str) -> str:
        return self.text

    def put(self, host: str, files: Any, *, gone: Any = (), before: str = "", after: str = "") -> None:
        self.puts += 1
        self.put_files, self.gone, self.before, self.after = list(files), list(gone), before, after

    def long_run(self, host: str, name: str, command: str, timeout: float, report: Any) -> Result:
        self.long.append((name, command, timeout))
        return Result(host=host, command=name, exit_code=self.codes.pop(0) if self.codes else 0, stdout="", stderr="")

    def run(self, host: str, command: str, *, check: bool = True) -> Result:
        code = self.codes.pop(0) if self.codes else 0
        return Result(host=host, command=command, exit_code=code, stdout=f"{code} are missing\n", stderr="")


def driver(asked: Asked, wanted: Mapping[str, State | None] = STATES, report: Any = lambda line: None) -> HostDriver:
    declared = [Declared(target="h", subject=subject, state=state) for subject, state in wanted.items()]
    return HostDriver(asked, declared, {FILE["content"]: b"x"}, report)  # type: ignore[arg-type]


def lines(without: str = "", instead: str = "") -> str:
    """The facts of a host where all is as wanted, but one subject's line."""
    found = {s: f"{s.partition(':')[0]}\t{s.partition(':')[2]}\t{fields}\n" for s, fields in LINES.items()}
    return "".join(instead if subject == without else line for subject, line in found.items()) + CONTENT


def step(subject: str, before: State | None, after: State | None) -> Step:
    return Step(target="h", subject=subject, before=before, after=after)


def written(*steps: Step) -> Asked:
    asked = Asked()
    driver(asked).write("h", steps)
    return asked


# Reading


def test_tools_are_asked_in_the_language_that_is_read() -> None:
    assert driver(Asked())._script({}).startswith("export LC_ALL=C\n")


def test_every_kind_is_here() -> None:
    assert {subject.partition(":")[0] for subject in STATES} == set(KINDS)


def test_a_host_where_all_is_so_has_the_wanted_states() -> None:
    assert driver(Asked(lines())).read("h", list(STATES)) == STATES


@pytest.mark.parametrize("subject", [s for s in STATES if s.partition(":")[0] in ("directory", "os_package")])
def test_what_has_no_line_is_absent(subject: str) -> None:
    assert driver(Asked(lines(subject))).read("h", list(STATES))[subject] is None


@pytest.mark.parametrize(
    ("subject", "line"),
    [
        ("os:debian-12", "os\tdebian-12\n"),
        ("os:debian-12", "os\tdebian-12\tdebian-12\tmore\n"),
        ("os:debian-12", ""),
        ("group:g", "group\tg\tperhaps\n"),
        ("user:u", "user\tu\t/h\n"),
        ("user:u", "user\tu\t/h\t/s\ta\tb\n"),
        ("os_package:p", "os_package\tp\tinstalled\tinstalled\n"),
        ("directory:/d", "directory\t/d\tdirectory\t8\to\tg\n"),
        ("directory:/d", "directory\t/d\tdirectory\t755\to\n"),
        ("directory:/d", "directory\t/d\tdirectory\t0o7\to\tg\n"),
        ("directory:/d", "directory\t/d\tdirectory\t77777\to\tg\n"),
        ("file:/f", "file\t/f\tregular file\trw\troot\troot\n"),
        ("file:/f", "file\t/f\tregular file\t644\troot\n"),
        ("file:/f", "file\t/f\n"),
        ("sysctl:net.a", "sysctl\tnet.a\t1\n"),
        ("unit:u.service", "unit\tu.service\tenabled\n"),
        ("unit:u.service", ""),
        ("artifact:/a/b", f"artifact\t/a/b\t{DIGEST}\n"),
        ("artifact:/a/b", "artifact\t/a/b\tno digest\t755\n"),
        ("artifact:/a/b", f"artifact\t/a/b\t{DIGEST}\tx\n"),
        ("command:c", "command\tc\tperhaps\t\n"),
        ("command:c", "command\tc\n"),
        ("install:dcos", "install\tdcos\troles\n"),
        ("install:dcos", ""),
        ("gate:g", "gate\tg\tperhaps\n"),
        ("gate:g", "gate\tg\tholds\ngate\tg\tholds\n"),
        ("gate:g", "gate\tother\tholds\n"),
        ("gate:g", "gate\n"),
        ("gate:g", "c2VjcmV0\n"),
        ("gate:g", "c2VjcmV0\tg\tholds\n"),
        ("gate:g", "\n"),
    ],
)
def test_an_odd_line_is_an_error_that_names_host_and_kind_and_shows_nothing(subject: str, line: str) -> None:
    with pytest.raises(CommandFailed, match="that cannot be read") as caught:
        driver(Asked(lines(subject, line))).read("h", list(STATES))
    assert caught.value.where == "h"
    assert caught.value.next_step
    assert "c2VjcmV0" not in str(caught.value)


@settings(max_examples=60)
@given(st.text(alphabet=st.sampled_from("\t\n 07ax/:") | st.characters(), max_size=80), st.sampled_from(list(LINES)))
def test_whatever_a_host_prints_is_a_state_or_an_error(text: str, subject: str) -> None:
    kind, _, name = subject.partition(":")
    for line in (f"{kind}\t{name}\t{text}\n", text, f"{kind}\t{text}"):
        with suppress(CommandFailed):
            driver(Asked(lines(subject, line))).read("h", list(STATES))


@settings(max_examples=60)
@given(st.lists(st.text(max_size=8), max_size=6).map(tuple), st.none() | st.just({"version": "2.1", "inputs": "i"}))
def test_whatever_the_fields_are_each_kind_has_a_state_or_says_that_it_has_none(fields: Any, wanted: Any) -> None:
    for kind in driver(Asked())._kinds.values():
        try:
            kind.state("n", wanted, fields)
        except ValueError:
            continue


# Writing


@pytest.mark.parametrize(
    ("subject", "before", "after", "script"),
    [
        ("group:g", None, {}, "groupadd --system g"),
        ("group:g", {}, None, "groupdel g"),
        ("user:u", None, STATES["user:u"], "useradd --system --home-dir /h --shell /s --groups a,b u"),
        ("user:u", {}, STATES["user:u"], "usermod --home /h --shell /s --groups a,b u"),
        ("user:u", {}, None, "userdel u"),
        ("os_package:p", None, {"installed": True}, "install_os_packages p"),
        ("os_package:p", {"installed": True}, None, "remove_os_packages p"),
        ("directory:/d", None, STATES["directory:/d"], "make_folder 0750 o:g /d"),
        ("directory:/d", {}, None, "remove_folder /d"),
        ("sysctl:net.a", None, {"live": "1 2", "boot": "3"}, "sysctl -q -w 'net.a=1 2'"),
        ("sysctl:net.a", None, {"live": "1 2", "boot": "3"}, "3 >/etc/sysctl.d/90-rekindle-net.a.conf"),
        ("sysctl:net.a", {}, None, "rm -f -- /etc/sysctl.d/90-rekindle-net.a.conf"),
        ("unit:u.service", None, {"enabled": True}, "enable_unit u.service\nsystemctl restart -- u.service"),
        ("unit:u.service", {}, None, "systemctl disable --now -- u.service"),
        ("command:c", None, STATES["command:c"], "sh -eu -c r"),
    ],
)
def test_what_is_run_to_make_a_state_true(subject: str, before: State, after: State, script: str) -> None:
    asked = written(step(subject, before, after))
    assert script in (asked.before + asked.after).splitlines() or f"{script}\n" in asked.before + asked.after


@pytest.mark.parametrize(
    ("subject", "noted"),
    [
        ("unit:u.service", "printf %s i >/var/lib/rekindle/units/u.service"),
        ("command:c", "printf %s i >/var/lib/rekindle/commands/c"),
    ],
)
def test_what_watches_notes_its_inputs_only_after_it_was_done(subject: str, noted: str) -> None:
    script = written(step(subject, None, STATES[subject])).after.splitlines()
    assert script[-1] == noted
    assert script.index(noted) > max(n for n, text in enumerate(script) if "restart" in text or "sh -eu" in text)
    without = {key: value for key, value in STATES[subject].items() if key != "inputs"}
    assert noted not in written(step(subject, None, without)).after


@pytest.mark.parametrize("folder", UNIT_FILES)
@pytest.mark.parametrize(("before", "after"), [(None, FILE), (FILE, None), (FILE, {**FILE, "mode": "0600"})])
def test_changed_unit_files_are_read_by_systemd_before_units_start(folder: str, before: State, after: State) -> None:
    unit = step("unit:u.service", None, STATES["unit:u.service"])
    script = written(unit, step(f"file:{folder}u.service", before, after)).after
    assert script.index("systemctl daemon-reload") < script.index("systemctl restart")


def test_other_files_need_no_reload() -> None:
    assert "daemon-reload" not in written(step("file:/etc/x", None, FILE)).after


def test_files_are_put_and_gone_and_what_they_need_comes_before() -> None:
    asked = written(
        step("command:c", None, STATES["command:c"]),
        step("file:/gone", FILE, None),
        step("file:/f", None, {**FILE, "mode": "0640", "owner": "o", "group": "g"}),
        step("artifact:/a/old", {}, None),
        step("user:u", None, STATES["user:u"]),
        step("group:g", None, {}),
    )
    assert asked.put_files == [PutFile(path="/f", content=b"x", mode=0o640, owner="o", group="g")]
    assert asked.gone == ["/gone", "/a/old"]
    assert asked.before.index("groupadd") < asked.before.index("useradd")
    assert "sh -eu -c r" in asked.after
    assert "rekindle: group" in asked.before
    order = ("sysctl -q -w", "systemctl restart", "sh -eu -c r")
    script = written(*(step(s, None, STATES[s]) for s in ("command:c", "unit:u.service", "sysctl:net.a"))).after
    assert sorted(order, key=script.index) == list(order)
    assert asked.puts == 1


@pytest.mark.parametrize("gone", [step("file:/gone", FILE, None), step("artifact:/gone", {}, None)])
def test_what_only_goes_is_put_too(gone: Step) -> None:
    assert written(gone).gone == ["/gone"]


def test_a_gate_alone_puts_nothing() -> None:
    assert written(step("gate:g", None, STATES["gate:g"])).puts == 0


def test_what_is_long_comes_after_the_stream_and_its_failure_is_one() -> None:
    long = {**STATES["command:c"], "long": True, "timeout": 77}
    asked = written(step("artifact:/a/b", None, STATES["artifact:/a/b"]), step("command:c", None, long))
    assert [(name, timeout) for name, _, timeout in asked.long] == [("fetch-b", 3600), ("c", 77)]
    assert asked.long[1][1].startswith("set -eu\n")
    assert "sh -eu -c r" not in asked.after
    failing = Asked()
    failing.codes = [3]
    with pytest.raises(CommandFailed, match="c exited with 3"):
        driver(failing).write("h", [step("command:c", None, long)])


def test_an_artifact_is_asked_for_with_its_digest() -> None:
    ((_, script, _),) = written(step("artifact:/a/b", None, STATES["artifact:/a/b"])).long
    call = shlex.split(script.splitlines()[-1])
    assert (call[0], call[1], call[2], call[4:]) == ("artifact", "/a/b", "/a", ["http://u", DIGEST, "0755"])


def test_an_artifact_goes_to_a_path_or_nowhere() -> None:
    with pytest.raises(InputError, match="is no path"):
        written(step("artifact:/a/../b", None, STATES["artifact:/a/b"]))


def with_systemctl(folder: Path, script: str, text: str) -> str:
    """What shell text prints where systemctl is this script."""
    (folder / "systemctl").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "systemctl").chmod(0o755)
    path = {"PATH": f"{folder}:/usr/bin:/bin"}
    return subprocess.run(["sh", "-euc", text], env=path, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("enabled", "asks"), [("static", False), ("indirect", False), ("disabled", True), ("enabled", True), ("", True)]
)
def test_a_unit_is_enabled_unless_it_needs_none(tmp_path: Path, enabled: str, asks: bool) -> None:
    script = f'case $1 in is-enabled) echo {enabled or "no"} ;; *) echo "$@" ;; esac'
    said = with_systemctl(tmp_path, script, f"{ENABLE}enable_unit u.service")
    assert said == ("enable -- u.service\n" if asks else "")


def test_facts_of_units_are_told_in_the_order_in_which_they_were_asked(tmp_path: Path) -> None:
    shown = r"printf 'UnitFileState=enabled\nActiveState=active\n\nUnitFileState=\nActiveState=inactive\n'"
    script = one_kind("unit", {"a.service": None, "b.service": None})
    told = ["unit\ta.service\tenabled\tactive\t", "unit\tb.service\t\tinactive\t"]
    assert with_systemctl(tmp_path, shown, script).splitlines() == told


def one_kind(kind: str, wanted: Mapping[str, State | None]) -> str:
    return driver(Asked())._kinds[kind].facts(wanted)


def test_content_that_is_not_at_hand_is_said() -> None:
    with pytest.raises(InputError, match="not at hand"):
        written(step("file:/f", None, file_state("sha256:00")))


@pytest.mark.parametrize("before", [{"half_installed": "tree"}, STATES["install:dcos"]])
@pytest.mark.parametrize("after", [{**STATES["install:dcos"], "role": "master"}, None])
def test_an_installed_host_is_not_installed_again(before: State, after: State | None) -> None:
    with pytest.raises(Refused):
        written(step("install:dcos", before, after))


def test_a_bare_host_is_installed_in_its_role() -> None:
    ((name, script, _),) = written(step("install:dcos", None, STATES["install:dcos"])).long
    assert name == "install-dcos"
    assert script.rstrip().endswith("exec bash dcos_install.sh slave")
    assert "fetch http://b/dcos_install.sh dcos_install.sh" in script


def test_a_gate_is_waited_for_as_long_as_it_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter(range(100))
    monkeypatch.setattr(module.time, "monotonic", lambda: float(next(moments)))
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    asked, told = Asked(), list[str]()
    asked.codes = [2, 1, 0]
    driver(asked, report=told.append).write("h", [step("gate:g", None, {"check": "c", "timeout": 50})])
    assert told == ["h: waiting for g: 2 are missing", "h: waiting for g: 1 are missing"]
    asked.codes = [1] * 99
    with pytest.raises(GateFailed, match="g did not come true within 5 s: 1 are missing") as caught:
        driver(asked).write("h", [step("gate:g", None, {"check": "c", "timeout": 5})])
    assert caught.value.where == "h"
    assert 90 < len(asked.codes) < 99


# What reaches hosts is shell that EL7 knows

EL7_LACKS = {
    "curl 7.29": r"--retry-connrefused|--retry-all-errors|--fail-with-body|--parallel",
    "systemd 219": r"--collect|systemd-run[^\n]*--pipe|systemctl[^\n]*--value|journalctl[^\n]*--grep|--property=Exec",
    "bash 4.2": r"\$\{[a-zA-Z_]+@|declare -n|local -n|wait -n|mapfile -d|\[\[ -v ",
    "coreutils 8.22": r"(head|tail|cut|sort|wc) [^\n|]*-z\b|sync -f|mv [^\n]*--exchange|cp [^\n]*--update=|env -[SC]",
    "util-linux 2.23": r"flock [^\n]*(--verbose|-F\b|--no-fork)",
    "python 2.7": r"python3?\b",
}


def fragments() -> dict[str, str]:
    """All shell text that the drivers of hosts send, made with every kind at once."""
    asked = Asked()
    one = driver(asked)
    ways = [(None, state) for state in STATES.values()], [(state, None) for state in STATES.values()]
    found = {"facts": one._script(one._by_kind("h", list(STATES)))}
    for way, states in zip(("make", "remove"), ways, strict=True):
        for subject, (before, after) in zip(STATES, states, strict=True):
            if subject.startswith(("os:", "gate:")) or (subject.startswith("install") and after is None):
                continue
            long = {**after, "long": True} if subject.startswith("command") and after else after
            driver(asked).write("h", [step(subject, before, after)])
            found[f"{way} {subject}"] = asked.before + asked.after
            driver(asked).write("h", [step(subject, before, long)])
    return found | {f"long {name}": script for name, script, _ in asked.long}


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_every_fragment_parses_and_uses_nothing_that_el7_lacks(shell: str) -> None:
    everything = fragments() | {"receive": files.RECEIVE, "run": files.script([PutFile(path="/f", content=b"")])}
    for name, text in everything.items():
        subprocess.run([shell, "-n"], input=text.encode(), check=True)
        for tool, lacks in EL7_LACKS.items():
            assert not re.search(lacks, text), f"{name} asks {tool} for {lacks}"


HOSTILE = "x'; touch /tmp/ran; $(touch /tmp/ran) `touch /tmp/ran` \" \\"


@pytest.mark.parametrize("subject", [s for s in STATES if not s.startswith(("file", "artifact"))])
def test_no_name_or_value_is_more_than_a_word(subject: str) -> None:
    """Names are allow-listed where they are declared; whatever they are, here they are quoted."""
    kind = subject.partition(":")[0]
    named, shell = f"{kind}:{HOSTILE}", ("run", "guard", "check")
    state = {k: HOSTILE if isinstance(v, str) and k not in shell else v for k, v in STATES[subject].items()}
    asked = Asked()
    one = driver(asked, {named: state})
    texts = [one._script(one._by_kind("h", [named]))]
    if kind not in ("os", "gate"):
        for before, after in ((None, state), (state, None)):
            if kind != "install" or after:
                driver(asked).write("h", [step(named, before, after)])
                texts += [asked.before, asked.after, *(script for _, script, _ in asked.long)]
    for text in texts:
        assert "touch" not in text.replace(shlex.quote(HOSTILE), "").replace(shlex.quote(HOSTILE)[1:-1], "")
