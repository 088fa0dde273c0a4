"""Customers of the public name: one writes orders and notes each that was acknowledged, one reads all along.

Run in the operator's namespace as `python -m rehearsal.job.traffic write|probe URL LOG ...`; both end on SIGTERM.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count, islice
from pathlib import Path
from typing import Any, TextIO

import httpx

BATCH = 100  # orders in one request while the first ones are written
PACE_SECONDS = 0.05  # between two requests of one order each, after that
RETRY_SECONDS = 0.2
PROBE_SECONDS = 0.25
PATIENCE = httpx.Timeout(3.0, connect=1.0)


@dataclass(frozen=True)
class Probe:
    """One look through the public name."""

    at: float  # seconds since the epoch, when the answer came or failed to
    ok: bool


@dataclass
class Writer:
    """Sends orders and logs each that was acknowledged; says when it begins to fail, how, and when that ends."""

    client: httpx.Client
    url: str
    log: TextIO
    trouble: str = ""

    def send(self, orders: Sequence[str]) -> bool:
        """Whether these were acknowledged."""
        trouble = self._refusal(orders)
        if trouble != self.trouble:
            said = trouble or "orders are taken again"
            print(f"  customer, {datetime.now(UTC):%T} UTC, {orders[0]}: {said}", file=sys.stderr, flush=True)
        self.trouble = trouble
        return not trouble

    def _refusal(self, orders: Sequence[str]) -> str:
        body = [{"id": order, "item": "book", "quantity": 1} for order in orders]
        try:
            answer = self.client.post(f"{self.url}/orders", json=body)
        except httpx.HTTPError as error:
            return f"{type(error).__name__}: {error}"
        if answer.status_code != httpx.codes.CREATED:
            return f"{answer.status_code}: {answer.text[:200]}"
        now = time.time()
        self.log.write("".join(json.dumps({"id": order, "at": now}) + "\n" for order in orders))
        return ""


def write(url: str, log: Path, token: str, first: int, run: str) -> None:
    """Writes `first` orders in batches, then one after another, and logs what was acknowledged."""
    ids = (f"{run}-{number:07d}" for number in count())
    with log.open("a", buffering=1) as out, httpx.Client(timeout=PATIENCE, headers=_bearer(token)) as client:
        writer, remaining = Writer(client, url, out), first
        while remaining > 0:
            batch = list(islice(ids, min(BATCH, remaining)))
            while not writer.send(batch):
                time.sleep(RETRY_SECONDS)
            remaining -= len(batch)
        for order in ids:
            writer.send([order])
            time.sleep(PACE_SECONDS)


def probe(url: str, log: Path) -> None:
    """Resolves and reads the public name on a fresh connection each time, and logs how it went."""
    with log.open("a", buffering=1) as out:
        while True:
            print(json.dumps({"at": time.time(), "ok": _answers(url)}), file=out)
            time.sleep(PROBE_SECONDS)


def acknowledged(log: Path) -> dict[str, float]:
    """Order id to the time it was acknowledged, from a writer's log."""
    return {line["id"]: line["at"] for line in _lines(log)}


def probes(log: Path) -> list[Probe]:
    """All probes of a reader's log, oldest first."""
    return [Probe(line["at"], line["ok"]) for line in _lines(log)]


def outage(seen: list[Probe], disaster: float) -> tuple[float, float]:
    """(first failed probe, first success after it), of those after the disaster; LookupError if there is none."""
    after = [p for p in seen if p.at >= disaster]
    failed = next((p.at for p in after if not p.ok), None)
    if failed is None:
        raise LookupError("no probe failed after the disaster")
    back = next((p.at for p in after if p.ok and p.at > failed), None)
    if back is None:
        raise LookupError("no probe succeeded after the disaster")
    return failed, back


def read_back(url: str) -> set[str]:
    """Ids of all orders that the service reads back from Kafka."""
    with httpx.Client(timeout=httpx.Timeout(120.0)) as client, client.stream("GET", f"{url}/orders/all") as answer:
        answer.raise_for_status()
        return {json.loads(line)["id"] for line in answer.iter_lines() if line.strip()}


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=PATIENCE).is_success
    except httpx.HTTPError:
        return False


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _lines(log: Path) -> Iterator[dict[str, Any]]:
    for line in log.read_text().splitlines():
        if line.endswith("}"):  # a writer that was ended may leave half a line
            yield json.loads(line)


def main() -> None:
    """The command line of the two customers."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    verb, url, log, *rest = sys.argv[1:]
    if verb == "write":
        write(url, Path(log), os.environ["ORDERS_TOKEN"], int(rest[0]), rest[1])
    elif verb == "probe":
        probe(url, Path(log))
    elif verb == "read":
        Path(log).write_text("\n".join(sorted(read_back(url))))
    else:
        sys.exit(f"traffic: unknown verb {verb}")


if __name__ == "__main__":
    main()
