"""A release and a restore point onto another inventory: the lost cluster stands again, elsewhere."""

from rekindle.replay.opening import Request
from rekindle.replay.planning import PlannedPhase, Problem, ReplayPlan
from rekindle.replay.report import PhaseTime, ReplayReport
from rekindle.replay.run import last, plan, run
from rekindle.replay.situation import Choices
from rekindle.replay.switch import switch_of
from rekindle.replay.verbs import Apply, Verbs

__all__ = [
    "Apply",
    "Choices",
    "PhaseTime",
    "PlannedPhase",
    "Problem",
    "ReplayPlan",
    "ReplayReport",
    "Request",
    "Verbs",
    "last",
    "plan",
    "run",
    "switch_of",
]
