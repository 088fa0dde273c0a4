"""Health and readiness probes, and the loop that turns their results into a verdict."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp

Probe = Callable[[], Awaitable[str | None]]


@dataclass(frozen=True, kw_only=True)
class CheckTimes:
    """Seconds and counts of one check."""

    grace: float = 300.0
    interval: float = 60.0
    timeout: float = 20.0
    delay: float = 0.0
    max_failures: int = 3


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a check has seen so far. Times are epoch seconds."""

    alive: bool
    consecutive_failures: int
    first_success: float | None = None
    last_success: float | None = None
    last_failure: float | None = None
    last_failure_cause: str | None = None
    is_kill_due: bool = False


async def http(session: aiohttp.ClientSession, url: str, timeout: float) -> str | None:
    """None if the answer is 200 to 399, else why not."""
    try:
        async with session.get(
            url, timeout=aiohttp.ClientTimeout(timeout), allow_redirects=False, ssl=False
        ) as response:
            return None if 200 <= response.status < 400 else f"HTTP status {response.status}"
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return f"{type(error).__name__}: {error}"


async def tcp(host: str, port: int, timeout: float) -> str | None:
    """None if a connection opens, else why not."""
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), timeout)
    except (OSError, TimeoutError) as error:
        return f"{type(error).__name__}: {error}"
    writer.close()
    return None


async def command(argv: list[str], timeout: float, **options: Any) -> str | None:
    """None if the command exits with 0, else why not."""
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL, start_new_session=True, **options,
    )  # fmt: skip
    try:
        code = await asyncio.wait_for(process.wait(), timeout)
    except TimeoutError:
        process.kill()
        await process.wait()
        return f"timed out after {timeout:g} s"
    return None if code == 0 else f"exited with {code}"


async def watch(
    probe: Probe, times: CheckTimes, started: float, report: Callable[[Verdict], None], *, kill_at_zero: bool
) -> None:
    """Probe for ever. Failures do not count in the grace period, until the first success.

    `max_failures` 0 means never kill, or, with `kill_at_zero` (Mesos-run checks), kill at the first failure.
    """
    verdict = Verdict(alive=False, consecutive_failures=0)
    await asyncio.sleep(times.delay)
    while True:
        cause = await probe()
        verdict = _next(verdict, cause, times, started, kill_at_zero)
        report(verdict)
        await asyncio.sleep(max(times.interval, 0.05))


def _next(old: Verdict, cause: str | None, times: CheckTimes, started: float, kill_at_zero: bool) -> Verdict:
    now = time.time()
    if cause is None:
        return Verdict(
            alive=True, consecutive_failures=0, first_success=old.first_success or now, last_success=now,
            last_failure=old.last_failure, last_failure_cause=old.last_failure_cause,
        )  # fmt: skip
    is_counted = old.first_success is not None or now - started > times.grace
    failures = old.consecutive_failures + (1 if is_counted else 0)
    limit = times.max_failures or (1 if kill_at_zero else 0)
    return Verdict(
        alive=False, consecutive_failures=failures, first_success=old.first_success,
        last_success=old.last_success, last_failure=now, last_failure_cause=cause,
        is_kill_due=bool(limit) and is_counted and failures >= limit,
    )  # fmt: skip
