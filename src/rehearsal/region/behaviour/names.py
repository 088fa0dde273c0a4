"""Route 53: what its API says, as zones and checks; and where moto differs from it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from moto.core.responses import ActionResult
from moto.route53.exceptions import InvalidInput
from moto.route53.models import HealthCheck as Made
from moto.route53.models import Route53Backend
from moto.route53.responses import Route53

from rehearsal.dns.health_checks import HealthCheck, HealthChecks
from rehearsal.dns.records import Alias, AliasTarget, Answer, RecordSet, Resolver, Zone
from rehearsal.region import cloud
from rehearsal.region.behaviour import alarms, load_balancers
from rehearsal.region.behaviour.replacing import replaces
from rehearsal.region.stage import API_ADDRESS, S3_ADDRESS

_PUBLIC_HOST = re.compile(r"^ec2-(\d+)-(\d+)-(\d+)-(\d+)\.(?:compute-1|[a-z0-9-]+\.compute)\.amazonaws\.com\.$")
_PRIVATE_HOST = re.compile(r"^ip-(\d+)-(\d+)-(\d+)-(\d+)\.(?:ec2|[a-z0-9-]+\.compute)\.internal\.$")


def install(checks: HealthChecks, is_down: Callable[[str], bool]) -> None:
    _deletion()
    _alarm_checks(is_down)

    @replaces(Route53, "get_health_check_status")
    def status(original: Callable[..., Any], self: Any) -> ActionResult:
        check_id = self._get_param("HealthCheckId")
        self.backend.get_health_check(check_id)
        seen = checks.observation(check_id)
        report = {"Status": seen.text, "CheckedTime": seen.at}
        observation = {"Region": "us-east-1", "IPAddress": "198.18.0.53", "StatusReport": report}
        return ActionResult({"HealthCheckObservations": [observation]})


_STANDARD_RESOLUTION_SECONDS = 60
_ENDPOINT_SETTINGS = ("IPAddress", "Port", "ResourcePath", "FullyQualifiedDomainName", "SearchString",
                      "RequestInterval", "FailureThreshold")  # fmt: skip


def _alarm_checks(is_down: Callable[[str], bool]) -> None:
    """moto knows no health checks that monitor CloudWatch alarms."""

    @replaces(Route53, "create_health_check")
    def create(original: Callable[..., Any], self: Any) -> Any:
        config = self._get_param("HealthCheckConfig")
        settings = _alarm_settings(config, is_down)
        answer = original(self)
        answer.result["HealthCheck"].__dict__ |= settings
        return answer

    @replaces(Route53, "update_health_check")
    def update(original: Callable[..., Any], self: Any) -> Any:
        """Named again, an alarm is read again (developer guide, "Updating health checks when you change …")."""
        check = self.backend.get_health_check(self._get_param("HealthCheckId"))
        changes = {name: self._get_param(name) for name in ("AlarmIdentifier", "InsufficientDataHealthStatus")}
        changes = {name: value for name, value in changes.items() if value}
        settings = _alarm_settings({**check.health_check_config, **changes}, is_down) if changes else {}
        answer = original(self)
        check.__dict__ |= settings
        return answer

    described = Made.health_check_config.fget  # type: ignore[attr-defined]

    def config(self: Any) -> dict[str, Any]:
        found: dict[str, Any] = described(self)
        if self.type_ != "CLOUDWATCH_METRIC":
            return found
        named = {"AlarmIdentifier": self.alarm_identifier, "InsufficientDataHealthStatus": self.without_data}
        return {name: value for name, value in found.items() if name not in _ENDPOINT_SETTINGS} | named

    Made.health_check_config = property(config)  # type: ignore[assignment]


def _alarm_settings(config: dict[str, Any], is_down: Callable[[str], bool]) -> dict[str, Any]:
    """What Route 53 keeps of the alarm that a check is to monitor; InvalidInput for one that it cannot.

    Developer guide, "Values that you specify when you create or update health checks": metrics of standard
    resolution, five statistics. An alarm's settings are read now, and no more when they change.
    """
    identifier = config.get("AlarmIdentifier")
    if (config["Type"] == "CLOUDWATCH_METRIC") is not bool(identifier):
        raise InvalidInput(f"AlarmIdentifier does not go with a health check of type {config['Type']}")
    if not identifier:
        return {}
    if wrong := [name for name in _ENDPOINT_SETTINGS if config.get(name) is not None]:
        raise InvalidInput(f"{', '.join(wrong)}: not for a health check of type CLOUDWATCH_METRIC")
    region, name = identifier["Region"], identifier["Name"]
    alarm = None if is_down(region) else alarms.read(region, name)
    if alarm is None:
        raise InvalidInput(f"The alarm {name} in {region} is not there, or of a kind that cannot be monitored")
    if alarm.period < _STANDARD_RESOLUTION_SECONDS:
        raise InvalidInput(f"The alarm {name} is of high resolution")
    without_data = config.get("InsufficientDataHealthStatus") or "LastKnownStatus"
    return {"alarm": alarm, "alarm_identifier": identifier, "without_data": without_data}


def _deletion() -> None:
    @replaces(Route53Backend, "change_resource_record_sets")
    def change(original: Callable[..., None], self: Any, zoneid: str, change_list: list[dict[str, Any]]) -> None:
        """moto deletes by set identifier alone, and so takes other names' records with it."""
        zone = self.get_hosted_zone(zoneid)
        before = {_key(r): r for r in zone.rrsets}
        original(self, zoneid, change_list)
        deleted = {_identity(c["ResourceRecordSet"]) for c in change_list if c["Action"] == "DELETE"}
        gone = before.keys() - {_key(r) for r in zone.rrsets} - deleted
        zone.rrsets += [before[key] for key in before if key in gone]


