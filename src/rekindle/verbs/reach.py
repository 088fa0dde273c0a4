"""Hosts and cluster of an operation, reached: SSH with pins kept in the journal, Admin Router through a tunnel."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rekindle import bootstrap, dcos
from rekindle.aws import compute
from rekindle.errors import InputError, RekindleError
from rekindle.inventory import Host, Inventory, Role
from rekindle.journal.entries import Pinned
from rekindle.journal.journal import Journal
from rekindle.operation import Operation
from rekindle.transport import Transport

KEY_VARIABLE = "REKINDLE_SSH_KEY"  # a private key file; without it the agent's and the default keys are tried
ADMIN_ROUTER_PORT = 80  # inside the tunnel, which SSH protects and the host's pinned key authenticates
ADMIN_ROUTER_ANSWERS = ("curl", "-sS", "-o", "/dev/null", "-m", "5", f"http://localhost:{ADMIN_ROUTER_PORT}/")


@dataclass
class JournalPins:
    """Host keys as the journal remembers them when this is made; a new instance is pinned anew."""

    journal: Journal
    changes: bool  # False: what is learnt is for this run only
    known: dict[str, Pinned] = field(init=False)  # by host, with what is learnt since

    def __post_init__(self) -> None:
        self.known = dict(self.journal.fold().pins)

    def get(self, host: Host) -> str | None:
        pinned = self.known.get(host.name)
        return pinned.host_key if pinned and pinned.instance_id == host.instance_id else None

    def pin(self, host: Host, key: str) -> None:
        pinned = Pinned(host=host.name, instance_id=host.instance_id, host_key=key)
        self.known[host.name] = pinned
        if self.changes:
            self.journal.append(pinned)


def hosts(operation: Operation) -> Transport:
    """The transport of the operation's inventory; first host keys come from EC2's console output."""
    given = os.environ.get(KEY_VARIABLE)

    def first_key(host: Host) -> str | None:
        if host.instance_id is None or operation.inventory.region is None:
            return None
        console = compute.console_output(operation.clients.ec2(operation.inventory.region), host.instance_id)
        return compute.host_key(console, f"{host.name} ({host.instance_id})")

    return Transport(
        operation.inventory,
        JournalPins(operation.journal, operation.changes),
        Path(given) if given else None,
        first_key=first_key,
    )


@contextmanager
def cluster(operation: Operation, transport: Transport) -> Iterator[dcos.Client]:
    """The cluster's APIs through a tunnel that ends on a master whose Admin Router answers."""
    account = bootstrap.service_account(operation.secrets)
    credentials = dcos.Credentials(account.uid, account.private_key)
    with (
        transport.tunnel(reachable_master(operation.inventory, transport), ADMIN_ROUTER_PORT) as port,
        dcos.connected(f"http://127.0.0.1:{port}", credentials) as client,
    ):
        yield client


def reachable_master(inventory: Inventory, transport: Transport) -> str:
    """The first master whose Admin Router answers on it; the first one's error if none does."""
    problems = []
    for master in inventory.with_role(Role.MASTER):
        try:
            transport.run(master.name, ADMIN_ROUTER_ANSWERS)
        except RekindleError as error:
            problems.append(error)
        else:
            return master.name
    if not problems:
        raise InputError("it has no master", where=f"inventory of {inventory.environment}")
    raise problems[0]
