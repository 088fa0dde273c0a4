"""dcos-net's HTTP API on 62080 of every node, and Mesos-DNS' on 8123 of masters."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from rehearsal.cluster.answers import Handler, answer, not_built_handler
from rehearsal.cluster.settings import Json, NodeSettings
from rehearsal.cluster.times import timestamp

NET_PORT = 62080
MESOS_DNS_PORT = 8123
Snapshot = Callable[[], Json]


def net_application(settings: NodeSettings, snapshot: Snapshot, now: Callable[[], float]) -> web.Application:
    """dcos-net's routes."""

    async def vips(_: web.Request) -> web.Response:
        return answer([
            {"vip": (vip["name"] and f"{vip['name']}:{vip['port']}") or vip["vip"], "protocol": vip["protocol"],
             "backend": [{"ip": one["ip"], "port": one["port"]} for one in vip["backends"]]}
            for vip in snapshot()["vips"]
        ])  # fmt: skip

    async def nodes(_: web.Request) -> web.Response:
        records = snapshot()["records"]
        addresses = [*records.get("master.mesos", []), *records.get("slave.mesos", [])]
        return answer([
            {"updated": timestamp(now()), "public_ips": [], "private_ip": one, "hostname": one} for one in addresses
        ])  # fmt: skip

    async def records(_: web.Request) -> web.Response:
        found = snapshot()["records"]
        return answer([{"name": name, "type": "A", "record": one} for name, ips in found.items() for one in ips])

    async def config(_: web.Request) -> web.Response:
        return answer({"resolvers": list(settings.resolvers)})

    application = web.Application()
    routes = application.router
    routes.add_get("/v1/vips", vips)
    routes.add_get("/v1/nodes", nodes)
    routes.add_get("/v1/records", records)
    routes.add_get("/v1/config", config)
    routes.add_get("/v1/hosts/{name}", _hosts(snapshot))
    routes.add_get("/v1/services/{name}", _services(snapshot))
    routes.add_get("/v1/version", _version("dcos-net"))
    for path in ("/v1/enumerate", "/v1/metrics", "/v1/metrics/default", "/lashup/key", "/lashup/kv"):
        routes.add_get(path, not_built_handler(f"dcos-net GET {path}"))
    return application


def mesos_dns_application(snapshot: Snapshot) -> web.Application:
    """Mesos-DNS' routes."""
    application = web.Application()
    routes = application.router
    routes.add_get("/v1/version", _version("Mesos-DNS"))
    routes.add_get("/v1/hosts/{name}", _hosts(snapshot))
    routes.add_get("/v1/services/{name}", _services(snapshot))
    for path in ("/v1/config", "/v1/enumerate", "/v1/axfr"):
        routes.add_get(path, not_built_handler(f"Mesos-DNS GET {path}"))
    return application


def _version(service: str) -> Handler:
    async def version(_: web.Request) -> web.Response:
        return answer({"Service": service, "URL": "https://github.com/mesosphere/mesos-dns", "Version": "v0.7.0"})

    return version


def _hosts(snapshot: Snapshot) -> Handler:
    async def hosts(request: web.Request) -> web.Response:
        name = request.match_info["name"].rstrip(".").lower()
        found = snapshot()["records"].get(name, [])
        return answer([{"host": f"{name}.", "ip": one} for one in found] or [{"host": "", "ip": ""}])

    return hosts


def _services(snapshot: Snapshot) -> Handler:
    async def services(request: web.Request) -> web.Response:
        name = request.match_info["name"].rstrip(".").lower()
        found = [{"service": name, "host": f"{one['host']}.", "ip": one["ip"], "port": str(one["port"])}
                 for one in snapshot()["services"].get(name, [])]  # fmt: skip
        return answer(found or [{"service": "", "host": "", "ip": "", "port": ""}])

    return services
