"""CloudWatch: alarms that are evaluated, and the data that they and Route 53's health checks read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from moto.cloudwatch.exceptions import InvalidParameterValue, ValidationError
from moto.cloudwatch.models import CloudWatchBackend

from rehearsal.dns.alarms import COMPARISONS, STATISTICS, Alarm, Datum, Metric, State, state
from rehearsal.region import cloud
from rehearsal.region.behaviour.replacing import replaces

_HIGH_RESOLUTION = frozenset({10, 20, 30})
_MINUTE = 60
_TREATMENTS = frozenset({"breaching", "notBreaching", "ignore", "missing"})


def install() -> None:
    @replaces(CloudWatchBackend, "put_metric_alarm")
    def put_alarm(original: Callable[..., Any], self: Any, name: str, **settings: Any) -> Any:
        """moto takes any, forgets the state of one that is there already, and begins with OK."""
        _require_alarm(settings)
        before = self.alarms.get(name)
        made = original(self, name=name, **settings)
        made.state_value = before.state_value if before is not None else State.INSUFFICIENT_DATA.value
        return made

    @replaces(CloudWatchBackend, "put_metric_data")
    def put_data(original: Callable[..., None], self: Any, namespace: str, metric_data: Any) -> None:
        if namespace.startswith("AWS/"):
            raise InvalidParameterValue("The value AWS/ for parameter Namespace is invalid.")
        original(self, namespace, metric_data)


def _require_alarm(settings: dict[str, Any]) -> None:
    """What CloudWatch refuses of an alarm (API reference, PutMetricAlarm)."""
    period = int(settings.get("period") or 0)
    if period not in _HIGH_RESOLUTION and period % _MINUTE:
        raise ValidationError("Period must be 10, 20, 30 or a multiple of 60")
    if (settings.get("treat_missing_data") or "missing") not in _TREATMENTS:
        raise ValidationError(f"Option {settings['treat_missing_data']} is not supported.")


def settle(regions: Iterable[str], now: float) -> None:
    """Alarms of these regions are in the state that their data says, or keep theirs where it says nothing."""
    for region in regions:
        for made in cloud.cloudwatch(region).alarms.values():
            if (alarm := read(region, made.name)) is not None:
                _settle(made, alarm, state(alarm, data(region, alarm.metric), now))


def _settle(made: Any, alarm: Alarm, said: State) -> None:
    keeps = said is State.INSUFFICIENT_DATA and alarm.missing == "ignore"
    if not keeps and made.state_value != said.value:
        made.update_state(f"The data says {said}", "{}", said.value)


def read(region: str, name: str) -> Alarm | None:
    """An alarm that the stage can evaluate: over one period of one metric."""
    made = cloud.cloudwatch(region).alarms.get(name)
    is_built = (
        made is not None
        and made.metric_name
        and made.evaluation_periods == 1
        and made.statistic in STATISTICS
        and made.comparison_operator in COMPARISONS
    )
    if not is_built:
        return None
    return Alarm(
        name=name,
        region=region,
        metric=Metric(namespace=made.namespace, name=made.metric_name, dimensions=_dimensions(made)),
        statistic=made.statistic,
        comparison=made.comparison_operator,
        threshold=float(made.threshold),
        period=int(made.period),
        missing=made.treat_missing_data or "missing",
    )


def data(region: str, metric: Metric) -> list[Datum]:
    """The values that were put for a metric; a metric is its name and exactly its dimensions."""
    return [
        Datum(datum.timestamp.timestamp(), float(datum.value))
        for datum in cloud.cloudwatch(region).metric_data
        if hasattr(datum, "value")
        and Metric(namespace=datum.namespace, name=datum.name, dimensions=_dimensions(datum)) == metric
    ]


def stream(is_down: Callable[[str], bool], clock: Callable[[], float]) -> Callable[[Alarm], State]:
    """What an alarm's data says now, to whoever asks from outside of its region: nothing while that is lost."""

    def said(alarm: Alarm) -> State:
        if is_down(alarm.region):
            return State.INSUFFICIENT_DATA
        with cloud.lock:
            return state(alarm, data(alarm.region, alarm.metric), clock())

    return said


def _dimensions(of: Any) -> frozenset[tuple[str, str]]:
    return frozenset((dimension.name, dimension.value) for dimension in of.dimensions)
