"""Instances change state when their machine does, not when the API is asked."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any, Protocol

from moto.core.responses import ActionResult
from moto.core.types import Base64EncodedString
from moto.core.utils import utcnow
from moto.ec2.models.instances import Instance, InstanceState, StateReason
from moto.ec2.responses.general import General

from rehearsal.region.behaviour.replacing import replaces

_CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}


class Consoles(Protocol):
    def console(self, instance_id: str) -> str:
        """What the machine has written to its console."""
        ...


def set_state(instance: Any, name: str) -> None:
    """From now on the API says this state."""
    instance._state = InstanceState(name, _CODES[name])


def fail(instance: Any) -> None:
    """The host under the instance failed."""
    set_state(instance, "stopped")
    now = utcnow().replace(tzinfo=datetime.UTC).strftime("%Y-%m-%d %H:%M:%S GMT")
    instance._reason = f"Server.InternalError ({now})"
    instance.state_reason = StateReason("Server.InternalError: Internal error on launch host", "Server.InternalError")


def give_up(instance: Any) -> None:
    """The machine never came up: EC2 terminates such an instance."""
    set_state(instance, "shutting-down")
    instance.state_reason = StateReason("Server.InternalError: Internal error on launch", "Server.InternalError")


def install(consoles: Consoles) -> Callable[[Any], object]:
    """Returns what completes a termination once the machine is gone."""
    finish = Instance.terminate
    _creation()
    _transitions()

    @replaces(General, "get_console_output")
    def console_output(original: Callable[..., Any], self: Any) -> ActionResult:
        instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
        output = Base64EncodedString.from_raw_string(consoles.console(instance.id))
        return ActionResult({"InstanceId": instance.id, "Timestamp": utcnow(), "Output": output})

    return finish


def _creation() -> None:
    @replaces(Instance, "__init__")
    def create(original: Callable[..., None], self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        set_state(self, "pending")
        self.reboot_requested = False
        for nic in self.nics.values():
            if nic.description == "Primary network interface":
                nic.delete_on_termination = True


def _transitions() -> None:
    @replaces(Instance, "start")
    def start(original: Callable[..., Any], self: Any) -> Any:
        if self._state.name != "stopped":
            return self._state
        previous = original(self)
        set_state(self, "pending")
        return previous

    @replaces(Instance, "stop")
    def stop(original: Callable[..., Any], self: Any) -> Any:
        previous = self._state
        if previous.name in {"pending", "running"}:
            set_state(self, "stopping")
        return previous

    @replaces(Instance, "terminate")
    def terminate(original: Callable[..., Any], self: Any) -> Any:
        previous = self._state
        if previous.name != "terminated":
            set_state(self, "shutting-down")
        return previous

    @replaces(Instance, "reboot")
    def reboot(original: Callable[..., Any], self: Any) -> None:
        self.reboot_requested = True


def finish_stop(instance: Any) -> None:
    """The machine of a stopping instance is gone."""
    for nic in instance.nics.values():
        nic.stop()
    set_state(instance, "stopped")
