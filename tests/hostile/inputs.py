"""Feeds odd inputs to every parser of the library, and counts what became of them.

    python -m tests.hostile.inputs --count 300000
    python -m tests.hostile.inputs --only "plan file" --first 41 --count 1    # one input again

An input is accepted or refused by a RekindleError; anything else is a failure: a traceback, more than
SECONDS, more than MEMORY.
"""

import argparse
import faulthandler
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.hostile import answered, declared, observed, recorded
from tests.hostile.parser import Parser

from rekindle.errors import RekindleError

SECONDS = 5.0  # of work: what else the machine does is no matter
MEMORY = 2 << 30
WORKERS = 2
SHOWN = 300


class TooLong(BaseException):
    """An input took more work than SECONDS."""


@dataclass
class Found:
    """What became of the inputs of one parser."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)  # by where it failed, the first input that did


def parsers(scratch: Path) -> Iterator[Parser]:
    """Every parser of the library."""
    for room in (declared, answered, recorded, observed):
        folder = scratch / room.__name__.rpartition(".")[2]
        folder.mkdir()
        yield from room.parsers(folder)


def feed(parser: Parser, number: int, found: Found) -> None:
    """One odd input, which its parser and number alone decide."""
    body = parser.odd(Random(f"{parser.name} {number}"))
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        parser.feed(body)
        found.counts["accepted"] += 1
    except RekindleError:
        found.counts["refused"] += 1
    except (Exception, TooLong) as error:
        found.counts["failed"] += 1
        found.failures.setdefault(_place(error), f"--only {parser.name!r} --first {number} --count 1: {body[:SHOWN]!r}")
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def require_valid(parser: Parser, found: Found) -> None:
    """The seeds are accepted: what is made of one that is not would try nothing."""
    for seed in parser.seeds:
        try:
            parser.feed(seed)
        except Exception as error:
            found.counts["failed"] += 1
            found.failures[f"a seed is refused: {error}"] = repr(seed[:SHOWN])


def share(worker: int, workers: int, first: int, count: int, only: str) -> dict[str, Found]:
    """What one process makes of its share of the inputs."""
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.signal(signal.SIGPROF, _too_long)
    found: dict[str, Found] = {}
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as scratch:
        every = list(parsers(Path(scratch)))
        chosen = [parser for parser in every if parser.name == only] or [p for p in every if only in p.name]
        if not chosen:
            raise SystemExit(f"no parser is named {only}")
        for parser in chosen:
            require_valid(parser, found.setdefault(parser.name, Found()))
        for index in range(worker, count, workers):
            parser = chosen[index % len(chosen)]
            feed(parser, first + index // len(chosen), found.setdefault(parser.name, Found()))
    return found


def main(arguments: Sequence[str]) -> int:
    """Prints what became of the inputs; 1 if any failed."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--count", type=int, default=10_000)
    asked.add_argument("--first", type=int, default=0, help="number of the first input of each parser")
    asked.add_argument("--only", default="", help="parsers whose names hold this")
    given = asked.parse_args(arguments)
    began, workers = time.monotonic(), min(WORKERS, given.count)
    with ProcessPoolExecutor(workers) as pool:
        parts = [pool.submit(share, n, workers, given.first, given.count, given.only) for n in range(workers)]
        total: dict[str, Found] = {}
        for part in parts:
            for name, found in part.result().items():
                into = total.setdefault(name, Found())
                into.counts += found.counts
                into.failures |= found.failures
    return _report(total, time.monotonic() - began)


def _report(total: dict[str, Found], seconds: float) -> int:
    print(f"{'parser':44} {'accepted':>9} {'refused':>9} {'failed':>7}")
    for name, found in total.items():
        print(f"{name:44} {found.counts['accepted']:9} {found.counts['refused']:9} {found.counts['failed']:7}")
    for name, found in total.items():
        for place, example in found.failures.items():
            print(f"\nFAILED {name}: {place}\n  {example}")
    every = sum((found.counts for found in total.values()), Counter[str]())
    print(
        f"\n{every.total()} inputs to {len(total)} parsers in {seconds:.0f} s: {every['accepted']} accepted, "
        f"{every['refused']} refused, {every['failed']} failed"
    )
    return 1 if every["failed"] else 0


def _place(error: BaseException) -> str:
    """The error, and the last line of the library that it came through."""
    own = [f for f in traceback.extract_tb(error.__traceback__) if "/src/rekindle/" in f.filename]
    where = f"{own[-1].filename.partition('/src/')[2]}:{own[-1].lineno}" if own else "outside the library"
    return f"{type(error).__name__}: {str(error)[:100]!r} at {where}"


def _too_long(*_: object) -> None:
    raise TooLong(f"more than {SECONDS:g} s of work")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
