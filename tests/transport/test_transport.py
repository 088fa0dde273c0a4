"""Commands, pins, the bastion, files and tunnels over a real sshd."""

import http.server
import os
import signal
import stat
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from paramiko import Channel, SSHException
from real_sshd import Sshd, host, inventory, make_key, start, stop

from rekindle.errors import CommandFailed, HostKeyChanged, InputError, Unreachable
from rekindle.transport import MemoryPins, PutFile, Transport
from rekindle.transport.execution import execute

is_root = os.geteuid() == 0
needs_root = pytest.mark.skipif(not is_root, reason="changes owners")


@pytest.fixture
def one(sshd: Sshd, pins: MemoryPins) -> Iterator[Transport]:
    """A host reached directly."""
    with Transport(inventory(sshd, host("m", 1, host_key=sshd.host_key)), pins, sshd.client_key) as transport:
        yield transport


@pytest.mark.parametrize(
    ("command", "printed"),
    [
        ("echo one; echo two", "one\ntwo\n"),
        ("printf '%s' \"$HOME with 'quotes'\" | wc -w", None),
        (["printf", "%s", "a b; $(id) 'c' \"d\" *"], "a b; $(id) 'c' \"d\" *"),
        ("cat", "given"),
    ],
)
def test_commands_are_quoted(one: Transport, command: str | list[str], printed: str | None) -> None:
    result = one.run("m", command, stdin="given" if command == "cat" else "", as_root=False)
    assert result.exit_code == 0
    if printed is not None:
        assert result.stdout == printed


def test_a_failed_command_says_host_command_code_and_last_lines(one: Transport) -> None:
    with pytest.raises(CommandFailed) as caught:
        one.run("m", "for i in $(seq 100); do echo line $i >&2; done; exit 7", as_root=False)
    assert caught.value.where == "m"
    assert "exited with 7" in str(caught.value)
    assert "line 100" in str(caught.value)
    assert "line 50\n" not in str(caught.value)


def test_a_failure_can_be_looked_at(one: Transport) -> None:
    assert one.run("m", "exit 3", check=False, as_root=False).exit_code == 3


def test_output_is_bounded_and_its_end_kept(one: Transport) -> None:
    result = one.run("m", "yes | head -c 3000000; echo last", as_root=False, limit=1000)
    assert result.is_cut
    assert len(result.stdout) == 1000
    assert result.stdout.endswith("last\n")


def test_input_larger_than_the_window_does_not_block(one: Transport) -> None:
    big = os.urandom(6_000_000)
    assert one.run("m", "cat >/dev/null; echo ok", stdin=big, as_root=False).stdout == "ok\n"
    assert one.run("m", "cat | wc -c", stdin=big, as_root=False).stdout.strip() == str(len(big))


def test_a_command_that_reads_no_input_is_no_error(one: Transport) -> None:
    assert one.run("m", "exit 0", stdin=os.urandom(6_000_000), as_root=False).exit_code == 0


def test_time_is_bounded(one: Transport) -> None:
    began = time.monotonic()
    with pytest.raises(CommandFailed, match=r"within 0\.5 s"):
        one.run("m", "echo begun; sleep 30", timeout=0.5, as_root=False)
    assert time.monotonic() - began < 3


def test_more_hung_commands_than_sshd_has_sessions_use_none_up(one: Transport) -> None:
    hung = one.each([f"m{n}" for n in range(10)], lambda _: one.run("m", "sleep 600", timeout=1, as_root=False))
    assert all(isinstance(error, CommandFailed) for error in hung.values())
    with pytest.raises(Unreachable, match="no further session"):
        one.run("m", "true", as_root=False)
    time.sleep(3)
    assert one.run("m", "echo free", as_root=False).stdout == "free\n"


@needs_root
@pytest.mark.parametrize("end", ["exit 7", "sleep 30"])
def test_no_error_of_facts_shows_what_was_printed(one: Transport, end: str) -> None:
    with pytest.raises(CommandFailed) as caught:
        one.facts("m", f"echo c2VjcmV0; {end}", timeout=1)
    assert "c2VjcmV0" not in str(caught.value)


