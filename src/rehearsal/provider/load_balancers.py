"""Network load balancers, target groups, their targets and listeners."""

from typing import Any

from rehearsal.provider.aws import Aws
from rehearsal.provider.resource import Resource, tag_list, tag_map
from rehearsal.provider.values import Properties

_CROSS_ZONE = "load_balancing.cross_zone.enabled"


class _Tagged(Resource):
    def _retag(self, aws: Aws, id: str, old: Properties, new: Properties) -> None:
        before, after = old.get("tags", {}), new.get("tags", {})
        if gone := sorted(set(before) - set(after)):
            aws.elb.remove_tags(ResourceArns=[id], TagKeys=gone)
        if fresh := {key: value for key, value in after.items() if before.get(key) != value}:
            aws.elb.add_tags(ResourceArns=[id], Tags=tag_list(fresh))

    def _tags(self, aws: Aws, id: str) -> dict[str, str]:
        return tag_map(aws.elb.describe_tags(ResourceArns=[id])["TagDescriptions"][0]["Tags"])


class LoadBalancer(_Tagged):
    kind = "aws:lb/loadBalancer:LoadBalancer"
    handles = frozenset(
        {
            "name",
            "internal",
            "loadBalancerType",
            "securityGroups",
            "subnetMappings",
            "enableCrossZoneLoadBalancing",
            "tags",
        }
    )
    needs = frozenset({"name", "loadBalancerType", "subnetMappings"})
    replaces = frozenset({"name", "internal", "loadBalancerType", "subnetMappings"})

    def create(self, aws: Aws, want: Properties) -> str:
        made = aws.elb.create_load_balancer(
            Name=want["name"],
            Type=want["loadBalancerType"],
            Scheme="internal" if want.get("internal") else "internet-facing",
            SubnetMappings=[_mapping(item) for item in want["subnetMappings"]],
            SecurityGroups=want.get("securityGroups", []),
            **_tagging(want),
        )
        return str(made["LoadBalancers"][0]["LoadBalancerArn"])

    def settle(self, aws: Aws, id: str, want: Properties) -> None:
        if "enableCrossZoneLoadBalancing" in want:
            self._set_cross_zone(aws, id, want)
        aws.wait(f"load balancer {want['name']} active", lambda: self._state(aws, id) == "active")

    def update(self, aws: Aws, id: str, old: Properties, new: Properties) -> None:
        self._retag(aws, id, old, new)
        changed = self.changed(old, new)
        if "securityGroups" in changed:
            aws.elb.set_security_groups(LoadBalancerArn=id, SecurityGroups=new["securityGroups"])
        if "enableCrossZoneLoadBalancing" in changed:
            self._set_cross_zone(aws, id, new)

    def observe(self, aws: Aws, id: str, known: Properties) -> Properties:
        balancer = aws.elb.describe_load_balancers(LoadBalancerArns=[id])["LoadBalancers"][0]
        attributes = aws.elb.describe_load_balancer_attributes(LoadBalancerArn=id)["Attributes"]
        flags = {item["Key"]: item["Value"] for item in attributes}
        return {
            "name": balancer["LoadBalancerName"],
            "internal": balancer["Scheme"] == "internal",
            "loadBalancerType": balancer["Type"],
            "securityGroups": balancer.get("SecurityGroups", []),
            "subnetMappings": _mappings(balancer, known),
            "enableCrossZoneLoadBalancing": flags.get(_CROSS_ZONE) == "true",
            "tags": self._tags(aws, id),
            "arn": id,
            "arnSuffix": id.partition("loadbalancer/")[2],
            "dnsName": balancer["DNSName"],
            "zoneId": balancer["CanonicalHostedZoneId"],
            "vpcId": balancer["VpcId"],
        }

    def delete(self, aws: Aws, id: str, state: Properties) -> None:
        aws.elb.delete_load_balancer(LoadBalancerArn=id)

    def _set_cross_zone(self, aws: Aws, id: str, want: Properties) -> None:
        value = "true" if want.get("enableCrossZoneLoadBalancing") else "false"
        aws.elb.modify_load_balancer_attributes(LoadBalancerArn=id, Attributes=[{"Key": _CROSS_ZONE, "Value": value}])

    def _state(self, aws: Aws, id: str) -> str:
        balancer = aws.elb.describe_load_balancers(LoadBalancerArns=[id])["LoadBalancers"][0]
        return str(balancer.get("State", {}).get("Code", ""))


