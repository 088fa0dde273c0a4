"""One command in one channel: quoted, its output bounded, its time too, there as well as here."""

import secrets
import select
import shlex
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Thread, Timer
from typing import Any

import paramiko

from rekindle.errors import CommandFailed, Unreachable

OUTPUT_LIMIT = 256 * 1024  # bytes of each stream; the last ones are kept
SHOWN_LINES = 12  # of a failed command's output in its error
SMALL_INPUT = 256 * 1024  # fits sshd's initial window (2 MiB), so writing it cannot block reading
CHUNK = 32 * 1024
GRACE = 1.0  # seconds for output that trails a command's end
KILL_SECONDS = 5  # between the polite and the final end of a command whose time is up


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a command ended."""

    host: str
    command: str
    exit_code: int
    stdout: str = field(repr=False)
    stderr: str = field(repr=False)
    is_cut: bool = False  # the beginning of an output was dropped

    def check(self, *, show_stdout: bool = True) -> "Result":
        """Itself; CommandFailed with the last lines if the command failed."""
        if self.exit_code:
            raise failed(self, show_stdout=show_stdout)
        return self


@dataclass
class Tail:
    """The last bytes of a stream."""

    limit: int
    chunks: list[bytes] = field(default_factory=list)
    size: int = 0
    is_cut: bool = False

    def add(self, chunk: bytes) -> None:
        self.chunks.append(chunk)
        self.size += len(chunk)
        while self.size - len(self.chunks[0]) >= self.limit:
            self.size -= len(self.chunks.pop(0))
            self.is_cut = True

    def text(self) -> str:
        whole = b"".join(self.chunks)
        self.is_cut = self.is_cut or len(whole) > self.limit
        return whole[-self.limit :].decode(errors="replace")


def quoted(command: str | Sequence[str], *, as_root_from: str | None, seconds: float) -> str:
    """One shell word list for sshd: a string is shell text, a sequence is words that no shell sees.

    `as_root_from` is the login user when root is wanted; sudo is left out for root itself. The host itself
    ends what takes longer than `seconds`: sshd frees a session only when its command has ended (MaxSessions).
    """
    words = ["sh", "-c", command] if isinstance(command, str) else list(command)
    words = ["timeout", "-k", str(KILL_SECONDS), f"{seconds:.3f}", *words]
    if as_root_from not in (None, "root"):
        words = ["sudo", "-n", "--", *words]
    return shlex.join(words)


@dataclass(frozen=True)
class Marked:
    """A line for sshd that says on stdout where the command's own output begins.

    A login shell reads start files first, and what they print is not the command's.
    """

    line: str
    mark: str = field(default_factory=lambda: f"rekindle-{secrets.token_hex(8)}")

    @property
    def text(self) -> str:
        return f"echo {self.mark}; exec {self.line}"

    def own(self, stdout: str) -> str | None:
        """What the command printed; None if it never began."""
        _, begun, own = stdout.partition(f"{self.mark}\n")
        return own if begun else None


def execute(
    session: Any,
    host: str,
    line: str,
    *,
    shown: str = "",
    stdin: bytes,
    timeout: float,
    limit: int = OUTPUT_LIMIT,
    show_stdout: bool = True,
) -> Result:
    """Runs one line in a fresh channel; Unreachable if the connection drops, CommandFailed when time is up.

    `shown` is the command as people know it. `show_stdout` false: no error shows what it printed there,
    for it may be a secret.
    """
    marked, shown = Marked(line), shown or line
    deadline = time.monotonic() + timeout
    out, err = Tail(limit), Tail(limit)
    _begin(session, host, marked.text, timeout)
    _feed(session, stdin)
    try:
        _drain(session, out, err, deadline)
    except TimeoutError:
        output = _output(marked.own(out.text()) or "", err.text(), show_stdout)
        raise CommandFailed(
            f"did not finish within {timeout:g} s: {shortened(shown)}{output}",
            where=host,
            next_step="It was ended there. See what it waits for, then run the same command again.",
        ) from None
    finally:
        is_connected = session.get_transport().is_active()
        _close(session)
    code = session.recv_exit_status()
    if code == -1 and not is_connected:
        raise _dropped(host, "while a command ran")
    stdout, stderr = out.text(), err.text()
    own = stdout if out.is_cut else marked.own(stdout)
    if own is None and not code:
        raise _never_began(host, shown, stdout + stderr)
    return Result(
        host=host,
        command=shown,
        exit_code=code,
        stdout=stdout if own is None else own,
        stderr=stderr,
        is_cut=out.is_cut or err.is_cut,
    )


def _never_began(host: str, shown: str, printed: str) -> CommandFailed:
    lines = _output(printed, "", True)
    return CommandFailed(
        f"the login shell ended without running {shortened(shown)}{lines}",
        where=host,
        next_step="Is this the user that the image is logged in to with, and is no command forced on its key?",
    )


def failed(result: Result, *, show_stdout: bool = True) -> CommandFailed:
    """The error that carries host, command, exit code and the last lines of output."""
    how = "was ended by a signal" if result.exit_code == -1 else f"exited with {result.exit_code}"
    output = _output(result.stdout, result.stderr, show_stdout)
    return CommandFailed(f"{shortened(result.command)} {how}{output}", where=result.host)


def last_lines(text: str, count: int) -> str:
    """The last lines of a text that are not empty."""
    return "\n".join([line for line in text.splitlines() if line.strip()][-count:])


def shortened(line: str) -> str:
    """A command as one short line."""
    first = " ".join(line.split())
    return first if len(first) <= 160 else first[:157] + "…"


def _output(stdout: str, stderr: str, show_stdout: bool) -> str:
    """The last lines of stderr; of stdout if stderr has none and it may be shown."""
    lines = last_lines(stderr, SHOWN_LINES) or (last_lines(stdout, SHOWN_LINES) if show_stdout else "")
    return "\n" + "\n".join(f"    {line}" for line in lines.splitlines()) if lines else ""


def _begin(session: Any, host: str, line: str, timeout: float) -> None:
    """The command has begun; Unreachable if the connection drops, or the host does not answer in time."""
    session.settimeout(timeout)
    silence = Timer(timeout, session.close)  # paramiko waits for this one answer without any timeout
    silence.daemon = True
    silence.start()
    try:
        session.exec_command(line)
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise _dropped(host, "as a command began") from error
    finally:
        silence.cancel()


def _dropped(host: str, when: str) -> Unreachable:
    return Unreachable(f"the connection dropped {when}", where=host, next_step="Run the same command again.")


def _feed(session: Any, stdin: bytes) -> None:
    if len(stdin) > SMALL_INPUT:
        Thread(target=_write, args=(session, stdin), daemon=True).start()
    else:
        _write(session, stdin)


def _write(session: Any, stdin: bytes) -> None:
    try:
        session.sendall(stdin)
        session.shutdown_write()
    except (OSError, EOFError):  # the command ended without reading it all; its exit code says more
        return


def _close(session: Any) -> None:
    with suppress(OSError, EOFError):  # the connection may just have dropped; how the command ended is known
        session.close()


def _drain(session: Any, out: Tail, err: Tail, deadline: float) -> None:
    """Reads both streams until they end; a child left behind may hold them open after the command's own end."""
    ended_at = None
    while not (session.eof_received or session.closed):
        now = time.monotonic()
        if now > deadline:
            raise TimeoutError
        if session.exit_status_ready():
            ended_at = ended_at or now
            if now - ended_at > GRACE:
                break
        select.select([session], [], [], min(deadline - now, 0.2))
        if not _take(session, out, err):
            time.sleep(0.002)
    while _take(session, out, err):
        pass
    if not session.status_event.wait(max(0.0, deadline - time.monotonic())):
        raise TimeoutError


def _take(session: Any, out: Tail, err: Tail) -> bool:
    took = False
    if session.recv_ready():
        chunk = session.recv(CHUNK)
        out.add(chunk)
        took = bool(chunk)
    if session.recv_stderr_ready():
        chunk = session.recv_stderr(CHUNK)
        err.add(chunk)
        took = took or bool(chunk)
    return took
