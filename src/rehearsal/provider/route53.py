"""Route 53 zones, records and health checks. Route 53 has no region."""

import uuid
from typing import Any

from rehearsal.provider.aws import Aws, Refused
from rehearsal.provider.resource import Resource, tag_list, tag_map
from rehearsal.provider.values import Properties


def _retag(aws: Aws, kind: str, id: str, old: Properties, new: Properties) -> None:
    """Route 53 takes no empty list, of tags as of keys."""
    call: dict[str, Any] = {}
    if new.get("tags"):
        call["AddTags"] = tag_list(new["tags"])
    if gone := sorted(set(old.get("tags", {})) - set(new.get("tags", {}))):
        call["RemoveTagKeys"] = gone
    if call:
        aws.route53.change_tags_for_resource(ResourceType=kind, ResourceId=id, **call)


def _tags(aws: Aws, kind: str, id: str) -> dict[str, str]:
    found = aws.route53.list_tags_for_resource(ResourceType=kind, ResourceId=id)
    return tag_map(found["ResourceTagSet"]["Tags"])


class Zone(Resource):
    kind = "aws:route53/zone:Zone"
    handles = frozenset({"name", "comment", "forceDestroy", "tags"})
    needs = frozenset({"name"})
    replaces = frozenset({"name"})

    def create(self, aws: Aws, want: Properties) -> str:
        made = aws.route53.create_hosted_zone(
            Name=want["name"],
            CallerReference=str(uuid.uuid4()),
            HostedZoneConfig={"Comment": want.get("comment", "Managed by Pulumi"), "PrivateZone": False},
        )
        return str(made["HostedZone"]["Id"]).rpartition("/")[2]

    def settle(self, aws: Aws, id: str, want: Properties) -> None:
        _retag(aws, "hostedzone", id, {}, want)

    def update(self, aws: Aws, id: str, old: Properties, new: Properties) -> None:
        _retag(aws, "hostedzone", id, old, new)
        if "comment" in self.changed(old, new):
            aws.route53.update_hosted_zone_comment(Id=id, Comment=new.get("comment", "Managed by Pulumi"))

    def observe(self, aws: Aws, id: str, known: Properties) -> Properties:
        found = aws.route53.get_hosted_zone(Id=id)
        return {
            "name": found["HostedZone"]["Name"].rstrip("."),
            "comment": found["HostedZone"].get("Config", {}).get("Comment"),
            "zoneId": id,
            "nameServers": (found.get("DelegationSet") or {}).get("NameServers", []),
            "tags": _tags(aws, "hostedzone", id),
            "arn": f"arn:aws:route53:::hostedzone/{id}",
        }

    def delete(self, aws: Aws, id: str, state: Properties) -> None:
        aws.route53.delete_hosted_zone(Id=id)


class HealthCheck(Resource):
    kind = "aws:route53/healthCheck:HealthCheck"
    handles = frozenset(
        {
            "type",
            "fqdn",
            "port",
            "resourcePath",
            "requestInterval",
            "failureThreshold",
            "invertHealthcheck",
            "cloudwatchAlarmName",
            "cloudwatchAlarmRegion",
            "insufficientDataHealthStatus",
            "referenceName",
            "tags",
        }
    )
    replaces = frozenset({"type", "requestInterval", "referenceName"})

    def create(self, aws: Aws, want: Properties) -> str:
        made = aws.route53.create_health_check(
            CallerReference=f"{want.get('referenceName', '')}{uuid.uuid4().hex}"[:64],
            HealthCheckConfig={key: want[name] for name, key in _CHECK.items() if name in want} | _alarm(want),
        )
        return str(made["HealthCheck"]["Id"])

    def settle(self, aws: Aws, id: str, want: Properties) -> None:
        _retag(aws, "healthcheck", id, {}, want)

    def update(self, aws: Aws, id: str, old: Properties, new: Properties) -> None:
        _retag(aws, "healthcheck", id, old, new)
        if changed := self.changed(old, new) & (_CHECK.keys() | _ALARM):
            call = {key: new[name] for name, key in _CHECK.items() if name in changed and name in new}
            aws.route53.update_health_check(HealthCheckId=id, **call, **(_alarm(new) if changed & _ALARM else {}))

    def observe(self, aws: Aws, id: str, known: Properties) -> Properties:
        config = aws.route53.get_health_check(HealthCheckId=id)["HealthCheck"]["HealthCheckConfig"]
        seen = {name: config.get(key) for name, key in _CHECK.items()}
        alarm = config.get("AlarmIdentifier", {})
        seen |= {"cloudwatchAlarmName": alarm.get("Name"), "cloudwatchAlarmRegion": alarm.get("Region")}
        return seen | {"tags": _tags(aws, "healthcheck", id), "arn": f"arn:aws:route53:::healthcheck/{id}"}

    def delete(self, aws: Aws, id: str, state: Properties) -> None:
        aws.route53.delete_health_check(HealthCheckId=id)


