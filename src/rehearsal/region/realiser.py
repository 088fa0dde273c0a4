"""Makes true what the API says: one loop, woken by every change and by a slow clock."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from rehearsal.dns.health_checks import HealthChecks
from rehearsal.hosts.fleet import Fleet
from rehearsal.load_balancers.balancers import Balancers
from rehearsal.network.routers import Network
from rehearsal.region import cloud
from rehearsal.region.behaviour import alarms, load_balancers, names
from rehearsal.region.behaviour import instances as instance_behaviour
from rehearsal.region.behaviour.instances import set_state
from rehearsal.region.behaviour.volumes import PendingSnapshots, settle_detaching
from rehearsal.region.outages import Outages

_log = logging.getLogger(__name__)
_TICK_SECONDS = 1.0
_TICK_WHILE_CHANGING = 0.1
_GATHER_SECONDS = 0.02
"""Changes that come together are made real together."""
_BOOTS = 3
_CHANGING = frozenset({"pending", "stopping", "shutting-down"})
_MAY_BE_ALIVE = _CHANGING | {"running"}


class Realiser:
    def __init__(
        self,
        *,
        outages: Outages,
        network: Network,
        fleet: Fleet,
        balancers: Balancers,
        checks: HealthChecks,
        snapshots: PendingSnapshots,
        finish_termination: Callable[[Any], object],
    ) -> None:
        self._outages, self._network, self._fleet = outages, network, fleet
        self._balancers, self._checks, self._snapshots = balancers, checks, snapshots
        self._finish_termination = finish_termination
        self._woken, self._stopped = threading.Event(), threading.Event()
        self._making = threading.Lock()

    def wake(self) -> None:
        """Something changed."""
        self._woken.set()

    def stop(self) -> None:
        self._stopped.set()
        self.wake()

    def run(self) -> None:
        """Until stopped."""
        changing = False
        while not self._stopped.is_set():
            if self._woken.wait(_TICK_WHILE_CHANGING if changing else _TICK_SECONDS):
                self._stopped.wait(_GATHER_SECONDS)
            self._woken.clear()
            try:
                changing = self.realise()
            except Exception:
                _log.exception("could not make real what the API says; trying again")

    def realise(self) -> bool:
        """One round; whether instances are still on their way somewhere."""
        with self._making:
            with cloud.lock:
                topologies = [t for region in self._outages.up for t in cloud.topologies(region)]
                balancers = [b for region in self._outages.up for b in load_balancers.described(region)]
                checks = names.health_checks()
                alarms.settle(self._outages.up, time.time())
            self._balancers.stop_others(b.id for b in balancers)
            self._network.apply(topologies)
            self._balancers.apply(balancers)
            self._checks.apply(checks)
            self._snapshots.settle()
            return self._instances()

    def _instances(self) -> bool:
        changing = False
        with cloud.lock:
            settle_detaching(self._fleet)
            for region in self._outages.up:
                for instance in cloud.instances(region):
                    self._instance(instance)
                    changing = changing or instance.state in _CHANGING
        return changing

    def _instance(self, instance: Any) -> None:
        if self._fleet.is_busy(instance.id):
            return
        match instance.state:
            case "pending":
                self._bring_up(instance)
            case "running":
                self._keep_running(instance)
            case "stopping":
                self._bring_down(instance, lambda: instance_behaviour.finish_stop(instance))
            case "shutting-down":
                self._bring_down(instance, lambda: self._terminate(instance))
            case _:
                pass

    def _bring_up(self, instance: Any) -> None:
        if not self._fleet.is_alive(instance.id):
            self._boot(instance)
        elif self._fleet.is_booted(instance.id):
            for device, block in instance.get_block_device_mapping:
                if device != instance.root_device_name:
                    self._fleet.attach(instance.id, instance.region_name, block.volume_id, device)
            set_state(instance, "running")
            instance.boots = 0

    def _boot(self, instance: Any) -> None:
        """A machine that dies while it boots is tried again, and given up after a few times."""
        instance.boots = getattr(instance, "boots", 0) + 1
        if instance.boots > _BOOTS:
            _log.error(
                "instance %s does not boot; its console says:\n%s",
                instance.id,
                self._fleet.console(instance.id)[-2000:],
            )
            instance_behaviour.give_up(instance)
        else:
            self._fleet.boot(instance.id)

    def _keep_running(self, instance: Any) -> None:
        if instance.reboot_requested:
            instance.reboot_requested = False
            self._fleet.reboot(instance.id)
            set_state(instance, "pending")
        elif not self._fleet.is_alive(instance.id):
            by_itself = instance.instance_initiated_shutdown_behavior
            set_state(instance, "shutting-down" if by_itself == "terminate" else "stopping")

    def _bring_down(self, instance: Any, done: Callable[[], None]) -> None:
        if self._fleet.is_alive(instance.id):
            self._fleet.shut_down(instance.id)
        elif self._disconnect_all(instance):
            done()

    def _disconnect_all(self, instance: Any) -> bool:
        volumes = [block.volume_id for _, block in instance.get_block_device_mapping]
        released = [self._fleet.disconnect(instance.region_name, volume) for volume in volumes]
        return all(released)

    def _terminate(self, instance: Any) -> None:
        """Volumes are released, the interface and the machine's own disk deleted."""
        set_state(instance, "terminated")
        self._finish_termination(instance)
        self._fleet.delete(instance.id)

    # -- disasters -----------------------------------------------------------------------------

    def fail_region(self, region: str) -> int:
        """The region is gone: its machines lose power, nobody answers. How many machines that were."""
        self._outages.fail(region)
        with self._making:
            with cloud.lock:
                lost = [i for i in cloud.instances(region) if i.state in _MAY_BE_ALIVE]
            self._fleet.fail(i.id for i in lost)
            self._balancers.stop_others(b.id for r in self._outages.up for b in load_balancers.described(r))
            with cloud.lock:
                for instance in lost:
                    instance_behaviour.fail(instance)
                    self._disconnect_all(instance)
        self.wake()
        return len(lost)

    def restore_region(self, region: str) -> None:
        """The region answers again; its instances are stopped."""
        self._outages.restore(region)
        self.wake()

    def fail_host(self, instance_id: str) -> None:
        """One machine loses power."""
        with self._making:
            self._fleet.fail([instance_id])
            with cloud.lock:
                instance = cloud.instance(instance_id)
                if instance is not None:
                    instance_behaviour.fail(instance)
                    self._disconnect_all(instance)
        self.wake()