@needs_root
def test_an_error_of_facts_shows_what_went_wrong(one: Transport) -> None:
    with pytest.raises(CommandFailed, match="no such thing"):
        one.facts("m", "echo c2VjcmV0; echo no such thing >&2; exit 7")


def test_a_child_left_behind_does_not_hold_the_command(one: Transport) -> None:
    began = time.monotonic()
    assert one.run("m", "sleep 20 & echo done", as_root=False).stdout == "done\n"
    assert time.monotonic() - began < 5


def test_commands_on_one_connection_are_quick(one: Transport) -> None:
    one.run("m", "true", as_root=False)
    began = time.monotonic()
    for _ in range(20):
        one.run("m", "true", as_root=False)
    assert (time.monotonic() - began) / 20 < 0.04


# Host keys


def test_a_first_key_is_pinned_and_then_suffices(sshd: Sshd, pins: MemoryPins) -> None:
    hosts = inventory(sshd, host("m", 1, instance_id="i-1"))
    with Transport(hosts, pins, sshd.client_key, first_key=lambda h: sshd.host_key) as transport:
        transport.run("m", "true", as_root=False)
    assert pins.keys == {("m", "i-1"): sshd.host_key}
    with Transport(hosts, pins, sshd.client_key) as again:
        again.run("m", "true", as_root=False)


@pytest.mark.parametrize("source", ["pin", "console", "inventory"])
def test_another_key_is_refused_with_both_fingerprints(
    sshd: Sshd, pins: MemoryPins, tmp_path: Path, source: str
) -> None:
    make_key(tmp_path / "other")
    other = (tmp_path / "other.pub").read_text().strip()
    known = host("m", 1, instance_id="i-1", host_key=other if source == "inventory" else None)
    if source == "pin":
        pins.pin(known, other)
    first = (lambda h: other) if source == "console" else (lambda h: None)
    began = time.monotonic()
    with (
        Transport(inventory(sshd, known), pins, sshd.client_key, first_key=first) as transport,
        pytest.raises(HostKeyChanged) as caught,
    ):
        transport.run("m", "true", as_root=False)
    assert time.monotonic() - began < 5
    assert str(caught.value).count("SHA256:") == 2
    assert caught.value.next_step
    if source != "pin":
        assert not pins.keys


def test_a_rebuilt_host_is_another_host(sshd: Sshd, pins: MemoryPins, tmp_path: Path) -> None:
    make_key(tmp_path / "other")
    pins.pin(host("m", 1, instance_id="i-1"), (tmp_path / "other.pub").read_text())
    rebuilt = inventory(sshd, host("m", 1, instance_id="i-2"))
    with Transport(rebuilt, pins, sshd.client_key, first_key=lambda h: sshd.host_key) as transport:
        assert transport.run("m", "echo ok", as_root=False).stdout == "ok\n"


def test_a_key_that_the_console_shows_late_is_waited_for(sshd: Sshd, pins: MemoryPins) -> None:
    shown = iter([None, None, sshd.host_key])
    hosts = inventory(sshd, host("m", 1, instance_id="i-1"))
    with Transport(hosts, pins, sshd.client_key, first_key=lambda h: next(shown)) as transport:
        assert transport.run("m", "echo ok", as_root=False).stdout == "ok\n"


def test_a_host_without_any_known_key_is_not_spoken_to(sshd: Sshd, pins: MemoryPins) -> None:
    with (
        Transport(inventory(sshd, host("m", 1)), pins, sshd.client_key, boot_timeout=0) as transport,
        pytest.raises(Unreachable, match="host key is not known"),
    ):
        transport.run("m", "true")


def test_a_key_that_is_none_is_an_input_error(sshd: Sshd, pins: MemoryPins) -> None:
    with (
        Transport(inventory(sshd, host("m", 1, host_key="nonsense")), pins, sshd.client_key) as transport,
        pytest.raises(InputError, match="not a host key"),
    ):
        transport.run("m", "true")


