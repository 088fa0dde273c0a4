"""Configures ZooKeeper for the ensemble of masters and becomes it, as Exhibitor would start it."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

DATA = Path("/var/lib/dcos/exhibitor/zookeeper")
JAVA = "/opt/mesosphere/active/zookeeper/jre/bin/java"
LIBRARIES = "/opt/mesosphere/active/zookeeper/lib/*"
OPTIONS = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xms16m", "-Xmx128m", "-Xss512k",
           "-Dzookeeper.admin.enableServer=false", "-Djava.awt.headless=true")  # fmt: skip


def configuration(ip: str, masters: list[str], data: Path, bind: str = "0.0.0.0") -> str:  # noqa: S104
    """zoo.cfg: an ensemble, or a single server when there is one master."""
    lines = [
        "tickTime=2000", "initLimit=10", "syncLimit=5", f"dataDir={data}", "clientPort=2181",
        f"clientPortAddress={bind}", "maxClientCnxns=0", "admin.enableServer=false",
        "autopurge.snapRetainCount=3", "autopurge.purgeInterval=1",
        "4lw.commands.whitelist=srvr,stat,mntr,ruok,conf,cons,envi", "snapshot.trust.empty=true",
    ]  # fmt: skip
    if len(masters) > 1:
        lines += [f"server.{number}={master}:2888:3888" for number, master in enumerate(sorted(masters), 1)]
    return "\n".join([*lines, ""])


def command(java: str, libraries: str, config: Path) -> list[str]:
    """The server's command."""
    return [java, *OPTIONS, "-cp", libraries, "org.apache.zookeeper.server.quorum.QuorumPeerMain", str(config)]


def prepare(ip: str, masters: list[str], data: Path, bind: str = "0.0.0.0") -> Path:  # noqa: S104
    """Write the server's number and configuration; returns the configuration's path."""
    data.mkdir(parents=True, exist_ok=True)
    (data / "myid").write_text(str(sorted(masters).index(ip) + 1))
    config = data / "zoo.cfg"
    config.write_text(configuration(ip, masters, data, bind))
    return config


def main() -> None:
    """Replace this process by ZooKeeper."""
    parser = argparse.ArgumentParser(prog="zookeeper")
    parser.add_argument("--settings", type=Path, default=Path("/opt/mesosphere/etc/cluster.json"))
    parser.add_argument("--ip", required=True)
    arguments = parser.parse_args()
    masters = json.loads(arguments.settings.read_text())["masters"]
    if arguments.ip not in masters:
        raise SystemExit(f"ip-detect says {arguments.ip}, which is not in master_list {masters}")
    config = prepare(arguments.ip, masters, DATA)
    argv = command(JAVA, LIBRARIES, config)
    os.execv(argv[0], argv)  # noqa: S606 - becoming the server is the purpose


if __name__ == "__main__":
    main()