_CHECK = {
    "type": "Type",
    "fqdn": "FullyQualifiedDomainName",
    "port": "Port",
    "resourcePath": "ResourcePath",
    "requestInterval": "RequestInterval",
    "failureThreshold": "FailureThreshold",
    "invertHealthcheck": "Inverted",
    "insufficientDataHealthStatus": "InsufficientDataHealthStatus",
}
_ALARM = frozenset({"cloudwatchAlarmName", "cloudwatchAlarmRegion"})


def _alarm(want: Properties) -> dict[str, Any]:
    if "cloudwatchAlarmName" not in want:
        return {}
    return {"AlarmIdentifier": {"Name": want["cloudwatchAlarmName"], "Region": want["cloudwatchAlarmRegion"]}}


class Record(Resource):
    """One record set; its id is `<zone>_<name>_<type>[_<set identifier>]`."""

    kind = "aws:route53/record:Record"
    handles = frozenset(
        {
            "zoneId",
            "name",
            "type",
            "ttl",
            "records",
            "aliases",
            "failoverRoutingPolicies",
            "setIdentifier",
            "healthCheckId",
        }
    )
    replaces = frozenset({"zoneId", "name", "type", "setIdentifier"})

    def create(self, aws: Aws, want: Properties) -> str:
        if self._find(aws, want["zoneId"], want["name"], want["type"], want.get("setIdentifier")):
            raise Refused(f"record {want['name']} {want['type']} exists already")
        # Not CREATE: moto 5.2.5 refuses that for a record that was deleted while a later name exists.
        self._change(aws, "UPSERT", want["zoneId"], _record_set(want))
        parts = [want["zoneId"], want["name"], want["type"], want.get("setIdentifier", "")]
        return "_".join(part for part in parts if part)

    def update(self, aws: Aws, id: str, old: Properties, new: Properties) -> None:
        self._change(aws, "UPSERT", new["zoneId"], _record_set(new))

    def observe(self, aws: Aws, id: str, known: Properties) -> Properties | None:
        zone, name, type_, *identifier = id.split("_", 3)
        found = self._find(aws, zone, name, type_, identifier[0] if identifier else None)
        return None if found is None else {"zoneId": zone, **_properties(found, name)}

    def delete(self, aws: Aws, id: str, state: Properties) -> None:
        zone, name, type_, *identifier = id.split("_", 3)
        found = self._find(aws, zone, name, type_, identifier[0] if identifier else None)
        if found is not None:
            self._change(aws, "DELETE", zone, found)

    def _find(self, aws: Aws, zone: str, name: str, type_: str, identifier: str | None) -> dict[str, Any] | None:
        sets = aws.route53.list_resource_record_sets(HostedZoneId=zone, StartRecordName=name, StartRecordType=type_)[
            "ResourceRecordSets"
        ]
        for item in sets:
            named = item["Name"].rstrip(".") == name.rstrip(".") and item["Type"] == type_
            if named and item.get("SetIdentifier") == identifier:
                return dict(item)
        return None

    def _change(self, aws: Aws, action: str, zone: str, record_set: dict[str, Any]) -> None:
        changes = [{"Action": action, "ResourceRecordSet": record_set}]
        aws.route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})


def _record_set(want: Properties) -> dict[str, Any]:
    record: dict[str, Any] = {"Name": want["name"], "Type": want["type"]}
    names = {"ttl": "TTL", "setIdentifier": "SetIdentifier", "healthCheckId": "HealthCheckId"}
    record |= {names[name]: want[name] for name in names if name in want}
    if "records" in want:
        record["ResourceRecords"] = [{"Value": value} for value in want["records"]]
    if "aliases" in want:
        alias = want["aliases"][0]
        record["AliasTarget"] = {
            "DNSName": alias["name"],
            "HostedZoneId": alias["zoneId"],
            "EvaluateTargetHealth": alias["evaluateTargetHealth"],
        }
    if "failoverRoutingPolicies" in want:
        record["Failover"] = want["failoverRoutingPolicies"][0]["type"]
    return record


def _properties(record: dict[str, Any], name: str) -> Properties:
    alias = record.get("AliasTarget")
    return {
        "name": name,
        "fqdn": record["Name"].rstrip("."),
        "type": record["Type"],
        "ttl": None if alias else record.get("TTL"),
        "records": [item["Value"] for item in record.get("ResourceRecords", [])] or None,
        "setIdentifier": record.get("SetIdentifier"),
        "healthCheckId": record.get("HealthCheckId"),
        "failoverRoutingPolicies": [{"type": record["Failover"]}] if "Failover" in record else None,
        "aliases": [
            {
                "name": alias["DNSName"].rstrip("."),
                "zoneId": alias["HostedZoneId"],
                "evaluateTargetHealth": alias["EvaluateTargetHealth"],
            }
        ]
        if alias
        else None,
    }