# Reaching hosts


def test_twenty_hosts_through_one_connection_to_the_bastion(sshd: Sshd, pins: MemoryPins) -> None:
    names = [f"h{n}" for n in range(20)]
    hosts = [host(name, 10 + n, host_key=sshd.host_key) for n, name in enumerate(names)]
    everything = inventory(sshd, host("b", 2, host_key=sshd.host_key), *hosts, bastion="b")
    before = sshd.connections_to("127.0.0.2")
    with Transport(everything, pins, sshd.client_key) as transport:
        answers = transport.each(names, lambda h: transport.run(h, "echo $SSH_CONNECTION", as_root=False).stdout)
        assert sshd.connections_to("127.0.0.2") - before == 1
        for n, name in enumerate(names):
            answer = answers[name]
            assert isinstance(answer, str)
            assert answer.split()[2] == f"127.0.0.{10 + n}"


def test_an_unreachable_host_is_named_and_the_others_go_on(sshd: Sshd, pins: MemoryPins) -> None:
    bastion = host("b", 2, host_key=sshd.host_key)
    good, dead = host("good", 3, host_key=sshd.host_key), host("dead", "192.0.2.9", host_key=sshd.host_key)
    hosts = inventory(sshd, bastion, good, dead, bastion="b")
    with Transport(hosts, pins, sshd.client_key, boot_timeout=1, connect_timeout=1) as transport:
        answers = transport.each(["good", "dead"], lambda h: transport.run(h, "echo ok", as_root=False).stdout)
        assert answers["good"] == "ok\n"
        error = answers["dead"]
        assert isinstance(error, Unreachable)
        assert "dead (192.0.2.9" in error.where
        assert "via bastion b" in error.where
        began = time.monotonic()
        with pytest.raises(Unreachable):
            transport.run("dead", "true")
        assert time.monotonic() - began < 0.5, "a host that was given up is not waited for again"


@pytest.mark.usefixtures("ctrl_c")
def test_after_ctrl_c_no_other_host_is_called(sshd: Sshd, pins: MemoryPins) -> None:
    called: list[str] = []

    def call(name: str) -> None:
        called.append(name)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        time.sleep(0.2)

    with Transport(inventory(sshd), pins, workers=1) as transport, pytest.raises(KeyboardInterrupt):
        transport.each([f"h{n}" for n in range(20)], call)
    assert 1 <= len(called) <= 4


def test_a_refused_login_says_which_user(sshd: Sshd, pins: MemoryPins, tmp_path: Path) -> None:
    make_key(tmp_path / "stranger")
    hosts = inventory(sshd, host("m", 1, host_key=sshd.host_key))
    with (
        Transport(hosts, pins, tmp_path / "stranger", boot_timeout=0) as transport,
        pytest.raises(Unreachable, match="refuses the login of"),
    ):
        transport.run("m", "true")


@pytest.mark.integration
def test_a_host_that_boots_late_is_waited_for(tmp_path: Path, pins: MemoryPins) -> None:
    early = start(tmp_path)
    stop(early)
    hosts = inventory(early, host("m", 1, host_key=early.host_key))
    later: list[Sshd] = []
    timer = threading.Timer(1.0, lambda: later.append(start(tmp_path, port=early.port)))
    timer.start()
    with Transport(hosts, pins, early.client_key, boot_timeout=20) as transport:
        assert transport.run("m", "echo up", as_root=False).stdout == "up\n"
    timer.join()
    stop(later[0])


@pytest.mark.parametrize("how", [EOFError(), ConnectionResetError("reset"), SSHException("Channel closed.")], ids=repr)
def test_a_drop_as_a_command_begins_is_unreachable(
    one: Transport, monkeypatch: pytest.MonkeyPatch, how: Exception
) -> None:
    def dropping(channel: Channel, line: str) -> None:
        raise how

    monkeypatch.setattr(Channel, "exec_command", dropping)
    with pytest.raises(Unreachable, match="dropped as a command began") as caught:
        one.run("m", "true")
    assert (caught.value.where, caught.value.next_step) == ("m", "Run the same command again.")


