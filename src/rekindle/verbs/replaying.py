"""The verbs that a replay asks for: bootstrap, apply and barriers, from the release in its folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rekindle import services
from rekindle.operation import Operation
from rekindle.replay import Apply
from rekindle.verbs import reach, supplies, work
from rekindle.verbs.supplies import Supplies
from rekindle.verbs.work import Wanted


@dataclass(frozen=True)
class ReplayVerbs:
    """Each renders the release again for the inventory that stands now."""

    def bootstrap(self, operation: Operation) -> None:
        """The operation's hosts are a cluster."""
        with reach.hosts(operation) as transport:
            work.carry_out(operation, work.on_hosts(operation, _supplies(operation), transport))

    def apply(self, operation: Operation, wanted: Apply) -> None:
        """These packages of the release run and are healthy; other services are left as they are."""
        narrowed = Wanted(packages=wanted.packages, suspend_outbound=wanted.suspend_outbound, known=wanted.known)
        with (
            reach.hosts(operation) as transport,
            work.on_cluster(operation, _supplies(operation), transport, command="replay", wanted=narrowed) as left,
        ):
            work.carry_out(operation, left)

    def barriers(self, operation: Operation) -> Mapping[str, Mapping[str, Any]]:
        """What each group of volumes (by package name) has acknowledged now."""
        return barriers(operation, _supplies(operation))


def barriers(operation: Operation, declared: Supplies) -> dict[str, dict[str, Any]]:
    """By package, what its service says was acknowledged."""
    with reach.hosts(operation) as transport, reach.cluster(operation, transport) as client:
        return {
            package.name: services.barrier(client, transport, operation.inventory, package.spec.backup.barrier)
            for package in declared.packages
            if package.spec.backup and package.spec.backup.barrier
        }


def _supplies(operation: Operation) -> Supplies:
    return supplies.of_release(operation, supplies.in_force(operation))
