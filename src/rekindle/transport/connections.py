"""Connections: one to the bastion, and one for each host through a channel of it."""

import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import fabric
import paramiko
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential

from rekindle.errors import HostKeyChanged, RekindleError, Unreachable
from rekindle.inventory import Host, Inventory
from rekindle.transport.host_keys import FirstKey, KnownKey, Pins, RefuseOthers, changed, known_key

KEEPALIVE_SECONDS = 15
LOGIN_SECONDS = 15.0  # a booting host may refuse the login this long: cloud-init writes the key after sshd starts
FAILURE_REMEMBERED = 30.0  # seconds in which a host that was given up is not waited for again


class _LoginRefused(Unreachable):
    """The host answers and refuses the key."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for what, in seconds."""

    connect: float = 10.0  # one attempt
    boot: float = 90.0  # all attempts on a host that may still be booting for the first time
    again: float = 30.0  # all attempts on a host that was reached before


@dataclass
class _Slot:
    """The connection of one host, and how its last attempt failed."""

    guard: Lock = field(default_factory=Lock)
    connection: Any = None
    failure: RekindleError | None = None
    failed_at: float = 0.0


@dataclass
class Connections:
    """Opens, keeps and reopens the connections to the hosts of an inventory."""

    inventory: Inventory
    pins: Pins
    first_key: FirstKey
    key: Path | None
    patience: Patience
    _slots: dict[str, _Slot] = field(default_factory=dict)
    _guard: Lock = field(default_factory=Lock)

    def session(self, host: Host) -> Any:
        """A fresh channel for one command; reconnects once if the connection had dropped unnoticed."""
        return self._channel(
            host, lambda transport: transport.open_session(timeout=self.patience.connect), self._no_session
        )

    def direct(self, host: Host, port: int) -> Any:
        """A fresh channel to a port on the host's own loopback."""
        return self._channel(
            host,
            lambda transport: transport.open_channel(
                "direct-tcpip", ("127.0.0.1", port), ("127.0.0.1", 0), timeout=self.patience.connect
            ),
            lambda host, said: self._unreachable(host, f"does not lead to its port {port} ({said})"),
        )

    def close(self) -> None:
        """Ends all connections, the bastion's last."""
        bastion = self.inventory.ssh.bastion
        for name in sorted(self._slots, key=lambda n: n == bastion):
            if self._slots[name].connection is not None:
                self._slots[name].connection.close()
        self._slots.clear()

    def _channel(
        self, host: Host, open_channel: Callable[[Any], Any], refused: Callable[[Host, str], Unreachable]
    ) -> Any:
        try:
            return open_channel(self._connected(host).transport)
        except paramiko.ChannelException as error:
            raise refused(host, error.text) from error
        except (paramiko.SSHException, EOFError, OSError):
            self._drop(host)
        try:
            return open_channel(self._connected(host).transport)
        except paramiko.ChannelException as error:
            raise refused(host, error.text) from error
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise self._unreachable(host, f"dropped the connection ({_reason(error)})") from error

    def _no_session(self, host: Host, said: str) -> Unreachable:
        """The connection stands, so neither network nor login is to blame (OpenSSH: MaxSessions, 10 by default)."""
        return Unreachable(
            f"its sshd opens no further session on this connection ({said})",
            where=self._place(host),
            next_step="As many commands as sshd's MaxSessions allows run there. See with `ps -ef` which of them "
            "hang, end those, and run the same command again.",
        )

    def _slot(self, host: Host) -> _Slot:
        with self._guard:
            return self._slots.setdefault(host.name, _Slot())

    def _drop(self, host: Host) -> None:
        slot = self._slot(host)
        with slot.guard:
            if slot.connection is not None:
                slot.connection.close()
                slot.connection = None

    def _connected(self, host: Host) -> Any:
        """The host's connection, made now if there is none."""
        slot = self._slot(host)
        with slot.guard:
            if slot.connection is not None and slot.connection.is_connected:
                return slot.connection
            if slot.failure and time.monotonic() - slot.failed_at < FAILURE_REMEMBERED:
                raise slot.failure
            try:
                slot.connection = self._connect(host)
            except RekindleError as error:
                slot.failure, slot.failed_at = error, time.monotonic()
                raise
            return slot.connection

    def _connect(self, host: Host) -> Any:
        """Tries until the host has booted or patience ends; a changed key and a broken bastion end it at once."""
        gateway = self._gateway(host)
        patience = self.patience.boot if self.pins.get(host) is None else min(self.patience.again, self.patience.boot)
        attempts = Retrying(
            retry=retry_if_exception_type(Unreachable) & _unless(HostKeyChanged),
            stop=lambda state: _is_hopeless(state, patience),
            wait=wait_exponential(multiplier=0.25, max=3),
            reraise=True,
        )
        connection: Any = attempts(self._attempt, host, gateway)
        return connection

    def _gateway(self, host: Host) -> Any:
        bastion = self.inventory.ssh.bastion
        if bastion is None or bastion == host.name:
            return None
        return self._connected(self.inventory.host(bastion))

    def _attempt(self, host: Host, gateway: Any) -> Any:
        """One attempt; every way it can fail is an Unreachable that says how."""
        known = known_key(host, self.pins, self.first_key)
        connection = self._prepared(host, gateway, known)
        try:
            connection.open()
        except paramiko.BadHostKeyException as error:
            raise changed(known, error.key) from error
        except paramiko.AuthenticationException as error:
            refused = self._unreachable(host, f"refuses the login of {self.inventory.ssh.user}", "the SSH key")
            raise _LoginRefused(refused.what, where=refused.where, next_step=refused.next_step) from error
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise self._unreachable(host, f"does not answer ({_reason(error)})") from error
        if known.is_new:
            self.pins.pin(host, known.text)
        connection.transport.set_keepalive(KEEPALIVE_SECONDS)
        _without_delay(connection.transport.sock)
        return connection

    def _prepared(self, host: Host, gateway: Any, known: KnownKey) -> Any:
        """A connection that accepts the known key and no other."""
        address, port = self._address(host), self.inventory.ssh.port
        connection = fabric.Connection(
            host=address,
            user=self.inventory.ssh.user,
            port=port,
            gateway=gateway,
            connect_timeout=self.patience.connect,
            config=fabric.Config(lazy=True),
            connect_kwargs=self._login(),
        )
        key = known.parsed()
        entry = address if port == paramiko.config.SSH_PORT else f"[{address}]:{port}"
        connection.client.get_host_keys().add(entry, key.get_name(), key)
        connection.client.set_missing_host_key_policy(RefuseOthers(known))
        return connection

    def _login(self) -> dict[str, Any]:
        """Only the given key; without one, those of the agent and of the operator's directory."""
        own: dict[str, Any] = {} if self.key is None else {"key_filename": str(self.key)}
        return {
            **own,
            "allow_agent": self.key is None,
            "look_for_keys": self.key is None,
            "banner_timeout": self.patience.connect,
            "auth_timeout": self.patience.connect,
            "channel_timeout": self.patience.connect,
        }

    def _address(self, host: Host) -> str:
        is_entry = self.inventory.ssh.bastion in (None, host.name)
        return str(host.public_ip if is_entry and host.public_ip else host.private_ip)

    def _unreachable(self, host: Host, what: str, also_check: str = "") -> Unreachable:
        check = ", ".join(filter(None, [also_check, "that the host runs", "its security group and route", "its sshd"]))
        return Unreachable(
            what,
            where=self._place(host),
            next_step=f"Check {check}; then run the same command again.",
        )

    def _place(self, host: Host) -> str:
        bastion = self.inventory.ssh.bastion
        via = f" via bastion {bastion}" if bastion and bastion != host.name else ""
        return f"{host.name} ({self._address(host)}:{self.inventory.ssh.port}{via})"


def _is_hopeless(state: RetryCallState, patience: float) -> bool:
    error = state.outcome.exception() if state.outcome else None
    bound = min(LOGIN_SECONDS, patience) if isinstance(error, _LoginRefused) else patience
    return (state.seconds_since_start or 0.0) >= bound


class _unless(retry_if_exception_type):
    """Retries unless the exception is of this type."""

    def __call__(self, retry_state: RetryCallState) -> bool:
        return not super().__call__(retry_state)


def _without_delay(sock: Any) -> None:
    """Small packets leave at once: 3 ms instead of 48 for each command that follows another."""
    if isinstance(sock, socket.socket):
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, paramiko.ChannelException):
        return f"the bastion says: {error.text}"
    return " ".join(str(error).split()) or type(error).__name__