def test_a_host_that_falls_silent_is_not_waited_for_without_end(one: Transport) -> None:
    server = int(one.run("m", "ps -o ppid= -p $PPID", as_root=False).stdout)
    session = one._connections.session(host("m", 1))
    began = time.monotonic()
    os.kill(server, signal.SIGSTOP)
    try:
        with pytest.raises(Unreachable, match="dropped as a command began"):
            execute(session, "m", "true", stdin=b"", timeout=0.5)
    finally:
        os.kill(server, signal.SIGCONT)
    assert time.monotonic() - began < 3


def test_a_dropped_connection_is_opened_again(one: Transport) -> None:
    one.run("m", "true", as_root=False)
    one._connections._slots["m"].connection.transport.sock.shutdown(2)
    assert one.run("m", "echo again", as_root=False).stdout == "again\n"


# Files


@needs_root
def test_files_appear_at_once_with_owner_and_mode(one: Transport, tmp_path: Path) -> None:
    secret, plain = tmp_path / "deep" / "secret", tmp_path / "it's a name"
    plain.write_text("old")
    old = plain.stat().st_ino
    files = [
        PutFile(path=str(secret), content=b"s\x00cret", mode=0o600, owner="nobody", group="nogroup"),
        PutFile(path=str(plain), content=b"new"),
    ]
    one.put("m", files, before=f"test ! -e {secret}", after=f"test -e {secret}; echo after")
    assert secret.read_bytes() == b"s\x00cret"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert secret.owner() == "nobody"
    assert plain.read_text() == "new"
    assert plain.stat().st_ino != old, "renamed into place, not written into"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["deep", "it's a name"]


@needs_root
def test_a_stream_that_fails_changes_no_file(one: Transport, tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    files = [PutFile(path=str(good), content=b"x"), PutFile(path=str(bad), content=b"x", owner="no-such-user")]
    with pytest.raises(CommandFailed, match="no-such-user"):
        one.put("m", files)
    assert not good.exists()
    assert not bad.exists()


@needs_root
def test_a_stream_cut_short_changes_nothing(one: Transport, tmp_path: Path) -> None:
    from rekindle.transport import files as streams

    whole = streams.stream([PutFile(path=str(tmp_path / "big"), content=b"x" * 500_000)])
    result = one.run("m", streams.RECEIVE, stdin=whole[:200_000], check=False)
    assert result.exit_code != 0
    assert list(tmp_path.iterdir()) == []


# Tunnels


@pytest.fixture
def web() -> Iterator[http.server.ThreadingHTTPServer]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"x" * 3_000_000
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_tunnel_ends_on_the_host_and_survives_a_drop(
    sshd: Sshd, pins: MemoryPins, web: http.server.ThreadingHTTPServer
) -> None:
    hosts = inventory(sshd, host("b", 2, host_key=sshd.host_key), host("m", 3, host_key=sshd.host_key), bastion="b")
    with Transport(hosts, pins, sshd.client_key) as transport, transport.tunnel("m", web.server_port) as port:
        sizes = transport.each(["m"] * 1, lambda _: len(urllib.request.urlopen(f"http://127.0.0.1:{port}/").read()))
        assert sizes == {"m": 3_000_000}
        threads = [threading.Thread(target=lambda: _get(port)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        transport._connections._slots["m"].connection.transport.close()
        assert len(_get(port)) == 3_000_000


def test_a_tunnel_to_a_closed_port_closes_the_client(sshd: Sshd, one: Transport) -> None:
    with one.tunnel("m", 1) as port, pytest.raises(OSError, match=r".*"):
        _get(port)


def _get(port: int) -> bytes:
    return bytes(urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20).read())
