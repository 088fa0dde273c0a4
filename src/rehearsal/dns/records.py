"""Route 53's answers: which record set a name resolves to, given zones and health. No I/O."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Alias:
    name: str
    evaluate_health: bool


@dataclass(frozen=True, kw_only=True)
class RecordSet:
    """Names are lower case and end with a dot."""

    name: str
    type: str
    ttl: int = 60
    values: tuple[str, ...] = ()
    alias: Alias | None = None
    failover: str | None = None
    weight: int | None = None
    health_check: str | None = None


@dataclass(frozen=True, kw_only=True)
class Zone:
    name: str
    records: tuple[RecordSet, ...] = ()
    vpcs: frozenset[str] | None = None
    """None: public. Else the VPCs that see this zone."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    name: str
    type: str
    ttl: int
    value: str


@dataclass(frozen=True, kw_only=True)
class AliasTarget:
    """What a name outside of the zones leads to, such as a load balancer's."""

    addresses: tuple[str, ...]
    healthy: bool


class NoSuchName(LookupError):
    """NXDOMAIN: the zone is here, the name is not."""


class NotServed(LookupError):
    """No zone here holds the name."""


_ALIAS_TTL = 60
_DEPTH = 8
Healthy = Callable[[str], bool]
Elsewhere = Callable[[str], AliasTarget | None]


@dataclass(frozen=True, kw_only=True)
class Resolver:
    """The zones as one asker sees them."""

    zones: Sequence[Zone]
    vpc: str | None
    is_healthy: Healthy
    elsewhere: Elsewhere

    def resolve(self, name: str, kind: str, depth: int = _DEPTH) -> list[Answer]:
        """Records for a name, CNAMEs followed as far as this resolver serves them.

        Raises:
            NoSuchName, NotServed
        """
        name = name.lower().rstrip(".") + "."
        target = self.elsewhere(name)
        if target is not None:
            return (
                [Answer(name=name, type="A", ttl=_ALIAS_TTL, value=a) for a in target.addresses] if kind == "A" else []
            )
        records = self._records(name)
        chosen = self._choose([r for r in records if r.type == kind], depth)
        if not chosen and kind != "CNAME":
            chosen = self._choose([r for r in records if r.type == "CNAME"], depth)
        return [answer for record in chosen for answer in self._answers(record, name, kind, depth)]

    def _records(self, name: str) -> list[RecordSet]:
        zone = self._zone(name)
        exact = [r for r in zone.records if r.name == name]
        found = exact or [r for wildcard in _wildcards(name, zone.name) for r in zone.records if r.name == wildcard]
        if not found and not any(r.name.endswith("." + name) for r in zone.records) and name != zone.name:
            raise NoSuchName(name)
        return found

    def _zone(self, name: str) -> Zone:
        """The longest matching zone; a private one before a public one of the same name."""
        served = [z for z in self.zones if _within(name, z.name) and (z.vpcs is None or self.vpc in z.vpcs)]
        if not served:
            raise NotServed(name)
        return max(served, key=lambda z: (len(z.name), z.vpcs is not None))

    def _choose(self, records: list[RecordSet], depth: int) -> list[RecordSet]:
        """Applies the routing policy that the record sets of one name and type share."""
        if any(r.failover for r in records):
            return self._failover(records, depth)
        healthy = [r for r in records if self._is_healthy(r, depth)] or records
        if any(r.weight is not None for r in records):
            weights = [r.weight or 0 for r in healthy]
            return random.choices(healthy, weights)[:1] if any(weights) else healthy[:1]  # noqa: S311
        return healthy

    def _failover(self, records: list[RecordSet], depth: int) -> list[RecordSet]:
        ordered = sorted(records, key=lambda r: r.failover != "PRIMARY")
        return [next((r for r in ordered if self._is_healthy(r, depth)), ordered[0])]

    def _is_healthy(self, record: RecordSet, depth: int) -> bool:
        if record.health_check and not self.is_healthy(record.health_check):
            return False
        if record.alias and record.alias.evaluate_health:
            return self._alias_is_healthy(record.alias, record.type, depth)
        return True

    def _alias_is_healthy(self, alias: Alias, kind: str, depth: int) -> bool:
        target = self.elsewhere(alias.name)
        if target is not None:
            return target.healthy
        if depth == 0:
            return False
        try:
            records = [r for r in self._records(alias.name) if r.type == kind]
        except (NoSuchName, NotServed):
            return False
        return any(self._is_healthy(r, depth - 1) for r in records)

    def _answers(self, record: RecordSet, name: str, kind: str, depth: int) -> Iterator[Answer]:
        if record.alias is not None:
            yield from self._alias_answers(record.alias, name, kind, depth)
            return
        for value in record.values:
            yield Answer(name=name, type=record.type, ttl=record.ttl, value=value)
        if record.type == "CNAME" and kind != "CNAME" and depth:
            yield from self._follow(record.values[0], kind, depth)

    def _alias_answers(self, alias: Alias, name: str, kind: str, depth: int) -> Iterator[Answer]:
        for answer in self._follow(alias.name, kind, depth) if depth else ():
            yield Answer(name=name, type=answer.type, ttl=answer.ttl, value=answer.value)

    def _follow(self, name: str, kind: str, depth: int) -> list[Answer]:
        try:
            return self.resolve(name, kind, depth - 1)
        except (NoSuchName, NotServed):
            return []


def _within(name: str, zone: str) -> bool:
    return name == zone or name.endswith("." + zone)


def _wildcards(name: str, zone: str) -> Iterator[str]:
    """`*.b.zone.` and `*.zone.` for `a.b.zone.`; the first that has records wins."""
    labels = name.removesuffix(zone).rstrip(".").split(".")
    for index in range(1, len(labels) + 1):
        yield ".".join(["*", *labels[index:], zone] if labels[index:] else ["*", zone])
