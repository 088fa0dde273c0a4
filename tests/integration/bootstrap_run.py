"""One bootstrap as a process of its own, so that it can be killed: `bootstrap_run.py CASE.json`.

Prints what it does, and last a line of JSON: steps planned, the error or none, seconds.
"""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import boto3

from rekindle import bootstrap, plan, roles
from rekindle import inventory as inventories
from rekindle.aws import compute
from rekindle.errors import RekindleError
from rekindle.inventory import Host
from rekindle.plan import Step
from rekindle.transport import MemoryPins, Transport


class Told:
    """Says what begins and what ends."""

    @contextmanager
    def entry(self, steps: Sequence[Step]) -> Iterator[None]:
        yield

    def started(self, steps: Sequence[Step]) -> None:
        self.say(f"begun {steps[0].target} {' '.join(s.subject for s in steps)}")

    def finished(self, steps: Sequence[Step], error: RekindleError | None) -> None:
        self.say(f"ended {steps[0].target}")

    def say(self, line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def run(case: dict[str, str]) -> dict[str, object]:
    """Everything that `rekindle bootstrap` does but for the journal."""
    ec2 = boto3.client("ec2", region_name="us-east-1")

    def console(host: Host) -> str | None:
        return compute.host_key(compute.console_output(ec2, host.instance_id or ""))

    told = Told()
    inventory = inventories.load(Path(case["inventory"]))
    dcos = roles.DcosSettings(version="2.1", installer_url=case["url"], installer_sha256=case["sha256"])
    hosts = roles.HostSettings(kernel="shared", container_runtime="none", volume_pools=frozenset({"data"}))
    rendered = bootstrap.declare(roles.load(Path(case["roles"])), inventory, dcos, hosts, "KEY\n")
    transport = Transport(inventory, MemoryPins(), Path(case["key"]), first_key=console, boot_timeout=15)
    with transport:
        began = time.monotonic()
        drivers = bootstrap.drivers(transport, rendered, told.say)
        observed = bootstrap.observe(rendered.declared, drivers)
        seconds = time.monotonic() - began
        planned = bootstrap.plan("t", rendered, observed, release="r", journal_head="h")
        error = None
        try:
            plan.apply(planned, drivers, told, told)
        except RekindleError as caught:
            error = f"{type(caught).__name__}: {caught}"
    return {"steps": [f"{s.target} {s.subject}" for s in planned.steps], "error": error, "seconds": seconds}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(json.loads(Path(sys.argv[1]).read_text()))) + "\n")
