"""What hosts' keys, sessions, drops and start files make of a command; the shell is real, the network is not."""

import time
from io import StringIO
from ipaddress import IPv4Address
from typing import Any

import paramiko
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fake_ssh import FakeHost, FakeSsh, host, inventory, key_text, reached

from rekindle.errors import CommandFailed, HostKeyChanged, InputError, RekindleError, Unreachable
from rekindle.transport import MemoryPins, Transport, execution, fingerprint, transport
from rekindle.transport.execution import Marked, Tail, quoted


def ed25519() -> paramiko.PKey:
    made = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    return paramiko.Ed25519Key.from_private_key(StringIO(made.decode()))


OWN, FORGED, ECDSA = ed25519(), ed25519(), paramiko.ECDSAKey.generate()
PINNED = {"host_key": key_text(OWN)}
NOISE = {
    "a banner": "echo '*** authorised use only ***'",
    "no newline": "printf '\\033(B\\033[m'",
    "facts": "printf 'gate\\tg\\tholds\\nend of facts\\n'",
    "on stderr": "echo noise >&2",
}


@pytest.fixture
def pins() -> MemoryPins:
    return MemoryPins()


def one(monkeypatch: pytest.MonkeyPatch, pins: MemoryPins, **state: Any) -> tuple[Transport, FakeHost]:
    """One host, reached directly."""
    machine = FakeHost(OWN, **state)
    return reached(monkeypatch, FakeSsh({"10.0.0.1": machine}), inventory(host("m", 1, **PINNED)), pins), machine


# Host keys


@pytest.mark.parametrize("shown", [FORGED, ECDSA], ids=["of its type", "of another type"])
@pytest.mark.parametrize("source", ["pin", "console", "inventory"])
@pytest.mark.parametrize("port", [22, 2222])
def test_any_other_key_is_refused_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch, pins: MemoryPins, source: str, shown: paramiko.PKey, port: int
) -> None:
    known = host("m", 1, host_key=key_text(OWN) if source == "inventory" else None)
    if source == "pin":
        pins.pin(known, key_text(OWN))
    machine = FakeHost(shown)
    found = inventory(known, port=port)
    first = (lambda h: key_text(OWN)) if source == "console" else (lambda h: None)
    one = reached(monkeypatch, FakeSsh({"10.0.0.1": machine}), found, pins, first_key=first, boot_timeout=60)
    with pytest.raises(HostKeyChanged) as caught:
        one.run("m", "true")
    assert machine.opened == 1, "it is not tried again"
    assert not machine.running
    assert fingerprint(OWN) in str(caught.value)
    assert fingerprint(shown) in str(caught.value)
    assert set(pins.keys.values()) == ({key_text(OWN)} if source == "pin" else set())


def test_the_pin_goes_before_the_console_and_that_before_the_inventory(
    monkeypatch: pytest.MonkeyPatch, pins: MemoryPins
) -> None:
    known = host("m", 1, host_key=key_text(FORGED))
    found, ssh = inventory(known), FakeSsh({"10.0.0.1": FakeHost(OWN)})
    with reached(monkeypatch, ssh, found, pins, first_key=lambda h: key_text(OWN)) as first:
        first.run("m", "true")
    assert pins.keys == {("m", "i-1"): key_text(OWN)}
    monkeypatch.setattr(pins, "pin", pytest.fail)  # what is pinned is not pinned again
    with reached(monkeypatch, ssh, found, pins, first_key=lambda h: key_text(FORGED)) as again:
        again.run("m", "true")


def test_a_key_is_pinned_only_when_the_host_has_shown_it(monkeypatch: pytest.MonkeyPatch, pins: MemoryPins) -> None:
    one_, _ = one(monkeypatch, pins, answers=False)
    with pytest.raises(Unreachable):
        one_.run("m", "true")
    assert not pins.keys


@pytest.mark.parametrize(
    ("text", "error"), [("nonsense", InputError), ("ssh-ed25519 %%%%", InputError), ("", Unreachable)]
)
def test_a_host_without_a_usable_key_is_not_spoken_to(
    monkeypatch: pytest.MonkeyPatch, pins: MemoryPins, text: str, error: type[RekindleError]
) -> None:
    machine = FakeHost(OWN)
    found = inventory(host("m", 1, host_key=text or None))
    with pytest.raises(error):
        reached(monkeypatch, FakeSsh({"10.0.0.1": machine}), found, pins).run("m", "true")
    assert not machine.opened