class TargetGroup(_Tagged):
    kind = "aws:lb/targetGroup:TargetGroup"
    handles = frozenset(
        {"name", "port", "protocol", "targetType", "vpcId", "healthCheck", "deregistrationDelay", "tags"}
    )
    needs = frozenset({"name", "port", "protocol", "vpcId"})
    replaces = frozenset({"name", "port", "protocol", "targetType", "vpcId"})

    def create(self, aws: Aws, want: Properties) -> str:
        made = aws.elb.create_target_group(
            Name=want["name"],
            Port=want["port"],
            Protocol=want["protocol"],
            TargetType=want.get("targetType", "instance"),
            VpcId=want["vpcId"],
            **_tagging(want),
            **_health(want.get("healthCheck", {})),
        )
        return str(made["TargetGroups"][0]["TargetGroupArn"])

    def settle(self, aws: Aws, id: str, want: Properties) -> None:
        if "deregistrationDelay" in want:
            self._set_delay(aws, id, want)

    def update(self, aws: Aws, id: str, old: Properties, new: Properties) -> None:
        self._retag(aws, id, old, new)
        changed = self.changed(old, new)
        if "healthCheck" in changed:
            aws.elb.modify_target_group(TargetGroupArn=id, **_health(new.get("healthCheck", {})))
        if "deregistrationDelay" in changed:
            self._set_delay(aws, id, new)

    def observe(self, aws: Aws, id: str, known: Properties) -> Properties:
        group = aws.elb.describe_target_groups(TargetGroupArns=[id])["TargetGroups"][0]
        attributes = aws.elb.describe_target_group_attributes(TargetGroupArn=id)["Attributes"]
        delay = next((a["Value"] for a in attributes if a["Key"] == "deregistration_delay.timeout_seconds"), None)
        return {
            "name": group["TargetGroupName"],
            "port": group["Port"],
            "protocol": group["Protocol"],
            "targetType": group["TargetType"],
            "vpcId": group["VpcId"],
            "healthCheck": {name: group.get(key) for name, key in _HEALTH.items() if key in group},
            "deregistrationDelay": int(delay) if delay is not None else None,
            "tags": self._tags(aws, id),
            "arn": id,
        }

    def delete(self, aws: Aws, id: str, state: Properties) -> None:
        aws.elb.delete_target_group(TargetGroupArn=id)

    def _set_delay(self, aws: Aws, id: str, want: Properties) -> None:
        item = {"Key": "deregistration_delay.timeout_seconds", "Value": str(want.get("deregistrationDelay", 300))}
        aws.elb.modify_target_group_attributes(TargetGroupArn=id, Attributes=[item])


class TargetGroupAttachment(Resource):
    """One target; its id is `<target group>|<target>|<port>`."""

    kind = "aws:lb/targetGroupAttachment:TargetGroupAttachment"
    handles = frozenset({"targetGroupArn", "targetId", "port"})
    replaces = handles
    is_known = True

    def create(self, aws: Aws, want: Properties) -> str:
        aws.elb.register_targets(TargetGroupArn=want["targetGroupArn"], Targets=[_target(want)])
        return f"{want['targetGroupArn']}|{want['targetId']}|{want.get('port', '')}"

    def observe(self, aws: Aws, id: str, known: Properties) -> Properties | None:
        group, target, port = id.split("|")
        found = aws.elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        targets = [item["Target"] for item in found if item["Target"]["Id"] == target]
        if not any(port in {"", str(one["Port"])} for one in targets):
            return None
        return {"targetGroupArn": group, "targetId": target, "port": int(port) if port else None}

    def delete(self, aws: Aws, id: str, state: Properties) -> None:
        aws.elb.deregister_targets(TargetGroupArn=state["targetGroupArn"], Targets=[_target(state)])


