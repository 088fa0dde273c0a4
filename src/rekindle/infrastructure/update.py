"""Makes a stack what its program declares, whatever became of the engine before this one."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pydantic import ValidationError

from rekindle import inventory as inventories
from rekindle.errors import CommandFailed, InputError, LockHeld
from rekindle.infrastructure import engine, lock, pending, process
from rekindle.infrastructure.engine import Ended, Operations, Project
from rekindle.infrastructure.events import name_of
from rekindle.infrastructure.pending import Deployment, Exported, Pending
from rekindle.infrastructure.process import Process
from rekindle.inventory import Inventory
from rekindle.parsing import misfits
from rekindle.progress import Tell

WAIT_SECONDS = 1.0

Find: TypeAlias = Callable[[Pending], str | None]
"""The id of what an open creation made, looked for by its tags; None if it made nothing."""


def outputs(project: Project, stack: str) -> dict[str, Any]:
    """The stack's outputs; CommandFailed if there is no such stack."""
    asked = ("stack", "output", "--json", "--stack", stack)
    found = engine.ask_json(project, *asked)
    if not isinstance(found, dict):
        raise engine.odd(asked, "outputs are a mapping of names")
    return found


def inventory(project: Project, stack: str) -> Inventory:
    """What stands, as the stack's output `inventory` says; InputError before the first `pulumi up`."""
    found = outputs(project, stack)
    if "inventory" not in found:
        raise InputError(
            "the stack has no output `inventory`", where=f"stack {stack}", next_step=f"Run `pulumi up --stack {stack}`."
        )
    return inventories.parse(found["inventory"], where=f"output `inventory` of stack {stack}")


def configure(project: Project, stack: str, config: Mapping[str, str]) -> None:
    """The stack's file in the project has these settings."""
    settings = [part for key, value in config.items() for part in ("--plaintext", f"{key}={value}")]
    if settings:
        engine.ask(project, "config", "set-all", "--stack", stack, *settings)


def up(
    project: Project,
    stack: str,
    operations: Operations,
    find: Find,
    tell: Tell,
    *,
    config: Mapping[str, str] | None = None,
) -> Inventory:
    """Makes the stack what its program declares under these settings, and returns what stands.

    Waits for an engine that still runs, ends what a dead one left, settles what it had open, and takes
    away only a lock that is provably of a dead engine of ours. LockHeld names any other holder.
    """
    update = Update(project, stack, operations, find, tell)
    update.settle()
    configure(project, stack, config or {})
    update.run("up", "--yes", "--skip-preview")
    update.forget()
    return inventory(project, stack)


@dataclass
class Update:
    """One stack on its way to what its program declares."""

    project: Project
    stack: str
    operations: Operations
    find: Find
    tell: Tell
    sleep: Callable[[float], None] = field(default=time.sleep)

    def settle(self) -> None:
        """No engine of ours runs, and no operation is open."""
        for left in self.operations.unfinished():
            self._outlast(left)
        exported = self._export()
        if pending.is_interrupted(exported):
            self._close(exported)

    def run(self, *arguments: str) -> Ended:
        """Runs an engine; once more without the locks of dead engines, if those were all that stood in its way."""
        ended = self._run(arguments)
        held = lock.holders(ended.output + "\n".join(ended.errors)) if ended.code else ()
        if held:
            self._unlock(held)
            ended = self._run(arguments)
        if ended.code:
            raise engine.failure(arguments, ended)
        return ended

    def forget(self) -> None:
        """What killed engines had open is settled: their record ends."""
        for left in self.operations.unfinished():
            if left.is_of_this_host:
                self.operations.ended(left, "interrupted")

    def _outlast(self, left: Process) -> None:
        """Waits for an engine that runs; ends what a dead one left running. Those of other hosts stay."""
        if not left.is_of_this_host:
            return
        while left.is_alive:
            self.tell(f"an earlier pulumi (process {left.pid}) is still at work on {self.stack}; waiting for it")
            self.sleep(WAIT_SECONDS)
        process.end_session(left)

    def _close(self, exported: Deployment) -> None:
        """Takes what open creations made into the state, forgets those that made nothing, reads the rest again."""
        found = {p.urn: id_ for p in pending.creations(exported) if (id_ := self._look_for(p))}
        self._import(pending.settled(exported, found))
        again = sorted(found.keys() | pending.changing(exported))
        if again:
            targets = [part for urn in again for part in ("--target", urn)]
            self.run("refresh", "--yes", "--skip-preview", *targets)

    def _look_for(self, creation: Pending) -> str | None:
        self.tell(f"looking for {name_of(creation.urn)}, whose creation was cut short")
        return self.find(creation)

    def _import(self, deployment: Mapping[str, Any]) -> None:
        arguments = ("stack", "import", "--stack", self.stack)
        try:
            engine.ask(self.project, *arguments, stdin=json.dumps(deployment))
        except CommandFailed as error:
            held = lock.holders(str(error))
            if not held:
                raise
            self._unlock(held)
            engine.ask(self.project, *arguments, stdin=json.dumps(deployment))

    def _unlock(self, held: Sequence[lock.Holder]) -> None:
        """Takes the stack's locks away if all are of dead engines that we started here; else LockHeld."""
        others = lock.unaccounted(held, self.operations.unfinished())
        if others:
            names = ", ".join(f"{h.user}@{h.host} (process {h.pid}, since {h.at})" for h in others)
            raise LockHeld(
                f"the stack is locked by {names}",
                where=f"stack {self.stack}",
                next_step="Wait until it ends. If you know that it is dead: `pulumi cancel`, then run this again.",
            )
        self.tell("taking away the lock of an engine that was killed")
        engine.ask(self.project, "cancel", "--yes", "--stack", self.stack)

    def _export(self) -> Deployment:
        asked = ("stack", "export", "--stack", self.stack)
        exported: Deployment = engine.ask_json(self.project, *asked)
        try:
            Exported.model_validate(exported)
        except ValidationError as error:
            raise engine.odd(asked, misfits(Exported, error)) from error
        return exported

    def _run(self, arguments: Sequence[str]) -> Ended:
        return engine.run(self.project, [*arguments, "--stack", self.stack], self.operations, self.tell)
