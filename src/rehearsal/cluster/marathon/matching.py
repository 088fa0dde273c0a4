"""Where an instance may run: roles, constraints, resources and ports, with the reason when it may not."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rehearsal.cluster.marathon.app import App
from rehearsal.cluster.marathon.instances import Instance
from rehearsal.cluster.marathon.validation import port_list
from rehearsal.cluster.mesos.master import AgentRecord
from rehearsal.cluster.mesos.resources import Resources, contains, ports_of

# The order in which Marathon checks an offer (v2/queue's rejectSummary).
REASONS = ("UnfulfilledRole", "UnfulfilledConstraint", "NoCorrespondingReservationFound", "AgentMaintenance",
           "AgentDraining", "InsufficientCpus", "InsufficientMemory", "InsufficientDisk", "InsufficientGpus",
           "InsufficientPorts", "DeclinedScarceResources")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Offer:
    """An agent and what of it is free."""

    agent: AgentRecord
    free: Resources
    used_ports: frozenset[int]


@dataclass(frozen=True, kw_only=True)
class Match:
    """Either the ports to use, or why the offer does not fit."""

    ports: list[int] | None
    reasons: tuple[str, ...] = ()


def value_of(agent: AgentRecord, field: str) -> str | None:
    """The agent's value of a constraint's field; None when it has none."""
    if field in {"hostname", "@hostname"}:
        return agent.hostname
    if field in {"@region", "@zone"}:
        return agent.attributes.get(f"@{field[1:]}")
    return agent.attributes.get(field)


def match(app: App, offer: Offer, siblings: list[tuple[Instance, AgentRecord]]) -> Match:
    """Try the offer for one more instance, given the app's others and their agents."""
    reasons = []
    if offer.agent.role not in app.document["acceptedResourceRoles"]:
        reasons.append("UnfulfilledRole")
    if not all(_satisfied(constraint, offer.agent, siblings) for constraint in app.document.get("constraints", [])):
        reasons.append("UnfulfilledConstraint")
    reasons += _scarce(app, offer.free)
    ports = choose_ports(app, offer)
    if ports is None:
        reasons.append("InsufficientPorts")
    return Match(ports=None if reasons else ports, reasons=tuple(reasons))


def _scarce(app: App, free: Resources) -> list[str]:
    wanted = app.document
    short = {
        "InsufficientCpus": wanted["cpus"] > free.cpus + 1e-9,
        "InsufficientMemory": wanted["mem"] > free.mem + 1e-9,
        "InsufficientDisk": wanted["disk"] > free.disk + 1e-9,
        "InsufficientGpus": wanted["gpus"] > free.gpus + 1e-9,
    }
    return [reason for reason, is_short in short.items() if is_short]


def choose_ports(app: App, offer: Offer) -> list[int] | None:
    """A host port for each port of the app, in order; None if there are not enough."""
    definitions = port_list(app.document)
    if app.document["requirePorts"]:
        wanted = [one["port"] for one in definitions]
        fits = all(
            contains(offer.agent.resources.ports, port) and port not in offer.used_ports for port in wanted if port
        )
        if not fits:
            return None
        given: list[int] = [port for port in wanted if port]
        chosen = iter(_random_ports(offer, len(wanted) - len(given), set(given)) or [])
        filled = [port or next(chosen, 0) for port in wanted]
        return filled if all(filled) else None
    return _random_ports(offer, len(definitions), set())


def _random_ports(offer: Offer, count: int, taken: set[int]) -> list[int] | None:
    if count <= 0:
        return []
    free = [
        port for port in ports_of(offer.agent.resources.ports) if port not in offer.used_ports and port not in taken
    ]
    return random.sample(free, count) if len(free) >= count else None


Rule = Callable[[str, "str | None", list[str]], bool]


def _satisfied(constraint: list[str], agent: AgentRecord, siblings: list[tuple[Instance, AgentRecord]]) -> bool:
    field, operator = constraint[0], constraint[1]
    argument = constraint[2] if len(constraint) > 2 else None
    value = value_of(agent, field)
    if value is None:
        return operator == "UNLIKE"
    others = [other for _, sibling in siblings if (other := value_of(sibling, field)) is not None]
    return RULES[operator](value, argument, others)


def _cluster(value: str, argument: str | None, others: list[str]) -> bool:
    return value == argument if argument else not others or value == others[0]


def _group_by(value: str, argument: str | None, others: list[str]) -> bool:
    counts = Counter(others)
    if argument is not None and len(counts) < int(argument):
        return counts[value] == 0 or not counts
    return counts[value] <= min(counts.values(), default=0)


RULES: dict[str, Rule] = {
    "UNIQUE": lambda value, _, others: value not in others,
    "CLUSTER": _cluster,
    "GROUP_BY": _group_by,
    "LIKE": lambda value, argument, _: re.fullmatch(argument or "", value) is not None,
    "UNLIKE": lambda value, argument, _: re.fullmatch(argument or "", value) is None,
    "MAX_PER": lambda value, argument, others: others.count(value) < int(argument or 0),
    "IS": lambda value, argument, _: value == argument,
}


def summary(matches: Iterable[Match]) -> list[dict[str, object]]:
    """For each reason, how many offers were declined for it first, and how many got that far."""
    remaining = [match.reasons for match in matches]
    found = []
    for reason in REASONS:
        declined = [reasons for reasons in remaining if reasons and reasons[0] == reason]
        found.append({"reason": reason, "declined": len(declined), "processed": len(remaining)})
        remaining = [reasons for reasons in remaining if not (reasons and reasons[0] == reason)]
    return found
