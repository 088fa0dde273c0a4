"""The environment's own name, which leads to its load balancer whoever is in force."""

from dataclasses import dataclass

import pulumi
from pulumi_aws import route53


@dataclass(frozen=True, kw_only=True)
class OwnNameArgs:
    """What the record is made from."""

    fqdn: pulumi.Input[str]
    dns_zone_id: pulumi.Input[str]
    target: pulumi.Input[str]
    target_zone_id: pulumi.Input[str]


class OwnName(pulumi.ComponentResource):
    """An alias that follows the load balancer's health; the foundation's failover records lead to it."""

    fqdn: pulumi.Output[str]

    def __init__(self, name: str, args: OwnNameArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("rekindle:own_name:OwnName", name, None, opts)
        record = route53.Record(
            f"{name}-own-name",
            zone_id=args.dns_zone_id,
            name=args.fqdn,
            type="A",
            aliases=[{"name": args.target, "zone_id": args.target_zone_id, "evaluate_target_health": True}],
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.fqdn = record.name
        self.register_outputs({"fqdn": self.fqdn})
