"""VIPs as nftables rules for the node's own traffic: each connection goes to a random healthy backend."""

from __future__ import annotations

import asyncio
import logging

from rehearsal.cluster.settings import Json

log = logging.getLogger(__name__)
TABLE = "dcos_l4lb"


def ruleset(vips: list[Json]) -> str:
    """The whole table. A VIP without a healthy backend refuses connections at once."""
    nat = [rule for vip in vips if (rule := _nat_rule(vip))]
    refuse = [
        f"ip daddr {vip['address']} {vip['protocol']} dport {vip['port']} "
        + ("reject with tcp reset" if vip["protocol"] == "tcp" else "reject")
        for vip in vips
    ]
    return "\n".join([
        f"table ip {TABLE}", f"delete table ip {TABLE}", f"table ip {TABLE} {{",
        "  chain output_nat {", "    type nat hook output priority -100; policy accept;",
        *(f"    {rule}" for rule in nat), "  }",
        "  chain output_filter {", "    type filter hook output priority 0; policy accept;",
        *(f"    {rule}" for rule in refuse), "  }", "}", "",
    ])  # fmt: skip


def _nat_rule(vip: Json) -> str:
    backends = vip["backends"]
    if not backends:
        return ""
    match = f"ip daddr {vip['address']} {vip['protocol']} dport {vip['port']}"
    if len(backends) == 1:
        return f"{match} dnat to {backends[0]['ip']}:{backends[0]['port']}"
    choices = ", ".join(f"{number} : {one['ip']} . {one['port']}" for number, one in enumerate(backends))
    return f"{match} dnat ip addr . port to numgen random mod {len(backends)} map {{ {choices} }}"


async def load(vips: list[Json]) -> None:
    """Replace the table in one transaction."""
    process = await asyncio.create_subprocess_exec(
        "nft",
        "-f",
        "-",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate(ruleset(vips).encode())
    if process.returncode:
        log.error("nft refused the VIPs: %s", output.decode(errors="replace").strip())