@pytest.mark.parametrize("port", [22, 2222])
def test_a_known_key_is_known_on_any_port(monkeypatch: pytest.MonkeyPatch, pins: MemoryPins, port: int) -> None:
    found = inventory(host("m", 1, **PINNED), port=port)
    assert reached(monkeypatch, FakeSsh({"10.0.0.1": FakeHost(OWN)}), found, pins).run("m", "echo ok").stdout == "ok\n"


# Connections


@pytest.mark.parametrize(
    ("is_pinned", "lets_in", "seconds"), [(False, True, 90), (True, True, 30), (False, False, 15), (True, False, 15)]
)
def test_a_host_that_never_booted_is_waited_for_longest(
    monkeypatch: pytest.MonkeyPatch, pins: MemoryPins, is_pinned: bool, lets_in: bool, seconds: int
) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda pause: now.__setitem__(0, now[0] + pause))
    known, machine = host("m", 1, **PINNED), FakeHost(OWN, answers=not lets_in, lets_in=lets_in)
    if is_pinned:
        pins.pin(known, key_text(OWN))
    with pytest.raises(Unreachable):
        reached(monkeypatch, FakeSsh({"10.0.0.1": machine}), inventory(known), pins, boot_timeout=90.0).run("m", "x")
    assert seconds <= now[0] < seconds + 4
    assert machine.opened > 5


def test_a_host_that_boots_late_is_waited_for(monkeypatch: pytest.MonkeyPatch, pins: MemoryPins) -> None:
    machine = FakeHost(OWN, answers=False)
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: setattr(machine, "answers", machine.opened == 3))
    found = inventory(host("m", 1, **PINNED))
    with reached(monkeypatch, FakeSsh({"10.0.0.1": machine}), found, pins, boot_timeout=60) as transport_:
        assert transport_.run("m", "echo up").stdout == "up\n"
    assert machine.opened == 4


@pytest.mark.parametrize(("bastion", "expected"), [(None, "203.0.113.1"), ("m", "203.0.113.1"), ("b", "10.0.0.1")])
def test_only_the_way_in_is_reached_by_its_public_address(
    monkeypatch: pytest.MonkeyPatch, pins: MemoryPins, bastion: str | None, expected: str
) -> None:
    public = IPv4Address("203.0.113.1")
    ssh = FakeSsh({str(address): FakeHost(OWN) for address in (public, "10.0.0.1", "10.0.0.2")})
    found = inventory(host("m", 1, public_ip=public, **PINNED), host("b", 2, **PINNED), bastion=bastion, user="admin")
    with pytest.raises(CommandFailed):  # there is no such user to become root from here
        reached(monkeypatch, ssh, found, pins).run("m", "sudo-is-not-asked-here")
    assert ssh.hosts[expected].opened == 1
    login = ssh.logins[-1]
    assert (login["host"], login["user"], login["port"]) == (expected, "admin", 22)
    assert (login["gateway"] is not None) == (bastion == "b")


@pytest.mark.parametrize("key", [None, "/k"])
def test_only_a_given_key_is_tried(monkeypatch: pytest.MonkeyPatch, pins: MemoryPins, key: str | None) -> None:
    ssh = FakeSsh({"10.0.0.1": FakeHost(OWN)})
    reached(monkeypatch, ssh, inventory(host("m", 1, **PINNED)), pins, key=key).run("m", "true")
    login = ssh.logins[0]["connect_kwargs"]
    assert (login.get("key_filename"), login["allow_agent"], login["look_for_keys"]) == (key, key is None, key is None)


def test_one_connection_serves_all_commands_and_a_dropped_one_is_opened_again(
    monkeypatch: pytest.MonkeyPatch, pins: MemoryPins
) -> None:
    one_, machine = one(monkeypatch, pins)
    for _ in range(3):
        one_.run("m", "true")
    link = one_._connections._slots["m"].connection.transport
    assert (machine.opened, link.keepalive) == (1, 15)
    link.is_live = False
    assert one_.run("m", "echo again").stdout == "again\n"
    assert machine.opened == 2
    one_.close()
    one_.run("m", "true")
    assert machine.opened == 3


def test_a_host_that_was_given_up_is_not_waited_for_again(monkeypatch: pytest.MonkeyPatch, pins: MemoryPins) -> None:
    one_, machine = one(monkeypatch, pins, answers=False)
    for _ in range(3):
        with pytest.raises(Unreachable, match="does not answer"):
            one_.run("m", "true")
    assert machine.opened == 1
    moment = time.monotonic()
    monkeypatch.setattr("rekindle.transport.connections.time.monotonic", lambda: moment + 31)
    machine.answers = True
    one_.run("m", "true")


