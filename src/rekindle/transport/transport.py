"""Hosts of an inventory, reached: commands, facts, files, long commands and tunnels."""

import shlex
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from rekindle.errors import CommandFailed, RekindleError
from rekindle.inventory import Host, Inventory
from rekindle.transport import files as streams
from rekindle.transport.connections import Connections, Patience
from rekindle.transport.execution import OUTPUT_LIMIT, Result, execute, quoted
from rekindle.transport.files import PutFile
from rekindle.transport.host_keys import FirstKey, Pins
from rekindle.transport.long_run import long_run
from rekindle.transport.tunnel import forwarded

T = TypeVar("T")

WORKERS = 32  # hosts spoken to at one time
COMMAND_SECONDS = 120.0
LEEWAY = 2.0  # a command is ended on its host this long after it was given up here
FACTS_SECONDS = 60.0
FACTS_LIMIT = 8 * 1024 * 1024
STREAM_SECONDS = 900.0


END_OF_FACTS = "[ $? -eq 0 ] || exit 1\necho end of facts"


def whole(host: str, facts: Result) -> str:
    """The facts without the line that says they are whole; CommandFailed if they are not."""
    body, end, rest = facts.stdout.rpartition("end of facts\n")
    if facts.is_cut or not end or rest:
        what = f"are longer than {FACTS_LIMIT} bytes" if facts.is_cut else "are not whole"
        raise CommandFailed(
            f"its facts {what}", where=host, next_step="Log in and look: is its disk full, its shell replaced?"
        )
    return body


def no_first_key(host: Host) -> str | None:
    """For inventories whose hosts all carry their key."""
    return None


class Transport:
    """One SSH connection to the bastion and a channel for each host; root by `sudo -n`.

    Host keys are pinned: the first comes from `first_key` (EC2's console), else from the inventory.
    Every call raises Unreachable or HostKeyChanged naming the host, its address and the bastion.
    """

    def __init__(
        self,
        inventory: Inventory,
        pins: Pins,
        key: Path | None = None,
        *,
        first_key: FirstKey = no_first_key,
        workers: int = WORKERS,
        boot_timeout: float = 90.0,
        connect_timeout: float = 10.0,
    ) -> None:
        self.inventory = inventory
        self.workers = workers
        patience = Patience(connect=connect_timeout, boot=boot_timeout)
        self._connections = Connections(inventory, pins, first_key, key, patience)

    def __enter__(self) -> "Transport":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends all connections; a later call opens them again."""
        self._connections.close()

    def run(
        self,
        host: str,
        command: str | Sequence[str],
        *,
        stdin: bytes | str = b"",
        timeout: float = COMMAND_SECONDS,
        check: bool = True,
        as_root: bool = True,
        limit: int = OUTPUT_LIMIT,
        show_stdout: bool = True,
    ) -> Result:
        """Runs shell text (a string) or words that no shell sees (a sequence).

        The last `limit` bytes of each output are kept. CommandFailed if it exits with anything but 0
        (unless `check` is false) or takes more than `timeout` seconds; it shows what was printed, on stdout
        only if `show_stdout`.
        """
        line = quoted(command, as_root_from=self.inventory.ssh.user if as_root else None, seconds=timeout + LEEWAY)
        session = self._connections.session(self.inventory.host(host))
        result = execute(
            session,
            host,
            line,
            shown=command if isinstance(command, str) else shlex.join(command),
            stdin=stdin.encode() if isinstance(stdin, str) else stdin,
            timeout=timeout,
            limit=limit,
            show_stdout=show_stdout,
        )
        return result.check(show_stdout=show_stdout) if check else result

    def facts(self, host: str, script: str, *, timeout: float = FACTS_SECONDS) -> str:
        """What a POSIX shell script prints, in one round trip, while no stream is being placed on the host.

        It is whole, or CommandFailed. It may print secrets to be digested here, so no error shows any of it.
        """
        reader = ["flock", "-s", "-o", "-w", str(int(timeout)), streams.LOCK, "sh", "-s"]
        ended = f"{script}\n{END_OF_FACTS}\n"
        result = self.run(host, reader, stdin=ended, timeout=timeout, limit=FACTS_LIMIT, show_stdout=False)
        return whole(host, result)

    def put(
        self,
        host: str,
        files: Sequence[PutFile],
        *,
        gone: Sequence[str] = (),
        before: str = "",
        after: str = "",
        timeout: float = STREAM_SECONDS,
    ) -> Result:
        """All files in one stream, each appearing at once with its owner and mode; then `gone` are no more.

        `before` and `after` are shell texts run around it under `set -eu`, with the same lock and the
        functions of `PLACES`. A folder that others than root may change leads none of it elsewhere.
        """
        given = streams.stream(files, gone=gone, before=before, after=after)
        return self.run(host, streams.RECEIVE, stdin=given, timeout=timeout)

    def long_run(
        self,
        host: str,
        name: str,
        command: str,
        timeout: float,
        progress: Callable[[str], None] = lambda line: None,
    ) -> Result:
        """A shell text as a transient unit that outlives the connection; one found running is waited for.

        CommandFailed if it is not done in `timeout` seconds (it goes on running); its exit code is in
        the result, the end of its journal in `stdout`.
        """
        return long_run(partial(self.run, host, check=False), host, name, command, timeout=timeout, progress=progress)

    def tunnel(self, host: str, port: int) -> AbstractContextManager[int]:
        """A local port that ends at 127.0.0.1:`port` on the host itself, and survives a dropped connection."""
        found = self.inventory.host(host)
        return forwarded(lambda: self._connections.direct(found, port))

    def each(self, hosts: Iterable[str], call: Callable[[str], T]) -> dict[str, T | RekindleError]:
        """What `call` gives for each host, or the error it raised; at most `workers` hosts at one time."""
        names = list(hosts)

        def attempt(host: str) -> T | RekindleError:
            try:
                return call(host)
            except RekindleError as error:
                return error

        pool = ThreadPoolExecutor(max_workers=self.workers)
        try:
            return dict(zip(names, pool.map(attempt, names), strict=True))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)  # after Ctrl-C only what already runs ends
