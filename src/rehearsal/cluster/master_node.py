"""Everything that runs on a master but ZooKeeper and dcos-net, in one process."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from aiohttp import web

from rehearsal.cluster import exhibitor, iam, metronome, tls
from rehearsal.cluster.admin_router import AdminRouter
from rehearsal.cluster.answers import serve
from rehearsal.cluster.cosmos import api as cosmos_api
from rehearsal.cluster.cosmos.api import CosmosApi
from rehearsal.cluster.cosmos.marathon_client import MarathonClient
from rehearsal.cluster.cosmos.repositories import Repositories
from rehearsal.cluster.diagnostics import PORT as DIAGNOSTICS_PORT
from rehearsal.cluster.diagnostics import Diagnostics, Node, Unit, UnitSource, component, systemd_units
from rehearsal.cluster.iam import Iam, IamApi, TokenKey
from rehearsal.cluster.leadership import LeaderWatch, master_info, stand
from rehearsal.cluster.marathon import api as marathon_api
from rehearsal.cluster.marathon.api import MarathonApi
from rehearsal.cluster.marathon.core import Marathon
from rehearsal.cluster.marathon.events import EventBus
from rehearsal.cluster.marathon.scheduler import Scheduler
from rehearsal.cluster.mesos import probes
from rehearsal.cluster.mesos.master import MesosMaster, Patience
from rehearsal.cluster.mesos.master_api import MesosMasterApi
from rehearsal.cluster.net import api as net_api
from rehearsal.cluster.net.publisher import PATH as SNAPSHOT
from rehearsal.cluster.net.publisher import Publisher
from rehearsal.cluster.settings import Json, NodeSettings
from rehearsal.cluster.store import Store

log = logging.getLogger(__name__)
CLUSTER_ID = "/cluster-id"
EMPTY_SNAPSHOT: Json = {"records": {}, "services": {}, "vips": []}
# Components of this process: unit, description, port, path of the probe ("" for a TCP connection).
COMPONENTS = (
    ("dcos-mesos-master.service", "Mesos Master", 5050, "/health"),
    ("dcos-marathon.service", "Marathon", 8080, "/ping"),
    ("dcos-metronome.service", "Jobs Service", 9000, "/ping"),
    ("dcos-cosmos.service", "DC/OS Package Manager (Cosmos)", 7070, "/capabilities"),
    ("dcos-bouncer.service", "DC/OS IAM", 8101, "/acs/api/v1/auth/jwks"),
    ("dcos-mesos-dns.service", "Mesos DNS", 8123, "/v1/version"),
    ("dcos-adminrouter.service", "Admin Router Master", 80, ""),
)
SYSTEMD_UNITS = ["dcos-exhibitor.service", "dcos-net.service", "dcos-master.service"]


class MasterNode:
    """One master; `start` returns when all servers listen."""

    def __init__(
        self, settings: NodeSettings, on_lost: Callable[[], None], patience: Patience | None = None,
        units: UnitSource | None = None, ports: tuple[int, int] = (80, 443),
    ) -> None:  # fmt: skip
        self.settings = settings
        self.store = Store(settings.zookeeper, on_lost)
        self.leader = LeaderWatch(self.store)
        self.marathon: Marathon | None = None
        self.mesos: MesosMaster | None = None
        self._patience = patience or Patience()
        self._units = units
        self._ports = ports
        self._on_lost = on_lost
        self._snapshot = EMPTY_SNAPSHOT
        self._runners: list[web.AppRunner] = []
        self._leading: asyncio.Task[None] | None = None
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Join the cluster and serve."""
        await self.store.connect()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(60)
        )
        cluster_id = await self._agree_cluster_id()
        key = await TokenKey.of_cluster(self.store)
        users = Iam(self.settings, self.store, key)
        await users.bootstrap()
        self.mesos = MesosMaster(self.settings, self.store, self._session, self._patience)
        await self.store.watch(SNAPSHOT, self._take_snapshot)
        await self._serve(self.mesos, users, key, cluster_id, self._session)
        self.leader.observe(self._leader_changed)
        await self.leader.start()
        await stand(self.store, master_info(self.settings.ip))

    async def stop(self) -> None:
        """Leave the cluster."""
        if self._leading is not None:
            self._leading.cancel()
            await asyncio.gather(self._leading, return_exceptions=True)
        if self.marathon is not None:
            self.marathon.deployments.stop()
        if self.mesos is not None:
            await self.mesos.stop()
        await self.store.close()
        await asyncio.gather(*(runner.cleanup() for runner in self._runners))
        if self._session is not None:
            await self._session.close()

    async def _agree_cluster_id(self) -> str:
        await self.store.create(CLUSTER_ID, str(uuid.uuid4()))
        cluster_id = str(await self.store.read(CLUSTER_ID))
        self.settings.directories.dcos.mkdir(parents=True, exist_ok=True)
        (self.settings.directories.dcos / "cluster-id").write_text(cluster_id)
        return cluster_id

    def _take_snapshot(self, snapshot: Any) -> None:
        self._snapshot = snapshot or EMPTY_SNAPSHOT

    def _leader_changed(self, leader: Json | None) -> None:
        is_mine = leader is not None and leader["address"]["ip"] == self.settings.ip
        if is_mine and self._leading is None:
            self._leading = asyncio.get_running_loop().create_task(self._lead())
        elif not is_mine and self._leading is not None:
            log.error("leadership lost; this process ends and starts anew")
            self._on_lost()

    async def _lead(self) -> None:
        assert self.mesos is not None
        assert self._session is not None
        log.info("elected as leader")
        events = EventBus()
        scheduler = Scheduler(self.mesos, self.store, self._session, events)
        marathon = Marathon(self.settings, self.store, scheduler, events)
        try:
            await self.mesos.lead()
            await marathon.load()
            await scheduler.lead()
            self.mesos.open()
            await marathon.lead()
        except Exception:
            log.exception("could not take over")
            self._on_lost()
            return
        self.marathon = marathon
        await Publisher(self.mesos, scheduler, self.store).publish_for_ever()

    async def _serve(
        self, mesos: MesosMaster, users: Iam, key: TokenKey, cluster_id: str, session: aiohttp.ClientSession
    ) -> None:
        settings = self.settings
        marathon = MarathonApi(lambda: self.marathon, self.leader, session)
        packages = CosmosApi(Repositories(self.store, session), MarathonClient(session, f"http://{self._local}:8080"))
        router = AdminRouter(settings, self.leader, key, session, cluster_id)
        applications = {
            5050: MesosMasterApi(mesos, self.leader).application(),
            marathon_api.PORT: marathon.application(),
            cosmos_api.PORT: packages.application(),
            iam.PORT: IamApi(users).application(),
            exhibitor.PORT: exhibitor.application(settings),
            metronome.PORT: metronome.application(),
            net_api.MESOS_DNS_PORT: net_api.mesos_dns_application(lambda: self._snapshot),
            DIAGNOSTICS_PORT: self._diagnostics(session),
            self._ports[0]: router.application(),
        }  # fmt: skip
        for port, application in applications.items():
            self._runners.append(await serve(application, settings.bind, port))
        context = tls.server_context(settings.directories.run / "pki", settings.ip)
        self._runners.append(await serve(router.application(), settings.bind, self._ports[1], ssl=context))

    @property
    def _local(self) -> str:
        return "127.0.0.1" if self.settings.bind == "0.0.0.0" else self.settings.ip  # noqa: S104

    def _diagnostics(self, session: aiohttp.ClientSession) -> web.Application:
        application = web.Application()
        units = self._units or self._own_units
        Diagnostics(self.settings, units, self._nodes, session, lambda: "").routes(application)
        return application

    async def _own_units(self) -> list[Unit]:
        parts = [component(unit, description, self._probe(port, path)) for unit, description, port, path in COMPONENTS]
        return [*await systemd_units(SYSTEMD_UNITS), *await asyncio.gather(*parts)]

    def _probe(self, port: int, path: str) -> Callable[[], Awaitable[str | None]]:
        assert self._session is not None
        session = self._session
        if not path:
            return lambda: probes.tcp(self._local, port, 2)
        return lambda: probes.http(session, f"http://{self._local}:{port}{path}", 2)

    async def _nodes(self) -> list[Node]:
        masters = [Node(ip=ip, role="master") for ip in self.settings.masters]
        assert self._session is not None
        try:
            async with self._session.get(
                f"http://{self.leader.ip}:5050/slaves", timeout=aiohttp.ClientTimeout(3)
            ) as response:
                slaves = (await response.json())["slaves"]
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError):
            slaves = []
        return [*masters, *(Node(ip=one["hostname"], role=_agent_role(one)) for one in slaves)]


def _agent_role(slave: Json) -> str:
    return "agent_public" if slave["attributes"].get("public_ip") == "true" else "agent"