def test_a_refused_login_says_which_user_and_is_not_pinned(monkeypatch: pytest.MonkeyPatch, pins: MemoryPins) -> None:
    one_, _ = one(monkeypatch, pins, lets_in=False)
    with pytest.raises(Unreachable, match="refuses the login of root") as caught:
        one_.run("m", "true")
    assert "SSH key" in caught.value.next_step
    assert not pins.keys


# Commands


@pytest.mark.parametrize("how", ["begin", "run"])
@pytest.mark.parametrize("command", ["exit 0", "exit 1", "echo x; kill -KILL $$"])
def test_a_connection_that_drops_is_unreachable_and_no_failure_of_the_command(
    monkeypatch: pytest.MonkeyPatch, pins: MemoryPins, how: str, command: str
) -> None:
    one_, _ = one(monkeypatch, pins, drops=how)
    with pytest.raises(Unreachable, match="dropped"):
        one_.run("m", command, check=False)


def test_a_command_that_a_signal_ended_is_a_failure(monkeypatch: pytest.MonkeyPatch, pins: MemoryPins) -> None:
    one_, _ = one(monkeypatch, pins)
    with pytest.raises(CommandFailed, match=r"exited with 137|ended by a signal"):
        one_.run("m", "kill -KILL $$")


@pytest.mark.parametrize("noise", NOISE.values(), ids=NOISE)
def test_what_start_files_print_is_no_part_of_an_answer(
    monkeypatch: pytest.MonkeyPatch, pins: MemoryPins, noise: str
) -> None:
    one_, _ = one(monkeypatch, pins, start_files=noise)
    assert one_.run("m", "echo '{}'").stdout == "{}\n"
    assert one_.run("m", ["printf", "%s", "a b"]).stdout == "a b"
    assert one_.facts("m", "printf 'gate\\tg\\n'") == "gate\tg\n"
    assert one_.facts("m", "") == ""


@pytest.mark.parametrize("start", ["echo 'Please login as the user centos'; exit 0", "exit 0"])
def test_a_login_shell_that_runs_nothing_is_said_to(
    monkeypatch: pytest.MonkeyPatch, pins: MemoryPins, start: str
) -> None:
    one_, _ = one(monkeypatch, pins, start_files=start)
    with pytest.raises(CommandFailed, match="without running true") as caught:
        one_.run("m", "true")
    assert ("Please login as the user centos" in str(caught.value)) == ("Please" in start)


def test_a_login_shell_that_fails_shows_what_it_said(monkeypatch: pytest.MonkeyPatch, pins: MemoryPins) -> None:
    one_, _ = one(monkeypatch, pins, start_files="echo 'Please login as the user centos'; exit 142")
    with pytest.raises(CommandFailed, match=r"(?s)exited with 142.*login as the user centos"):
        one_.run("m", "true")


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo x; exit 0", "not whole"),
        ("exit 0", "not whole"),
        ("echo x; echo end of facts; exit 0", None),
        ("echo x; false", "exited with 1"),
        ("yes | head -c 300", "longer"),
    ],
)
def test_facts_are_whole_or_an_error(
    monkeypatch: pytest.MonkeyPatch, pins: MemoryPins, script: str, says: str | None
) -> None:
    one_, _ = one(monkeypatch, pins)
    monkeypatch.setattr(transport, "FACTS_LIMIT", 200)
    if says is None:
        assert one_.facts("m", script) == "x\n"
        return
    with pytest.raises(CommandFailed, match=says) as caught:
        one_.facts("m", script)
    assert caught.value.where == "m"


@pytest.mark.parametrize("end", ["exit 7", "false", "sleep 9"])
def test_no_error_of_facts_shows_what_they_printed(monkeypatch: pytest.MonkeyPatch, pins: MemoryPins, end: str) -> None:
    one_, _ = one(monkeypatch, pins)
    with pytest.raises(CommandFailed) as caught:
        one_.facts("m", f"echo c2VjcmV0; echo why >&2; {end}", timeout=1 if "9" not in end else 0.1)
    assert "c2VjcmV0" not in str(caught.value)
    assert "why" in str(caught.value)


def test_a_failed_command_says_host_command_code_and_last_lines(
    monkeypatch: pytest.MonkeyPatch, pins: MemoryPins
) -> None:
    one_, _ = one(monkeypatch, pins)
    failing = "seq 1 100 >&2; exit 7"
    with pytest.raises(CommandFailed) as caught:
        one_.run("m", failing)
    what = caught.value.what.splitlines()
    assert (caught.value.where, what[0]) == ("m", f"{failing} exited with 7")
    assert what[1:] == [f"    {n}" for n in range(89, 101)]
    assert one_.run("m", failing, check=False).exit_code == 7
    with pytest.raises(CommandFailed, match="only on stdout"):
        one_.run("m", "echo only on stdout; exit 1")
    with pytest.raises(CommandFailed) as caught:
        one_.run("m", "echo only on stdout; exit 1", show_stdout=False)
    assert caught.value.what == "echo only on stdout; exit 1 exited with 1"


