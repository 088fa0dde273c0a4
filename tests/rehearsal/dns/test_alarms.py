"""The state of an alarm by its data, for an alarm over one period (CloudWatch user guide, "Evaluating an alarm")."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rehearsal.dns.alarms import Alarm, Datum, Metric, State, state

NOW = 6_000_000.0  # the first second of a minute
ABOVE = Alarm(
    name="a",
    region="us-west-2",
    metric=Metric(namespace="n", name="m"),
    statistic="Maximum",
    comparison="GreaterThanThreshold",
    threshold=0.5,
    period=60,
)


def data(*values: tuple[float, float]) -> list[Datum]:
    """(seconds ago, value)."""
    return [Datum(NOW - ago, value) for ago, value in values]


@pytest.mark.parametrize(
    ("points", "missing", "expected"),
    [
        ([], "missing", State.INSUFFICIENT_DATA),
        ([], "ignore", State.INSUFFICIENT_DATA),
        ([], "breaching", State.ALARM),
        ([], "notBreaching", State.OK),
        ([(0, 1)], "notBreaching", State.ALARM),
        ([(0, 0)], "breaching", State.OK),
        ([(120, 1)], "notBreaching", State.ALARM),  # the most recent one that was retrieved counts
        ([(121, 1)], "ignore", State.INSUFFICIENT_DATA),  # older than what is retrieved
        ([(-61, 1)], "ignore", State.INSUFFICIENT_DATA),  # of the future
        ([(120, 1), (0, 0)], "ignore", State.OK),
        ([(120, 0), (60, 1)], "ignore", State.ALARM),
        ([(0, 1), (0, 0)], "ignore", State.ALARM),  # of one minute: the statistic says
    ],
)
def test_the_newest_period_with_data_counts(points: list[tuple[float, float]], missing: str, expected: State) -> None:
    assert state(replace(ABOVE, missing=missing), data(*points), NOW) is expected


@pytest.mark.parametrize(
    ("statistic", "value"), [("Average", 3.0), ("Maximum", 6.0), ("Minimum", 1.0), ("Sum", 9.0), ("SampleCount", 3.0)]
)
@pytest.mark.parametrize(
    ("comparison", "below", "at", "above"),
    [
        ("GreaterThanThreshold", State.ALARM, State.OK, State.OK),
        ("GreaterThanOrEqualToThreshold", State.ALARM, State.ALARM, State.OK),
        ("LessThanThreshold", State.OK, State.OK, State.ALARM),
        ("LessThanOrEqualToThreshold", State.OK, State.ALARM, State.ALARM),
    ],
)
def test_statistics_and_thresholds(
    statistic: str, value: float, comparison: str, below: State, at: State, above: State
) -> None:
    alarm = replace(ABOVE, statistic=statistic, comparison=comparison)
    points = data((1, 1), (2, 2), (3, 6))
    found = [state(replace(alarm, threshold=value + more), points, NOW) for more in (-0.5, 0, 0.5)]
    assert found == [below, at, above]
