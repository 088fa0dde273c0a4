"""Security groups and their rules, each rule a resource of its own."""

from typing import Any, ClassVar

from rehearsal.provider.aws import Aws
from rehearsal.provider.network import Ec2Resource
from rehearsal.provider.resource import tag_map
from rehearsal.provider.values import Properties

_EVERYTHING = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]


class SecurityGroup(Ec2Resource):
    """A group; as pulumi-aws does, it takes away the rule AWS adds that lets everything out."""

    kind = "aws:ec2/securityGroup:SecurityGroup"
    tag_type = "security-group"
    handles = frozenset({"name", "description", "vpcId", "tags", "revokeRulesOnDelete"})
    needs = frozenset({"name", "vpcId"})
    replaces = frozenset({"name", "description", "vpcId"})

    def create(self, aws: Aws, want: Properties) -> str:
        made = aws.ec2.create_security_group(
            GroupName=want["name"],
            Description=want.get("description", "Managed by Pulumi"),
            VpcId=want["vpcId"],
            TagSpecifications=self.tags(want),
        )
        return str(made["GroupId"])

    def settle(self, aws: Aws, id: str, want: Properties) -> None:
        aws.ec2.revoke_security_group_egress(GroupId=id, IpPermissions=_EVERYTHING)

    def modify(self, aws: Aws, id: str, new: Properties, changed: frozenset[str]) -> None:
        return None  # revokeRulesOnDelete says how to delete, not what is there

    def observe(self, aws: Aws, id: str, known: Properties) -> Properties:
        group = aws.ec2.describe_security_groups(GroupIds=[id])["SecurityGroups"][0]
        return {
            "name": group["GroupName"],
            "description": group["Description"],
            "vpcId": group["VpcId"],
            "ownerId": group["OwnerId"],
            "tags": tag_map(group.get("Tags")),
        }

    def delete(self, aws: Aws, id: str, state: Properties) -> None:
        aws.ec2.delete_security_group(GroupId=id)


class _Rule(Ec2Resource):
    tag_type = "security-group-rule"
    handles = frozenset(
        {
            "securityGroupId",
            "ipProtocol",
            "fromPort",
            "toPort",
            "cidrIpv4",
            "referencedSecurityGroupId",
            "description",
            "tags",
        }
    )
    replaces = frozenset({"securityGroupId"})
    is_known = True
    authorize: ClassVar[str]
    revoke: ClassVar[str]

    def create(self, aws: Aws, want: Properties) -> str:
        made = getattr(aws.ec2, self.authorize)(
            GroupId=want["securityGroupId"], IpPermissions=[_permission(want)], TagSpecifications=self.tags(want)
        )
        return str(made["SecurityGroupRules"][0]["SecurityGroupRuleId"])

    def modify(self, aws: Aws, id: str, new: Properties, changed: frozenset[str]) -> None:
        rule = {"SecurityGroupRuleId": id, "SecurityGroupRule": _flat(new)}
        aws.ec2.modify_security_group_rules(GroupId=new["securityGroupId"], SecurityGroupRules=[rule])

    def observe(self, aws: Aws, id: str, known: Properties) -> Properties | None:
        found = aws.ec2.describe_security_group_rules(SecurityGroupRuleIds=[id])["SecurityGroupRules"]
        rules = [rule for rule in found if rule["SecurityGroupRuleId"] == id]
        if not rules:
            return None
        rule = rules[0]
        referenced = (rule.get("ReferencedGroupInfo") or {}).get("GroupId")
        is_any = rule["IpProtocol"] == "-1"
        return {
            "securityGroupId": rule["GroupId"],
            "ipProtocol": rule["IpProtocol"],
            "fromPort": None if is_any else rule.get("FromPort"),
            "toPort": None if is_any else rule.get("ToPort"),
            "cidrIpv4": None if referenced else rule.get("CidrIpv4"),
            "referencedSecurityGroupId": referenced,
            "description": rule.get("Description"),
            "tags": tag_map(rule.get("Tags")) or known.get("tags"),
        }

    def delete(self, aws: Aws, id: str, state: Properties) -> None:
        getattr(aws.ec2, self.revoke)(GroupId=state["securityGroupId"], SecurityGroupRuleIds=[id])


class SecurityGroupIngressRule(_Rule):
    kind = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
    authorize = "authorize_security_group_ingress"
    revoke = "revoke_security_group_ingress"


class SecurityGroupEgressRule(_Rule):
    kind = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
    authorize = "authorize_security_group_egress"
    revoke = "revoke_security_group_egress"


def _permission(want: Properties) -> dict[str, Any]:
    note = {"Description": want["description"]} if "description" in want else {}
    permission: dict[str, Any] = {"IpProtocol": want["ipProtocol"]}
    if "fromPort" in want:
        permission |= {"FromPort": want["fromPort"], "ToPort": want["toPort"]}
    if "cidrIpv4" in want:
        permission["IpRanges"] = [{"CidrIp": want["cidrIpv4"], **note}]
    if "referencedSecurityGroupId" in want:
        permission["UserIdGroupPairs"] = [{"GroupId": want["referencedSecurityGroupId"], **note}]
    return permission


def _flat(want: Properties) -> dict[str, Any]:
    names = {
        "ipProtocol": "IpProtocol",
        "fromPort": "FromPort",
        "toPort": "ToPort",
        "cidrIpv4": "CidrIpv4",
        "referencedSecurityGroupId": "ReferencedGroupId",
        "description": "Description",
    }
    return {names[name]: want[name] for name in names if name in want}
