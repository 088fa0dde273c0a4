"""Amounts of cpus, memory, disk and ports, and the arithmetic of offers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Ranges = tuple[tuple[int, int], ...]

# dcos/dcos gen/dcos-config.yaml, MESOS_RESOURCES of private and of public agents.
PRIVATE_PORTS: Ranges = (
    (1025, 2180), (2182, 3887), (3889, 5049), (5052, 8079), (8082, 8180), (8182, 32000),
)  # fmt: skip
PUBLIC_PORTS: Ranges = ((1, 21), (23, 5050), (5052, 32000))


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What an agent has or a task takes. Memory and disk in MiB."""

    cpus: float = 0.0
    mem: float = 0.0
    disk: float = 0.0
    gpus: float = 0.0
    ports: Ranges = field(default=())

    def document(self) -> dict[str, Any]:
        """The form of Mesos' own JSON."""
        value: dict[str, Any] = {
            "cpus": round(self.cpus, 3), "disk": round(self.disk, 3),
            "gpus": round(self.gpus, 3), "mem": round(self.mem, 3),
        }  # fmt: skip
        if self.ports:
            value["ports"] = ports_text(self.ports)
        return value


def ports_text(ranges: Ranges) -> str:
    """`[1-21, 23-5050]`."""
    return "[" + ", ".join(f"{low}-{high}" for low, high in ranges) + "]"


def of_ports(ports: Iterable[int]) -> Ranges:
    """Single ports as ranges."""
    merged: list[tuple[int, int]] = []
    for port in sorted(set(ports)):
        if merged and merged[-1][1] == port - 1:
            merged[-1] = (merged[-1][0], port)
        else:
            merged.append((port, port))
    return tuple(merged)


def ports_of(ranges: Ranges) -> list[int]:
    """Each port of the ranges."""
    return [port for low, high in ranges for port in range(low, high + 1)]


def contains(ranges: Ranges, port: int) -> bool:
    """True if the port lies in the ranges."""
    return any(low <= port <= high for low, high in ranges)


def total(parts: Iterable[Resources]) -> Resources:
    """The sum of several amounts."""
    taken = list(parts)
    return Resources(
        cpus=sum(part.cpus for part in taken),
        mem=sum(part.mem for part in taken),
        disk=sum(part.disk for part in taken),
        gpus=sum(part.gpus for part in taken),
        ports=of_ports(port for part in taken for port in ports_of(part.ports)),
    )


def parse(document: dict[str, Any]) -> Resources:
    """Resources from Mesos' own JSON."""
    return Resources(
        cpus=float(document.get("cpus", 0)),
        mem=float(document.get("mem", 0)),
        disk=float(document.get("disk", 0)),
        gpus=float(document.get("gpus", 0)),
        ports=parse_ports(str(document.get("ports", ""))),
    )


def parse_ports(text: str) -> Ranges:
    """Ranges from `[1-21, 23-5050]`."""
    parts = [part.strip() for part in text.strip("[] ").split(",") if part.strip()]
    pairs = [part.split("-") for part in parts]
    return tuple((int(pair[0]), int(pair[-1])) for pair in pairs)
