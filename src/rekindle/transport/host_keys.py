"""Host keys: pinned at first sight from a trusted source, and never changed by the wire."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import paramiko
from paramiko.hostkeys import HostKeyEntry, InvalidHostKey

from rekindle.errors import HostKeyChanged, InputError, Unreachable
from rekindle.inventory import Host

FirstKey: TypeAlias = Callable[[Host], str | None]
"""The key of a host that has no pin yet, "ssh-ed25519 AAAA…", as its console says; None if it says none yet."""


class Pins(Protocol):
    """Remembers which key each host showed; a host with another instance id is another host."""

    def get(self, host: Host) -> str | None:
        """The pinned key, None if there is none."""

    def pin(self, host: Host, key: str) -> None:
        """Remembers the key."""


@dataclass
class MemoryPins:
    """Pins that last as long as the process."""

    keys: dict[tuple[str, str | None], str] = field(default_factory=dict)

    def get(self, host: Host) -> str | None:
        return self.keys.get((host.name, host.instance_id))

    def pin(self, host: Host, key: str) -> None:
        self.keys[host.name, host.instance_id] = key


class KeyNotYetKnown(Unreachable):
    """The trusted source has no key of this host; it may still be booting."""


@dataclass(frozen=True)
class KnownKey:
    """The only key that a host may show."""

    host: Host
    text: str
    is_new: bool

    def parsed(self) -> Any:
        """The key as paramiko has it; InputError if it is not one."""
        fields = self.text.split()
        try:
            entry = HostKeyEntry.from_line(f"host {' '.join(fields[:2])}")
        except (paramiko.SSHException, InvalidHostKey, ValueError) as error:
            raise _not_a_key(self.host) from error
        if entry is None or entry.key is None:
            raise _not_a_key(self.host)
        return entry.key


def known_key(host: Host, pins: Pins, first_key: FirstKey) -> KnownKey:
    """The pinned key, else the console's, else the inventory's; KeyNotYetKnown if none has it."""
    if pinned := pins.get(host):
        return KnownKey(host, pinned, is_new=False)
    first = first_key(host) or host.host_key
    if first is None:
        raise KeyNotYetKnown(
            "its host key is not known",
            where=host.name,
            next_step="If the host has booted, its console should show it; for a host without a console "
            "set host_key in the inventory.",
        )
    return KnownKey(host, first, is_new=True)


def fingerprint(key: Any) -> str:
    """As ssh-keygen prints it: "ED25519 SHA256:…"."""
    return f"{key.get_name().removeprefix('ssh-').upper()} {key.fingerprint}"


@dataclass
class RefuseOthers:
    """A key of a kind that is not pinned is another key."""

    known: KnownKey

    def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
        raise changed(self.known, key)


def changed(known: KnownKey, shown: Any) -> HostKeyChanged:
    """The error that names both fingerprints and what to do."""
    return HostKeyChanged(
        f"shows the host key {fingerprint(shown)}, but {fingerprint(known.parsed())} is pinned; nothing was sent to it",
        where=f"{known.host.name} ({known.host.private_ip})",
        next_step="Someone may stand in between. If the host was rebuilt on purpose, compare the key with its console "
        "and remove its pin: a new instance id gets a new pin by itself, a host from a file the new host_key.",
    )


def _not_a_key(host: Host) -> InputError:
    return InputError(
        "this is not a host key", where=f"{host.name}: host_key", next_step="Give it as `ssh-ed25519 AAAA…`."
    )
