"""Plants a sample of faults, one at a time, and says which share of them the unit tests of their room notice.

Nothing in the checkout is touched: faults go into copies of it that end with the command. mutmut and cosmic-ray were
looked at first: the one rewrites every function of a package before it begins, the other edits files in place, and
neither draws a sample by room.
"""

import argparse
import importlib
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from itertools import count, islice
from multiprocessing import get_context
from pathlib import Path
from queue import Queue

import pytest
from faults import Fault, faults_of
from rooms import LOSING, Room, rooms_of

ROOT = Path(__file__).resolve().parents[2]
AT_ONCE = 2
PATIENCE = 20.0
"""Seconds beyond thrice what the tests take without a fault; later than that, a fault counts as noticed: it hangs."""

LIBRARIES = (
    *("boto3", "cryptography.fernet", "fabric", "httpx", "jinja2", "jsonschema", "pydantic", "rich.console", "typer"),
    *("hypothesis.strategies", "moto", "moto.ec2.responses", "moto.s3.responses", "moto.kms.responses"),
    *("moto.iam.responses", "moto.elbv2.responses", "moto.route53.responses", "moto.server", "kazoo.client", "dnslib"),
    *("aiohttp.web", "pulumi", "pulumi_aws", "openapi_core"),
)
"""Read once, before any process of tests is forked: they take longer to read than most rooms to test."""

PASSED, BROKEN, NO_TESTS = 0, 3, 5  # of pytest's exit codes; 4: a conftest cannot be read, as a fault may bring about


@dataclass(frozen=True)
class Planted:
    """A fault in a module of a room."""

    room: Room
    module: Path
    fault: Fault

    def __str__(self) -> str:
        was, now = (" ".join(text.split()) for text in (self.fault.was, self.fault.now))
        return f"{self.module}:{self.fault.line}: {was}  ->  {now}"


@dataclass
class Tally:
    """What came of the faults planted in one room."""

    planted: int = 0
    survivors: list[Planted] = field(default_factory=list)

    @property
    def share(self) -> float:
        return 100 * (self.planted - len(self.survivors)) / self.planted if self.planted else 100.0

    def __str__(self) -> str:
        return f"{self.planted - len(self.survivors)} of {self.planted} noticed ({self.share:.0f} %)"


