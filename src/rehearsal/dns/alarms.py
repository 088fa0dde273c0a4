"""What the data stream of a CloudWatch alarm says of its state. No I/O.

Amazon CloudWatch user guide, "Configuring how CloudWatch alarms treat missing data": more periods are retrieved than
are evaluated; the most recent ones that have data count, and only where too few have any does it matter how missing
data is treated. Alarms over one period only are built here.
"""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

_RETRIEVED_BESIDE = 2
"""Periods that are retrieved beside those that are evaluated: five for three in the user guide's table."""


class State(StrEnum):
    OK = "OK"
    ALARM = "ALARM"
    INSUFFICIENT_DATA = "INSUFFICIENT_DATA"


@dataclass(frozen=True, kw_only=True)
class Metric:
    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """The settings of an alarm over one period."""

    name: str
    region: str
    metric: Metric
    statistic: str
    comparison: str
    threshold: float
    period: int
    missing: str = "missing"


@dataclass(frozen=True)
class Datum:
    """One value of a metric, at a second since 1970."""

    at: float
    value: float


STATISTICS: dict[str, Callable[[Sequence[float]], float]] = {
    "Average": lambda values: sum(values) / len(values),
    "Maximum": max,
    "Minimum": min,
    "SampleCount": len,
    "Sum": sum,
}
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanOrEqualToThreshold": operator.le,
    "LessThanThreshold": operator.lt,
}
_WHEN_MISSING = {"breaching": State.ALARM, "notBreaching": State.OK}


def state(alarm: Alarm, data: Iterable[Datum], now: float) -> State:
    """INSUFFICIENT_DATA where the stream says nothing, so that whoever keeps a state keeps it."""
    current = now // alarm.period
    values: defaultdict[float, list[float]] = defaultdict(list)
    for datum in data:
        if current - _RETRIEVED_BESIDE <= datum.at // alarm.period <= current:
            values[datum.at // alarm.period].append(datum.value)
    if not values:
        return _WHEN_MISSING.get(alarm.missing, State.INSUFFICIENT_DATA)
    newest = STATISTICS[alarm.statistic](values[max(values)])
    return State.ALARM if COMPARISONS[alarm.comparison](newest, alarm.threshold) else State.OK