class Listener(_Tagged):
    kind = "aws:lb/listener:Listener"
    handles = frozenset({"loadBalancerArn", "port", "protocol", "defaultActions", "tags"})
    needs = frozenset({"port", "protocol"})
    replaces = frozenset({"loadBalancerArn"})

    def create(self, aws: Aws, want: Properties) -> str:
        made = aws.elb.create_listener(
            LoadBalancerArn=want["loadBalancerArn"],
            Port=want["port"],
            Protocol=want["protocol"],
            DefaultActions=_actions(want),
            **_tagging(want),
        )
        return str(made["Listeners"][0]["ListenerArn"])

    def update(self, aws: Aws, id: str, old: Properties, new: Properties) -> None:
        self._retag(aws, id, old, new)
        aws.elb.modify_listener(
            ListenerArn=id, Port=new["port"], Protocol=new["protocol"], DefaultActions=_actions(new)
        )

    def observe(self, aws: Aws, id: str, known: Properties) -> Properties:
        listener = aws.elb.describe_listeners(ListenerArns=[id])["Listeners"][0]
        return {
            "loadBalancerArn": listener["LoadBalancerArn"],
            "port": listener["Port"],
            "protocol": listener["Protocol"],
            "defaultActions": [
                {"type": item["Type"], "targetGroupArn": item.get("TargetGroupArn")}
                for item in listener["DefaultActions"]
            ],
            "tags": self._tags(aws, id),
            "arn": id,
        }

    def delete(self, aws: Aws, id: str, state: Properties) -> None:
        aws.elb.delete_listener(ListenerArn=id)


_HEALTH = {
    "protocol": "HealthCheckProtocol",
    "port": "HealthCheckPort",
    "path": "HealthCheckPath",
    "interval": "HealthCheckIntervalSeconds",
    "timeout": "HealthCheckTimeoutSeconds",
    "healthyThreshold": "HealthyThresholdCount",
    "unhealthyThreshold": "UnhealthyThresholdCount",
}


def _tagging(want: Properties) -> dict[str, Any]:
    """What tells ELB the tags of something new; it takes no empty list."""
    return {"Tags": tag_list(want["tags"])} if want.get("tags") else {}


def _health(check: Properties) -> dict[str, Any]:
    return {_HEALTH[name]: check[name] for name in _HEALTH if name in check}


def _mapping(item: Properties) -> dict[str, str]:
    allocation = {"AllocationId": item["allocationId"]} if "allocationId" in item else {}
    return {"SubnetId": item["subnetId"], **allocation}


def _mappings(balancer: dict[str, Any], known: Properties) -> list[Properties]:
    """Subnets as told; an address as known where AWS's answer leaves it out, as moto's does."""
    given = {item["subnetId"]: item.get("allocationId") for item in known.get("subnetMappings", [])}
    seen = []
    for zone in balancer.get("AvailabilityZones", []):
        addresses = zone.get("LoadBalancerAddresses") or [{}]
        allocation = addresses[0].get("AllocationId") or given.get(zone["SubnetId"])
        seen.append({"subnetId": zone["SubnetId"]} | ({"allocationId": allocation} if allocation else {}))
    return seen


def _target(want: Properties) -> dict[str, Any]:
    return {"Id": want["targetId"], **({"Port": want["port"]} if "port" in want else {})}


def _actions(want: Properties) -> list[dict[str, str]]:
    return [{"Type": a["type"], "TargetGroupArn": a["targetGroupArn"]} for a in want["defaultActions"]]