def main() -> int:
    asked = _arguments()
    chance = random.Random(asked.seed)
    named = _named(asked.rooms, rooms_of(ROOT))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the copies end with the command
    sample = [(name, p) for name, rooms in named for p in _drawn(rooms, asked.sample // len(named), chance)]
    _read_libraries()
    with _copies() as copies, ThreadPoolExecutor(AT_ONCE) as pool:
        trial = Trial(copies)
        list(pool.map(trial.learn, {planted.room.name: planted.room for _, planted in sample}.values()))
        tallies = {name: Tally() for name, _ in named}
        noticed = pool.map(lambda drawn: trial.is_noticed(drawn[1]), sample)
        for (name, planted), was_noticed in zip(sample, noticed, strict=True):
            tallies[name].planted += 1
            if not was_noticed:
                tallies[name].survivors.append(planted)
                print(f"not noticed: {planted}", flush=True)
    for name, tally in tallies.items():
        print(f"{name:24} {tally}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/mutate", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rooms", default="", help="names with commas between; losing: where data is lost; else all")
    parser.add_argument("--sample", type=int, default=200, help="how many faults, divided evenly among the rooms")
    parser.add_argument("--seed", type=int, default=1, help="the same seed on the same code plants the same faults")
    return parser.parse_args()


def _named(asked: str, rooms: Sequence[Room]) -> list[tuple[str, list[Room]]]:
    """The rooms under the names that the report has: those of the stage count as one, unless one is asked for."""
    groups: dict[str, list[Room]] = {}
    for room in rooms:
        groups.setdefault(room.name.split("/")[0], []).append(room)
    groups |= {room.name: [room] for room in rooms if "/" in room.name and room.name in asked.split(",")}
    names = LOSING if asked == "losing" else [name for name in asked.split(",") if name] or list(groups)
    if unknown := [name for name in names if name not in groups]:
        sys.exit(f"no such room: {', '.join(unknown)}; there are {', '.join(groups)}")
    return [(name, groups[name]) for name in names]


def _drawn(rooms: Sequence[Room], size: int, chance: random.Random) -> Iterator[Planted]:
    """At most one fault for each line, so that a long expression does not stand for a whole room."""
    lines: dict[tuple[Path, int], list[Planted]] = {}
    for room in rooms:
        for module in room.modules:
            for fault in faults_of((ROOT / module).read_bytes()):
                lines.setdefault((module, fault.line), []).append(Planted(room, module, fault))
    places = chance.sample(sorted(lines), min(size, len(lines)))
    yield from (chance.choice(lines[place]) for place in places)


def _read_libraries() -> None:
    for name in LIBRARIES:
        importlib.import_module(name)


@contextmanager
def _copies() -> Iterator[Queue[Path]]:
    """What git would commit of this checkout, once for each process of tests."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    copies: Queue[Path] = Queue()
    with tempfile.TemporaryDirectory(prefix="rekindle-mutate-", ignore_cleanup_errors=True) as folder:
        for number in range(AT_ONCE):
            copy = Path(folder) / str(number)
            for path in filter(lambda path: (ROOT / path).is_file(), listed.split("\0")):
                (copy / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / path, copy / path)
            (copy / ".venv").symlink_to((ROOT / ".venv").resolve())
            copies.put(copy)
        yield copies


class Trial:
    """Runs the unit tests of rooms in copies of the checkout, with a fault and without."""

    def __init__(self, copies: Queue[Path]) -> None:
        self._copies = copies
        self._seconds: dict[str, float] = {}
        self._moment = count(1)

    def learn(self, room: Room) -> None:
        """How long its tests take when nothing is wrong; that something is wrong ends the command."""
        began = time.monotonic()
        code, said = self._tested(room, 600, lambda copy: None)
        if code not in {PASSED, NO_TESTS}:
            raise SystemExit(f"{room.name}: its unit tests fail without any fault:\n{said[-3000:]}")
        self._seconds[room.name] = time.monotonic() - began
        print(f"{room.name}: {len(room.tests)} files of tests, {self._seconds[room.name]:.1f} s", flush=True)

    def is_noticed(self, planted: Planted) -> bool:
        limit = PATIENCE + 3 * self._seconds[planted.room.name]
        code, said = self._tested(planted.room, limit, lambda copy: self._plant(planted, copy))
        if code == BROKEN:
            raise SystemExit(f"{planted}: its tests could not be run:\n{said[-3000:]}")
        return code not in {PASSED, NO_TESTS}

    def _tested(self, room: Room, limit: float, plant: Callable[[Path], None]) -> tuple[int | None, str]:
        if not room.tests:
            return NO_TESTS, ""
        copy = self._copies.get()
        try:
            plant(copy)
            return _run(copy, room.tests, limit)
        finally:
            for module in room.modules:
                shutil.copy2(ROOT / module, copy / module)
            self._copies.put(copy)

    def _plant(self, planted: Planted, copy: Path) -> None:
        """With a time of its own, so that no bytecode of another fault is taken for this one's."""
        path = copy / planted.module
        path.write_bytes(planted.fault.plant((ROOT / planted.module).read_bytes()))
        os.utime(path, (1e9 + next(self._moment),) * 2)


def _run(copy: Path, tests: Sequence[Path], limit: float) -> tuple[int | None, str]:
    """pytest's exit code (None: it hung, and was ended) and what it said."""
    process = get_context("fork").Process(target=_test, args=(copy, tests))
    process.start()
    process.join(limit)
    if process.pid:
        _end(process.pid)
    process.join()
    said = copy / "said"
    return process.exitcode if process.exitcode != -signal.SIGKILL else None, said.read_text(errors="replace")


def _end(group: int) -> None:
    """The tests, if they still run, and whatever they started and left."""
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _test(copy: Path, tests: Sequence[Path]) -> None:
    os.setsid()
    os.chdir(copy)
    os.environ["PYTHONPATH"] = str(copy / "src")
    sys.path[:] = [str(copy / "src"), *islice(sys.path, 1, None)]
    with (copy / "said").open("w") as said, redirect_stdout(said), redirect_stderr(io.StringIO()):
        options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not integration"]
        code = pytest.main([*options, *map(str, tests)])
        said.flush()
    os._exit(int(code))


if __name__ == "__main__":
    sys.exit(main())
