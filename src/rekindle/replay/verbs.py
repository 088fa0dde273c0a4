"""What a replay asks of the other verbs: the same commands, with another source of what is wanted."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from rekindle.operation import Operation


@dataclass(frozen=True, kw_only=True)
class Apply:
    """Which of the release's packages to apply, and how."""

    packages: frozenset[str] | None  # by name; None: all
    suspend_outbound: bool  # what acts on the outside gets no instance
    known: frozenset[str]  # app ids whose data was restored: their volumes are never begun with empty


class Verbs(Protocol):
    """Each makes its part true, is on record in the operation's journal, and goes on where it was killed."""

    def bootstrap(self, operation: Operation) -> None:
        """The operation's hosts are a cluster."""

    def apply(self, operation: Operation, wanted: Apply) -> None:
        """These packages of the operation's project run and are healthy; other services are left as they are."""

    def barriers(self, operation: Operation) -> Mapping[str, Mapping[str, Any]]:
        """What each group of volumes (by package name) has acknowledged now."""
