"""`python3 -m rehearsal.cluster master|agent|net`: one process of a node, as its systemd unit starts it."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
from pathlib import Path

from rehearsal.cluster import settings as node_settings
from rehearsal.cluster.settings import NodeSettings

ENVIRONMENT_FILES = (Path("/var/lib/dcos/mesos-slave-common"), Path("/var/lib/dcos/mesos-resources"))
SYSTEM_ENVIRONMENT = Path("/etc/environment")
RESOLVER_FILE = Path("/etc/resolv.conf")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="rehearsal.cluster")
    parser.add_argument("process", choices=("master", "agent", "net"))
    parser.add_argument("--settings", type=Path, default=Path("/opt/mesosphere/etc/cluster.json"))
    parser.add_argument("--role", required=True, choices=("master", "slave", "slave_public"))
    parser.add_argument("--ip", required=True)
    parser.add_argument("--public-ip", default="")
    return parser.parse_args()


def ready() -> None:
    """Tell systemd that the process serves (Type=notify)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.connect(address.replace("@", "\0", 1))
            notify.sendall(b"READY=1")


async def _master(settings: NodeSettings, lost: asyncio.Event) -> None:
    from rehearsal.cluster.master_node import MasterNode

    node = MasterNode(settings, lost.set)
    await node.start()
    ready()
    await lost.wait()
    await node.stop()


async def _agent(settings: NodeSettings, lost: asyncio.Event) -> None:
    from rehearsal.cluster import agent_node
    from rehearsal.cluster.mesos.agent import AgentIdentity
    from rehearsal.cluster.mesos.runner import SystemdRunner

    said: dict[str, str] = {}
    for path in ENVIRONMENT_FILES:
        said |= agent_node.environment_file(path)
    settings.directories.agent.mkdir(parents=True, exist_ok=True)
    identity = AgentIdentity(
        attributes=agent_node.attributes(said, settings.role),
        resources=agent_node.resources(said, settings.role, agent_node.measured(settings.directories.agent)),
        role="slave_public" if settings.role == "slave_public" else "*",
    )
    endpoint = os.environ.get("AWS_ENDPOINT_URL") or agent_node.environment_file(SYSTEM_ENVIRONMENT).get(
        "AWS_ENDPOINT_URL"
    )
    runner = SystemdRunner(settings.directories.agent / "meta" / "exits")
    node = agent_node.AgentNode(settings, identity, runner, lost.set, ec2_endpoint=endpoint)
    await node.start()
    ready()
    await lost.wait()
    await node.stop()


async def _net(settings: NodeSettings, lost: asyncio.Event) -> None:
    from rehearsal.cluster.net_node import ADDRESS, NetNode, add_address, resolver_file

    await add_address(ADDRESS)
    node = NetNode(settings, lost.set)
    await node.serve()
    RESOLVER_FILE.unlink(missing_ok=True)
    RESOLVER_FILE.write_text(resolver_file(settings))
    ready()
    await node.follow()
    await lost.wait()
    await node.stop()


async def _run(arguments: argparse.Namespace) -> None:
    settings = node_settings.load(
        arguments.settings, ip=arguments.ip, role=arguments.role, public_ip=arguments.public_ip
    )
    lost = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lost.set)
    await {"master": _master, "agent": _agent, "net": _net}[arguments.process](settings, lost)


def main() -> None:
    """Run one process until it is told to end or loses ZooKeeper; systemd starts it again."""
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    logging.getLogger("kazoo").setLevel(logging.WARNING)
    asyncio.run(_run(_arguments()))


if __name__ == "__main__":
    main()
