"""All machines of the stage: starts, stops and disks, asked for by instance id."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

from rehearsal.hosts.machine import Machine
from rehearsal.region.errors import RegionError
from rehearsal.region.stage import Stage
from rehearsal.volumes.store import VolumeStore

_log = logging.getLogger(__name__)
_AT_ONCE = 8


class Fleet:
    """Machines by instance id. Slow work runs on a few threads; each machine does one thing at a time."""

    def __init__(self, stage: Stage, image: Path, store: VolumeStore) -> None:
        self._stage, self._image, self._store = stage, image, store
        self._machines: dict[str, Machine] = {}
        self._busy: dict[str, Future[None]] = {}
        self._workers = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="machine")
        self._lock = threading.Lock()

    def _machine(self, instance_id: str) -> Machine:
        with self._lock:
            if instance_id not in self._machines:
                self._machines[instance_id] = Machine(self._stage, instance_id, self._image)
            return self._machines[instance_id]

    def is_busy(self, instance_id: str) -> bool:
        """Whether the machine is on its way from one state to another."""
        work = self._busy.get(instance_id)
        return work is not None and not work.done()

    def is_alive(self, instance_id: str) -> bool:
        machine = self._machines.get(instance_id)
        return machine is not None and machine.is_alive

    def is_booted(self, instance_id: str) -> bool:
        machine = self._machines.get(instance_id)
        return machine is not None and machine.is_booted

    def boot(self, instance_id: str) -> None:
        """Starts the machine, in the background."""
        self._do(instance_id, self._machine(instance_id).start)

    def shut_down(self, instance_id: str) -> None:
        """Ends the machine in order, in the background."""
        self._do(instance_id, self._machine(instance_id).shut_down)

    def reboot(self, instance_id: str) -> None:
        machine = self._machine(instance_id)

        def again() -> None:
            machine.shut_down()
            machine.start()

        self._do(instance_id, again)

    def fail(self, instance_ids: Iterable[str]) -> None:
        """These machines lose power, all at once; returns when they are dead."""
        with ThreadPoolExecutor(_AT_ONCE) as together:
            list(together.map(self._fail, instance_ids))

    def _fail(self, instance_id: str) -> None:
        """Also a machine that is just being started: it dies as soon as it is there."""
        machine, work = self._machine(instance_id), self._busy.get(instance_id)
        if work is not None:
            work.cancel()
        machine.fail()
        if work is not None and not work.cancelled():
            wait([work], timeout=30)
            machine.fail()

    def delete(self, instance_id: str) -> None:
        """Nothing of the machine is left, soon."""
        machine = self._machine(instance_id)

        def forget() -> None:
            machine.kill()
            machine.delete()
            with self._lock:
                self._machines.pop(instance_id, None)

        self._do(instance_id, forget)

    def console(self, instance_id: str) -> str:
        """What the machine wrote to its console: the last 64 KiB, as EC2 keeps."""
        path = self._machine(instance_id).console
        if not path.exists():
            return ""
        return path.read_bytes()[-65536:].decode(errors="replace").replace("\r\n", "\n")

    def _do(self, instance_id: str, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            except Exception:
                _log.exception("machine %s", instance_id)

        self._busy[instance_id] = self._workers.submit(run)

    # -- disks ---------------------------------------------------------------------------------

    def attach(self, instance_id: str, region: str, volume: str, device: str) -> None:
        """The volume is a block device inside the running machine."""
        block_device = self._store.connect(region, volume)
        self._machine(instance_id).add_device(block_device, device, volume)

    def detach(self, instance_id: str, region: str, volume: str, device: str, *, force: bool) -> bool:
        """False while the guest has it mounted; with `force` it is torn out."""
        machine = self._machine(instance_id)
        block_device = self._store.device(region, volume)
        if block_device is None:
            return True
        if force and machine.is_alive:
            machine.unmount(block_device)
        if not self._store.disconnect(region, volume):
            return False
        machine.remove_device(device, volume)
        return True

    def disconnect(self, region: str, volume: str) -> bool:
        """Takes a dead machine's volume off its loop device."""
        try:
            return self._store.disconnect(region, volume)
        except RegionError:
            _log.exception("volume %s", volume)
            return False
