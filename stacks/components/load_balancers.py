"""The public load balancer: a fixed address in each az, before the public agents."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_aws import ec2, lb

PORT = 80
NAME_LENGTH = 32  # of load balancers and target groups (ELB API reference)


@dataclass(frozen=True, kw_only=True)
class LoadBalancerArgs:
    """What the load balancer is made from."""

    vpc_id: pulumi.Input[str]
    subnet_ids: Mapping[str, pulumi.Input[str]]  # public ones, by az
    security_group_id: pulumi.Input[str]


class PublicLoadBalancer(pulumi.ComponentResource):
    """Stands on standby too, so that names and addresses are there before the hosts are."""

    dns_name: pulumi.Output[str]
    dns_zone_id: pulumi.Output[str]
    target_group_arn: pulumi.Output[str]

    def __init__(self, name: str, args: LoadBalancerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("rekindle:load_balancers:PublicLoadBalancer", name, None, opts)
        self._name = f"{name}-public"
        self._child = pulumi.ResourceOptions(parent=self)
        balancer = self._balancer(args)
        group = self._target_group(args.vpc_id)
        lb.Listener(
            f"{self._name}-{PORT}",
            load_balancer_arn=balancer.arn,
            port=PORT,
            protocol="TCP",
            default_actions=[{"type": "forward", "target_group_arn": group.arn}],
            tags={"Name": self._name},
            opts=self._child,
        )
        self.dns_name = balancer.dns_name
        self.dns_zone_id = balancer.zone_id
        self.target_group_arn = group.arn
        self.register_outputs({"dns_name": self.dns_name})

    def _balancer(self, args: LoadBalancerArgs) -> lb.LoadBalancer:
        addresses = {az: self._address(az) for az in args.subnet_ids}
        return lb.LoadBalancer(
            self._name,
            name=self._name[:NAME_LENGTH],
            load_balancer_type="network",
            internal=False,
            enable_cross_zone_load_balancing=True,
            security_groups=[args.security_group_id],
            subnet_mappings=[
                {"subnet_id": subnet, "allocation_id": addresses[az].allocation_id}
                for az, subnet in args.subnet_ids.items()
            ],
            tags={"Name": self._name},
            opts=self._child,
        )

    def _address(self, az: str) -> ec2.Eip:
        name = f"{self._name}-{az}"
        return ec2.Eip(name, domain="vpc", tags={"Name": name}, opts=self._child)

    def _target_group(self, vpc_id: pulumi.Input[str]) -> lb.TargetGroup:
        return lb.TargetGroup(
            self._name,
            name=self._name[:NAME_LENGTH],
            port=PORT,
            protocol="TCP",
            target_type="instance",
            vpc_id=vpc_id,
            deregistration_delay=30,
            health_check={
                "protocol": "TCP",
                "port": str(PORT),
                "interval": 10,
                "healthy_threshold": 2,
                "unhealthy_threshold": 2,
            },
            tags={"Name": self._name},
            opts=self._child,
        )
