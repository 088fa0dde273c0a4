"""An operator's day on a region of its own: commands are run, cut short, and kept with all that they said."""

from __future__ import annotations

import json
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx

from rehearsal import artifacts, installer, toolchain
from rehearsal.job import traffic
from rehearsal.job.operator import UPSTREAM_BUCKET, Operator, python
from rehearsal.network import namespaces
from rehearsal.region.handle import RegionHandle

CHECKOUT = Path(__file__).parents[2]
PATIENCE_SECONDS = 120.0
LARGE = 1 << 20  # bytes; larger objects are archives
STACKS = ("foundation", "dev", "dev-dr")
SSH_REFUSED = (
    "table inet fault { chain input { type filter hook input priority -300; tcp dport 22 reject with tcp reset; }; }"
)


@dataclass(frozen=True)
class Done:
    """How a command ended, and all that it said."""

    code: int
    said: str


@dataclass
class World:
    """The operator, what was run, and the stage around it."""

    operator: Operator
    token: str = field(default_factory=lambda: f"planted-{secrets.token_hex(16)}")
    transcript: list[Done] = field(default_factory=list)

    # -- building ------------------------------------------------------------------------------

    @classmethod
    def settled(cls, region: RegionHandle, home: Path) -> World:
        """An operator with a key, a folder, and an Internet to fetch things from."""
        downloads = toolchain.cache() / "downloads"
        artifacts.build(downloads)
        installer.build(downloads)
        world = cls(Operator(region, CHECKOUT, downloads, home, region.in_internet([])))
        with region.inside_internet():
            world.operator.settle_in()
        return world

    def build(self) -> None:
        """The three stacks stand: the two environments side by side, once their foundation is there."""
        for stack in STACKS:
            self.operator.run("pulumi", "stack", "select", "--create", stack, quiet=True)
        foundation, *environments = STACKS
        self._up(foundation)
        with ThreadPoolExecutor(len(environments)) as pool:
            list(pool.map(self._up, environments))

    def _up(self, stack: str) -> None:
        self.operator.run("pulumi", "up", "--yes", "--skip-preview", "--stack", stack, quiet=True)

    @cached_property
    def dev(self) -> dict[str, Any]:
        """The inventory of dev, which no fault here changes."""
        return self.inventory("dev")

    def inventory(self, stack: str) -> dict[str, Any]:
        text = self.operator.run("pulumi", "stack", "output", "inventory", "--json", "--stack", stack, quiet=True)
        found: dict[str, Any] = json.loads(text)
        return found

    # -- commands ------------------------------------------------------------------------------

    def rekindle(self, *argv: str, where: Path | None = None, stdin: str = "") -> Done:
        """One command to its end; no traceback reaches a person, whatever happened."""
        code, said = self.operator.attempt("rekindle", *argv, where=where, stdin=stdin, quiet=True)
        return self._kept(Done(code, said))

    @contextmanager
    def killed(self, *argv: str, once: Callable[[str], bool], where: Path | None = None) -> Iterator[None]:
        """Runs the block when `once` is true of what the command said, and then kills it with -9."""
        log = self.operator.home / "killed.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*self.operator.prefix, "rekindle", *argv],
                cwd=where or self.operator.folder,
                env=self.operator.environ,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        try:
            until(lambda: process.poll() is not None or once(log.read_text()), f"the moment in {argv}")
            assert process.poll() is None, f"it ended before it could be killed:\n{log.read_text()}"
            yield
            assert process.poll() is None, f"it ended before it was killed:\n{log.read_text()}"
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
            self._kept(Done(-signal.SIGKILL, log.read_text()))

    def _kept(self, done: Done) -> Done:
        self.transcript.append(done)
        assert "Traceback" not in done.said, done.said
        assert "defect of Rekindle" not in done.said, done.said
        return done

    def journaled(self) -> list[str]:
        """Keys of all that the journal of dev has recorded."""
        bucket = self.dev["stores"]["journal_bucket"]
        with self.operator.handle.inside_internet():
            pages = (
                self.operator.client("s3")
                .get_paginator("list_objects_v2")
                .paginate(Bucket=bucket, Prefix="journal/dev/")
            )
            return [found["Key"] for page in pages for found in page.get("Contents", ())]

    def status(self, environment: str = "dev") -> dict[str, Any]:
        done = self.rekindle("status", environment, "--json")
        found: dict[str, Any] = json.loads(done.said[done.said.index("{") :])
        return found

    @contextmanager
    def edited(self, file: str, old: str, new: str) -> Iterator[None]:
        """A file of the operator's folder with one thing changed, until the block ends."""
        path = self.operator.folder / file
        text = path.read_text()
        assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {file}"
        path.write_text(text.replace(old, new))
        try:
            yield
        finally:
            path.write_text(text)

    # -- the stage -----------------------------------------------------------------------------

    def namespace(self, host: dict[str, Any]) -> str:
        return self.operator.handle.stage.namespace_of(host["instance_id"])

    @contextmanager
    def without_ssh(self, host: dict[str, Any]) -> Iterator[None]:
        """Nobody gets in by SSH: the host refuses connections until the block ends."""
        nft = ["ip", "netns", "exec", self.namespace(host), "nft"]
        subprocess.run([*nft, SSH_REFUSED], check=True)
        try:
            yield
        finally:
            subprocess.run([*nft, "delete table inet fault"], check=True)

    def host(self, name: str) -> dict[str, Any]:
        return next(host for host in self.dev["hosts"] if host["name"] == name)

    def marathon(self, method: str, path: str, **options: Any) -> Any:
        """A call as somebody on the master would make it, past Rekindle."""
        master = self.host("master-1")
        with namespaces.entered(self.namespace(master)):
            answer = httpx.request(method, f"http://{master['private_ip']}:8080{path}", timeout=10.0, **options)
        answer.raise_for_status()
        return answer.json()

    def apps(self) -> dict[str, dict[str, Any]]:
        """Apps by id; none while Marathon does not answer."""
        try:
            return {app["id"]: app for app in self.marathon("GET", "/v2/apps")["apps"]}
        except httpx.HTTPError:
            return {}

    def file_on(self, host: dict[str, Any], path: str) -> Path:
        """A file of a host's disk, as this machine sees it."""
        return self.operator.handle.stage.data_directory / "hosts" / host["instance_id"] / "root" / path.lstrip("/")

    def objects(self) -> Iterator[tuple[str, bytes]]:
        """Every object but archives, in every bucket but the one that stands for the Internet."""
        with self.operator.handle.inside_internet():
            s3 = self.operator.client("s3")
            for bucket in (b["Name"] for b in s3.list_buckets()["Buckets"] if b["Name"] != UPSTREAM_BUCKET):
                for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
                    for found in page.get("Contents", ()):
                        if found["Size"] < LARGE:
                            body = s3.get_object(Bucket=bucket, Key=found["Key"])["Body"].read()
                            yield f"{bucket}/{found['Key']}", body

    # -- customers -----------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return "http://orders.example.test"

    @property
    def orders_log(self) -> Path:
        return self.operator.home / "orders.log"

    @contextmanager
    def customer(self, first: int) -> Iterator[None]:
        """Somebody writes orders through the public name, all along; the block begins when `first` are acknowledged."""
        self.orders_log.touch()
        command = python("rehearsal.job.traffic", "write", self.url, str(self.orders_log), str(first), "day")
        process = self.operator.start(*command, ORDERS_TOKEN=self.token)
        try:
            until(lambda: len(self.acknowledged()) >= first, f"{first} orders are acknowledged")
            yield
        finally:
            process.terminate()
            process.wait()

    def acknowledged(self) -> dict[str, float]:
        return traffic.acknowledged(self.orders_log)

    def read_back(self) -> set[str]:
        """Ids of all orders that the public name gives back."""
        file = self.operator.home / "restored"
        self.operator.run(*python("rehearsal.job.traffic", "read", self.url, str(file)), quiet=True)
        return set(file.read_text().split())


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE_SECONDS:.0f} s: {what}"
        time.sleep(0.1)
