"""The day itself: build, bootstrap, deploy, use, back up, lose the region, replay, count what came back.

Run on the region's Internet as `python -m rehearsal.job.day CHECKOUT DOWNLOADS REPORT` by `rehearsal job`.
"""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from rehearsal.job import report, traffic
from rehearsal.job.operator import REGION_OF, JobFailed, Operator, python
from rehearsal.job.report import Mark, Report, Span
from rehearsal.region.handle import RegionHandle

ENVIRONMENT, RECOVERY = "dev", "dev-dr"
ORDERS = 10_000
PORTS = (22, 80, 443, 2181, 5050, 5051, 8080, 8181)  # SSH, Admin Router, ZooKeeper, Mesos, Marathon, Exhibitor
TAIL_SECONDS = 5.0  # of writing after the backup: what is lost with the region
PATIENCE_SECONDS = 120.0
MODELLED = {
    "volumes read at once from the restored image": "an EBS volume from a snapshot loads its blocks lazily",
    "a host boots in seconds": "an EC2 instance answers SSH after half a minute to two minutes",
    "a health check looks at its alarm's data every 10 s": "by a metric's minute a name moves in one to three minutes",
    "capacity is always there": "capacity is short when a big region fails: name fallback instance types",
}


@dataclass
class Day:
    """One rehearsal: what it did, when, and with what customers saw."""

    operator: Operator
    console: Console
    began: float = field(default_factory=time.time)
    spans: list[Span] = field(default_factory=list)
    marks: dict[str, float] = field(default_factory=dict)
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    inventories: list[dict[str, Any]] = field(default_factory=list)

    @property
    def logs(self) -> Path:
        return self.operator.home / "logs"

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """A stretch of the day that is timed and shown."""
        start = time.time()
        self.console.rule(f"[bold]{name}", align="left", style="blue")
        yield
        span = Span(name, start - self.began, time.time() - start)
        self.spans.append(span)
        self.console.print(f"[green]✓[/] {name}: {span.seconds:.1f} s")

    def mark(self, name: str) -> float:
        """Notes the moment."""
        self.marks[name] = time.time()
        return self.marks[name]

    def settle_in(self) -> None:
        """The operator has a key, a folder, credentials, and an Internet to fetch things from."""
        with self.phase("an operator settles in"):
            self.operator.settle_in()

    def build(self) -> None:
        """Three stacks stand, the environments built side by side, and a preview shows no change."""
        with self.phase("pulumi up: foundation"):
            self._up("foundation")
        with self.phase(f"pulumi up: {ENVIRONMENT} and {RECOVERY}"), ThreadPoolExecutor() as pool:
            list(pool.map(self._up, (ENVIRONMENT, RECOVERY)))
        with self.phase("pulumi preview: nothing to change"):
            self.operator.run("pulumi", "preview", "--expect-no-changes", "--stack", ENVIRONMENT, quiet=True)
        self.inventories.append(self.inventory(ENVIRONMENT))

    def _up(self, stack: str) -> None:
        self.operator.run("pulumi", "stack", "init", stack, quiet=True)  # `select` is of the folder, not of the stack
        self.operator.run("pulumi", "up", "--yes", "--skip-preview", "--stack", stack, quiet=True)

    def inventory(self, stack: str) -> dict[str, Any]:
        """The stack's output `inventory`."""
        text = self.operator.run("pulumi", "stack", "output", "inventory", "--json", "--stack", stack, quiet=True)
        found: dict[str, Any] = json.loads(text)
        return found

    def check_doors(self) -> None:
        """From the Internet the bastion's SSH answers, and no other host does."""
        with self.phase("isolation: what the Internet can reach"):
            doors = [
                (host, address, port)
                for host in self.inventories[0]["hosts"]
                for address in filter(None, (host["private_ip"], host.get("public_ip")))
                for port in PORTS
            ]
            with ThreadPoolExecutor(len(doors)) as pool:
                list(pool.map(lambda door: _check_door(*door), doors))

    def bootstrap(self) -> None:
        """Bare hosts are a cluster; doing it again changes nothing."""
        with self.phase(f"rekindle bootstrap {ENVIRONMENT}"):
            self.operator.run("rekindle", "bootstrap", ENVIRONMENT, "--yes")
        with self.phase("the same again: nothing to do"):
            self.operator.run("rekindle", "bootstrap", ENVIRONMENT, "--yes")

    def deploy(self) -> None:
        """The declared services run and are healthy."""
        self.operator.run("rekindle", "secret", "set", ENVIRONMENT, "orders/token", stdin=self.token)
        with self.phase(f"rekindle plan {ENVIRONMENT}"):
            code, _ = self.operator.attempt("rekindle", "plan", ENVIRONMENT, "--out", "dev.plan.json")
            if code != 2:
                raise JobFailed(f"rekindle plan should say that changes are pending (2), not {code}")
        with self.phase(f"rekindle apply {ENVIRONMENT}"):
            self.operator.run("rekindle", "apply", ENVIRONMENT, "dev.plan.json", "--yes")

    def url(self) -> str:
        return f"http://{self.inventories[0]['public_name']}"

    def use_and_lose(self) -> None:
        """Orders are written through the public name during a backup, until the region is lost."""
        with ExitStack() as customers:
            self._customer(customers, "probe", "probe.log")
            with self.phase(f"{ORDERS:,} orders through the public name"):
                self._customer(customers, "write", "orders.log", str(ORDERS), "before", ORDERS_TOKEN=self.token)
                _until(lambda: len(self.acknowledged()) >= ORDERS, "the first orders are acknowledged")
            with self.phase(f"rekindle backup {ENVIRONMENT}"):
                self.operator.run("rekindle", "backup", ENVIRONMENT, "--json", quiet=True)
            time.sleep(TAIL_SECONDS)  # a length of use, not a wait for a condition
            with self.phase("disaster: us-east-1 is lost"):
                self.operator.handle.fail_region(REGION_OF[ENVIRONMENT])
                disaster = self.mark("disaster")
                _until(lambda: any(p.at > disaster and not p.ok for p in self.probes()), "the name fails")
            self.replay()
            _until(lambda: self.probes()[-1].ok, "the public name answers again")

    def replay(self) -> None:
        """The recovery environment serves in place of the lost one, from an empty directory."""
        empty = self.operator.home / "empty"
        empty.mkdir()
        journal = self.journal_location()
        with self.phase("rekindle replay --plan"):
            self.operator.attempt(
                "rekindle", "replay", ENVIRONMENT, "--to", RECOVERY, "--journal", journal, "--plan", where=empty
            )
        with self.phase("rekindle replay"):
            failed = next(p.at for p in self.probes() if p.at > self.marks["disaster"] and not p.ok)
            since = datetime.fromtimestamp(failed, UTC).strftime("%Y-%m-%dT%H:%M:%S")
            self.operator.run(
                *("rekindle", "replay", ENVIRONMENT, "--to", RECOVERY, "--journal", journal),
                *("--failed-since", since, "--yes"),
                where=empty,
            )
        self.inventories.append(self.inventory(RECOVERY))

    def journal_location(self) -> str:
        """What the runbook tells the engineer on call."""
        stores = self.inventories[0]["stores"]
        return f"s3://{stores['journal_bucket']}?region={stores['region']}&key={stores['kms_key_arn']}"

    def acknowledged(self) -> dict[str, float]:
        return traffic.acknowledged(self.logs / "orders.log")

    def probes(self) -> list[traffic.Probe]:
        return traffic.probes(self.logs / "probe.log")

    def count(self) -> Report:
        """What was acknowledged, what came back, and how long it took."""
        with self.phase("every order read back and checked by id"):
            self.operator.run(*python("rehearsal.job.traffic", "read", self.url(), str(self.logs / "restored")))
        disaster = self.marks["disaster"]
        failed, back = traffic.outage(self.probes(), disaster)
        self.marks |= {"first failed probe": failed, "first success": back}
        acknowledged = {order: at for order, at in self.acknowledged().items() if at <= disaster}
        restored = set((self.logs / "restored").read_text().split()) & acknowledged.keys()
        return self._report(acknowledged, restored, failed, back)

    def _report(self, acknowledged: dict[str, float], restored: set[str], failed: float, back: float) -> Report:
        barrier = self._barrier()
        before = {order for order, at in acknowledged.items() if at <= barrier}
        newest = max((acknowledged[order] for order in restored), default=self.began)
        return Report(
            environment=ENVIRONMENT,
            recovery_environment=RECOVERY,
            started=datetime.fromtimestamp(self.began, UTC).strftime("%Y-%m-%d %H:%M UTC"),
            phases=tuple(self.spans),
            marks=tuple(Mark(name, at - self.began) for name, at in self.marks.items()),
            rto_seconds=round(back - failed, 2),
            replay_seconds=round(next(s.seconds for s in self.spans if s.name == "rekindle replay"), 2),
            rpo_seconds=round(self.marks["disaster"] - newest, 2),
            orders_acknowledged=len(acknowledged),
            orders_before_barrier=len(before),
            orders_restored_before_barrier=len(before & restored),
            orders_restored=len(restored),
            orders_lost=len(acknowledged.keys() - restored),
            inventories=tuple(self.inventories),
            modelled=MODELLED,
        )

    def _barrier(self) -> float:
        """When the restore point's barrier was noted: orders acknowledged before it are promised."""
        found = json.loads(self.operator.run("rekindle", "status", RECOVERY, "--json", quiet=True))
        return datetime.fromisoformat(found["replayed"]["barrier_at"]).timestamp()

    def _customer(self, stack: ExitStack, verb: str, log: str, *arguments: str, **variables: str) -> None:
        self.logs.mkdir(exist_ok=True)
        (self.logs / log).touch()
        command = python("rehearsal.job.traffic", verb, self.url(), str(self.logs / log), *arguments)
        stack.callback(_end, self.operator.start(*command, **variables))


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    process.wait()


