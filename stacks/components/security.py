"""Security groups: one for each role and for the load balancer, with rules from the table of flows alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

import pulumi
from pulumi_aws import ec2, vpc

from rekindle.environment import FLOWS, Flow, Origin
from rekindle.inventory import Role

ANYWHERE = "0.0.0.0/0"
GROUPS: tuple[Role | Origin, ...] = (*Role, Origin.LOAD_BALANCER)


@dataclass(frozen=True, kw_only=True)
class SecurityArgs:
    """What the security groups are made from."""

    vpc_id: pulumi.Input[str]
    operators: Sequence[IPv4Network]  # from where the bastion may be reached
    flows: Sequence[Flow] = FLOWS


class Security(pulumi.ComponentResource):
    """Who may open connections to whom; outwards all may, since what is not let in is not reached."""

    group_ids: dict[Role | Origin, pulumi.Output[str]]
    rules: list[pulumi.Resource]

    def __init__(self, name: str, args: SecurityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("rekindle:security:Security", name, None, opts)
        self._name = name
        self._args = args
        self._child = pulumi.ResourceOptions(parent=self)
        self.group_ids = {party: self._group(party) for party in GROUPS}
        self.rules = [self._outwards(party) for party in GROUPS]
        self.rules += [rule for flow in args.flows for rule in self._inwards(flow)]
        self.register_outputs({"group_ids": {str(party): id for party, id in self.group_ids.items()}})

    def _group(self, party: Role | Origin) -> pulumi.Output[str]:
        name = f"{self._name}-{party}".replace("_", "-")
        return ec2.SecurityGroup(
            name,
            name=name,
            description=f"{party} of {self._name}",
            vpc_id=self._args.vpc_id,
            tags={"Name": name},
            opts=self._child,
        ).id

    def _outwards(self, party: Role | Origin) -> pulumi.Resource:
        return vpc.SecurityGroupEgressRule(
            f"{self._name}-{party}-out",
            security_group_id=self.group_ids[party],
            ip_protocol="-1",
            cidr_ipv4=ANYWHERE,
            opts=self._child,
        )

    def _inwards(self, flow: Flow) -> Iterator[pulumi.Resource]:
        name = f"{self._name}-{rule_key(flow)}"
        if flow.source == Origin.OPERATORS:
            for network in self._args.operators:
                yield self._rule(f"{name}-{network}", flow, cidr_ipv4=str(network))
        elif flow.source == Origin.INTERNET:
            yield self._rule(name, flow, cidr_ipv4=ANYWHERE)
        else:
            yield self._rule(name, flow, referenced_security_group_id=self.group_ids[flow.source])

    def _rule(self, name: str, flow: Flow, **source: pulumi.Input[str]) -> pulumi.Resource:
        return vpc.SecurityGroupIngressRule(
            name,
            security_group_id=self.group_ids[flow.to],
            ip_protocol=flow.protocol,
            from_port=flow.ports[0],
            to_port=flow.ports[1],
            description=description(flow.why),
            opts=self._child,
            **source,
        )


def rule_key(flow: Flow) -> str:
    """ "master-from-bastion-tcp-22-22": stable, and one for each line of the table."""
    return f"{flow.to}-from-{flow.source}-{flow.protocol}-{flow.ports[0]}-{flow.ports[1]}"


def description(why: str) -> str:
    """Characters that AWS takes in a rule's description (EC2 API, IpRange): no apostrophe."""
    return why.replace("'", "")