def _key(record: Any) -> tuple[str, str, str | None]:
    return _fqdn(record.name), str(record.type), record.set_identifier


def _identity(record: dict[str, Any]) -> tuple[str, str, str | None]:
    return _fqdn(record["Name"]), record["Type"], record.get("SetIdentifier")


def _fqdn(name: str) -> str:
    return name.lower().rstrip(".") + "."


def zones() -> list[Zone]:
    """All hosted zones."""
    return [_zone(zone) for zone in cloud.route53().zones.values()]


def _zone(zone: Any) -> Zone:
    vpcs = frozenset(v["vpc_id"] for v in zone.vpcs if v.get("vpc_id")) if zone.private_zone else None
    return Zone(name=_fqdn(zone.name), records=tuple(_record(r) for r in zone.rrsets), vpcs=vpcs)


def _record(record: Any) -> RecordSet:
    alias = record.alias_target
    return RecordSet(
        name=_fqdn(record.name).replace("\\052", "*"),
        type=str(record.type),
        ttl=int(record.ttl or 60),
        values=tuple(str(v["Value"] if isinstance(v, dict) else v) for v in record.records or ()),
        alias=_alias(alias) if alias else None,
        failover=record.failover,
        weight=int(record.weight) if record.weight is not None else None,
        health_check=record.health_check_id,
    )


def _alias(alias: dict[str, Any]) -> Alias:
    name = _fqdn(alias["DNSName"]).removeprefix("dualstack.")
    return Alias(name=name, evaluate_health=str(alias.get("EvaluateTargetHealth")).lower() == "true")


def health_checks() -> list[HealthCheck]:
    """All health checks."""
    return [_health_check(check) for check in cloud.route53().health_checks.values()]


def _health_check(check: Any) -> HealthCheck:
    return HealthCheck(
        id=check.id,
        type=str(check.type_),
        name=check.fqdn,
        address=check.ip_address,
        port=int(check.port),
        path=check.resource_path or "/",
        search=check.search_string,
        interval=float(check.request_interval),
        threshold=int(check.failure_threshold),
        inverted=_is_true(check.inverted),
        disabled=_is_true(check.disabled),
        children=tuple(check.children or ()),
        healthy_children=int(check.health_threshold or 0),
        alarm=getattr(check, "alarm", None),
        without_data=getattr(check, "without_data", "LastKnownStatus"),
    )


def _is_true(value: Any) -> bool:
    return str(value).lower() == "true"


def lookup(vpc: str | None, checks: HealthChecks, health: load_balancers.Health) -> Callable[[str, str], list[Answer]]:
    """Answers as one VPC, or the public, sees them."""

    def elsewhere(name: str) -> AliasTarget | None:
        return _amazon(name, vpc, health)

    def look_up(name: str, kind: str) -> list[Answer]:
        with cloud.lock:
            resolver = Resolver(zones=zones(), vpc=vpc, is_healthy=checks.is_healthy, elsewhere=elsewhere)
            return resolver.resolve(name, kind)

    return look_up


def _amazon(name: str, vpc: str | None, health: load_balancers.Health) -> AliasTarget | None:
    """Names that AWS itself gives out."""
    host = _PUBLIC_HOST.match(name) or (_PRIVATE_HOST.match(name) if vpc else None)
    if host:
        return AliasTarget(addresses=(".".join(host.groups()),), healthy=True)
    if not name.endswith(".amazonaws.com."):
        return None
    balancer = load_balancers.addresses(name.rstrip("."), health)
    if balancer is not None:
        return AliasTarget(addresses=tuple(balancer[0]), healthy=balancer[1])
    if ".elb." in name:
        return None
    is_s3 = name.startswith("s3.") or ".s3." in name
    return AliasTarget(addresses=(S3_ADDRESS if is_s3 else API_ADDRESS,), healthy=True)