def _check_door(host: dict[str, Any], address: str, port: int) -> None:
    wanted = host["role"] == "bastion" and address == host["public_ip"] and port == 22
    if _answers(address, port) != wanted:
        raise JobFailed(f"{host['name']} {address}:{port} should {'' if wanted else 'not '}answer")


def _answers(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=1.0):
            return True
    except OSError:
        return False


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise JobFailed(f"not within {PATIENCE_SECONDS:.0f} s: {what}")
        time.sleep(0.1)


def run(checkout: Path, downloads: Path, target: Path, console: Console) -> Report:
    """The whole day; the report is written to `target`."""
    handle = RegionHandle()
    home = handle.stage.data_directory / "operator"  # stays as long as the region does
    day = Day(Operator(handle, checkout, downloads, home), console)
    for part in (day.settle_in, day.build, day.check_doors, day.bootstrap, day.deploy, day.use_and_lose):
        part()
    result = day.count()
    page = report.write(result, target)
    console.print(f"report: {os.path.relpath(page)}")
    return result


def diagnosis(handle: RegionHandle) -> Iterator[str]:
    """What the region knows of itself, for whoever looks into a failure."""
    for region, facts in handle.status().items():
        yield f"{region}: {json.dumps({key: value for key, value in facts.items() if key != 'instances'})}"
    yield from (line for line in handle.log_tail(400).splitlines() if "ERROR" in line or "Error" in line)


def main() -> None:
    """The day on this terminal; exit code 1 when the promise was not kept."""
    console = Console(highlight=False)
    checkout, downloads, target = (Path(argument) for argument in sys.argv[1:4])
    try:
        result = run(checkout, downloads, target, console)
    except (JobFailed, LookupError) as error:
        console.print(f"[red]✗[/] {error}")
        for line in diagnosis(RegionHandle()):
            console.print(f"  {line}", markup=False, soft_wrap=True)
        sys.exit(1)
    sys.exit(0 if result.kept_its_promise else 1)


if __name__ == "__main__":
    main()