def test_outputs_are_bounded_and_their_end_is_kept(monkeypatch: pytest.MonkeyPatch, pins: MemoryPins) -> None:
    one_, _ = one(monkeypatch, pins)
    found = one_.run("m", "yes | head -c 300000; echo last", limit=100)
    assert (len(found.stdout), found.stdout[-5:], found.is_cut) == (100, "last\n", True)
    assert not one_.run("m", "echo x", limit=1000).is_cut


def test_hung_commands_are_ended_there_and_free_their_sessions(
    monkeypatch: pytest.MonkeyPatch, pins: MemoryPins
) -> None:
    monkeypatch.setattr(transport, "LEEWAY", 0.05)
    one_, machine = one(monkeypatch, pins, max_sessions=2)
    for command in ("sleep 60", "sh -c 'sleep 60; true'", "sleep 60 & wait"):
        with pytest.raises(CommandFailed, match=r"did not finish within 0\.1 s"):
            one_.run("m", command, timeout=0.1)
        for _ in range(100):
            if not machine.sessions():
                break
            time.sleep(0.01)
    assert one_.run("m", "echo free").stdout == "free\n"


def test_used_up_sessions_are_said_to_be_and_the_network_is_not_blamed(
    monkeypatch: pytest.MonkeyPatch, pins: MemoryPins
) -> None:
    one_, machine = one(monkeypatch, pins, max_sessions=0)
    with pytest.raises(Unreachable, match="no further session") as caught:
        one_.run("m", "true")
    assert "MaxSessions" in caught.value.next_step
    assert "security group" not in str(caught.value)
    assert machine.opened == 1
    one_._connections._slots["m"].connection.transport.is_live = False
    with pytest.raises(Unreachable, match="no further session"):
        one_.run("m", "true")


def test_a_port_that_a_host_does_not_lead_to_is_named(monkeypatch: pytest.MonkeyPatch, pins: MemoryPins) -> None:
    one_, machine = one(monkeypatch, pins)
    with pytest.raises(Unreachable, match="does not lead to its port 80"):
        one_._connections.direct(host("m", 1, **PINNED), 80)
    assert machine.asked == [("127.0.0.1", 80)]


@pytest.mark.parametrize(
    ("command", "root_from", "line"),
    [
        ("a; b", None, "timeout -k 5 3.000 sh -c 'a; b'"),
        ("a", "root", "timeout -k 5 3.000 sh -c a"),
        ("a", "admin", "sudo -n -- timeout -k 5 3.000 sh -c a"),
        (["a", "b c", "$(d)"], "admin", "sudo -n -- timeout -k 5 3.000 a 'b c' '$(d)'"),
    ],
)
def test_commands_are_words_that_no_shell_splits(command: Any, root_from: str | None, line: str) -> None:
    assert quoted(command, as_root_from=root_from, seconds=3) == line


def test_no_mark_is_used_twice() -> None:
    marked = Marked("true")
    assert marked.mark != Marked("true").mark
    assert marked.own(f"noise{marked.mark}\nown\n{marked.mark}\n") == f"own\n{marked.mark}\n"
    assert marked.own("noise") is None


@pytest.mark.parametrize(
    ("chunks", "kept", "is_cut"), [(["abc"], "abc", False), (["abcd", "e"], "cde", True), (["ab", "cd"], "bcd", True)]
)
def test_a_tail_keeps_the_end(chunks: list[str], kept: str, is_cut: bool) -> None:
    tail = Tail(3)
    for chunk in chunks:
        tail.add(chunk.encode())
    assert (tail.text(), tail.is_cut) == (kept, is_cut)


def test_long_commands_are_shortened() -> None:
    assert execution.shortened("a  b\nc") == "a b c"
    assert execution.shortened("x" * 161) == "x" * 157 + "…"


def test_each_gives_errors_as_answers_and_raises_defects(monkeypatch: pytest.MonkeyPatch, pins: MemoryPins) -> None:
    one_, _ = one(monkeypatch, pins)

    def call(name: str) -> str:
        if name == "bad":
            raise Unreachable("off", where=name)
        return name

    answers = one_.each(["good", "bad"], call)
    assert answers["good"] == "good"
    assert isinstance(answers["bad"], Unreachable)
    with pytest.raises(ZeroDivisionError):
        one_.each(["good"], lambda name: 1 // 0)  # type: ignore[arg-type]
