"""The region's process: moto, its middleware, and all that makes its answers true.

Started by `rehearsal up` inside the region's namespace. Ends on SIGTERM; `rehearsal down` cleans up
after it however it ended.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import FrameType

_EMPTY_IMAGE_LIST = Path(tempfile.gettempdir()) / f"rekindle-rehearsal-images-{os.getpid()}.json"
_EMPTY_IMAGE_LIST.write_text("[]")
os.environ["MOTO_AMIS_PATH"] = str(_EMPTY_IMAGE_LIST)  # moto reads it when it is imported

from rehearsal.dns.health_checks import HealthChecks  # noqa: E402
from rehearsal.dns.server import NameService  # noqa: E402
from rehearsal.hosts.fleet import Fleet  # noqa: E402
from rehearsal.load_balancers.balancers import Balancers  # noqa: E402
from rehearsal.metadata_service.service import MetadataService  # noqa: E402
from rehearsal.network.routers import Network  # noqa: E402
from rehearsal.region import api, cloud, control, images  # noqa: E402
from rehearsal.region.behaviour import (  # noqa: E402
    addresses,
    alarms,
    contests,
    instances,
    keys,
    load_balancers,
    names,
    objects,
    volumes,
)
from rehearsal.region.outages import Outages  # noqa: E402
from rehearsal.region.realiser import Realiser  # noqa: E402
from rehearsal.region.rules import rules  # noqa: E402
from rehearsal.region.stage import REGIONS, Stage  # noqa: E402
from rehearsal.volumes.store import VolumeStore  # noqa: E402

_log = logging.getLogger(__name__)


class Daemon:
    """The rooms, put together."""

    def __init__(self, stage: Stage, image: Path, conflicts: int | None = None) -> None:
        self._stage = stage
        store = VolumeStore(stage.data_directory)
        self.outages = Outages()
        self.fleet = Fleet(stage, image, store)
        self.balancers = Balancers(stage)
        self.checks = HealthChecks(self._addresses, alarms.stream(self.outages.is_down, time.time))
        self.names = NameService(lambda vpc: names.lookup(vpc, self.checks, self.balancers.health))
        self.metadata = MetadataService()
        self.network = Network(stage, self._open_vpc, self._close_vpc)
        snapshots = volumes.PendingSnapshots()
        finish_termination = instances.install(self.fleet)
        addresses.install()
        keys.install()
        contests.install(conflicts)
        objects.install()
        volumes.install(store, self.fleet, snapshots, self.outages.is_down)
        load_balancers.install(self.balancers.health)
        names.install(self.checks, self.outages.is_down)
        alarms.install()
        self.realiser = Realiser(
            outages=self.outages,
            network=self.network,
            fleet=self.fleet,
            balancers=self.balancers,
            checks=self.checks,
            snapshots=snapshots,
            finish_termination=finish_termination,
        )
        self.api = api.Api(self.outages, rules(self.network.vpc_of_link), self.realiser.wake)

    def _open_vpc(self, vpc: str, namespace: str) -> None:
        self.metadata.open(vpc, namespace)
        self.names.open(vpc, namespace)

    def _close_vpc(self, vpc: str) -> None:
        self.metadata.close(vpc)
        self.names.close(vpc)

    def _addresses(self, name: str) -> list[str]:
        """Addresses of a public name, for health checks."""
        look_up = names.lookup(None, self.checks, self.balancers.health)
        try:
            return [a.value for a in look_up(name, "A") if a.type == "A"]
        except LookupError:
            return []

    def run(self) -> None:
        """Serves until SIGTERM."""
        images.register()
        for region in REGIONS:
            _ = cloud.ec2(region)
        self.names.open_public(self._stage.region_namespace)
        server = api.serve(self.api)
        threading.Thread(target=self.realiser.run, name="realiser", daemon=True).start()
        threading.Thread(target=server.serve_forever, name="api", daemon=True).start()
        listener = control.listen(self._stage, self.realiser, self.outages)
        self._stage.ready_file.write_text(json.dumps({"pid": os.getpid()}))
        _until_terminated()
        listener.close()
        self.realiser.stop()


def _until_terminated() -> None:
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ended.wait()


def main() -> None:
    """`python -m rehearsal.region.daemon IMAGE`; with REHEARSAL_CONFLICTS=SEED, S3 answers 409 to contenders, too."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("botocore").setLevel(logging.WARNING)
    stage = Stage.from_environ()
    seed = os.environ.get("REHEARSAL_CONFLICTS")
    try:
        Daemon(stage, Path(sys.argv[1]), int(seed) if seed else None).run()
    finally:
        _EMPTY_IMAGE_LIST.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
