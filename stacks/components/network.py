"""VPC, subnets of three zones in each az, gateways, routes, and the way to S3."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Literal

import pulumi
from pulumi_aws import ec2

from rekindle.environment import Subnet

ANYWHERE = "0.0.0.0/0"


@dataclass(frozen=True, kw_only=True)
class NetworkArgs:
    """What the network is made from."""

    region: str
    cidr: IPv4Network
    subnets: Sequence[Subnet]
    nat_gateways: Literal["one", "each_az"]


class Network(pulumi.ComponentResource):
    """The public zone reaches the Internet, the private one by NAT, the admin zone by NAT too."""

    vpc_id: pulumi.Output[str]
    subnet_ids: dict[str, pulumi.Output[str]]  # by Subnet.name
    s3_endpoint_id: pulumi.Output[str]
    ready: list[pulumi.Resource]  # routes: hosts that need the way out wait for them

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("rekindle:network:Network", name, None, opts)
        self._name = name
        self._args = args
        self._child = pulumi.ResourceOptions(parent=self)
        self._vpc = ec2.Vpc(
            name,
            cidr_block=str(args.cidr),
            enable_dns_hostnames=True,
            enable_dns_support=True,
            tags={"Name": name},
            opts=self._child,
        )
        self.vpc_id = self._vpc.id
        self._subnets = {subnet.name: self._subnet(subnet) for subnet in args.subnets}
        self.subnet_ids = {key: subnet.id for key, subnet in self._subnets.items()}
        self.ready = []
        tables = self._route_tables()
        self.s3_endpoint_id = self._s3_endpoint(tables)
        self.register_outputs({"vpc_id": self.vpc_id, "subnet_ids": self.subnet_ids})

    def _subnet(self, subnet: Subnet) -> ec2.Subnet:
        return ec2.Subnet(
            f"{self._name}-{subnet.name}",
            vpc_id=self._vpc.id,
            availability_zone=subnet.az,
            cidr_block=str(subnet.cidr),
            map_public_ip_on_launch=False,
            tags={"Name": f"{self._name}-{subnet.name}", "zone": subnet.zone},
            opts=self._child,
        )

    def _route_tables(self) -> list[ec2.RouteTable]:
        """One table for the public zone, and one in each az for what is behind NAT."""
        gateway = ec2.InternetGateway(self._name, vpc_id=self._vpc.id, tags={"Name": self._name}, opts=self._child)
        public = self._table("public", [s for s in self._args.subnets if s.zone == "public"])
        self._route("public", public, gateway_id=gateway.id)
        azs = list(dict.fromkeys(subnet.az for subnet in self._args.subnets))
        gateways = {az: self._nat(az, gateway) for az in (azs if self._args.nat_gateways == "each_az" else azs[:1])}
        behind = []
        for az in azs:
            inner = [s for s in self._args.subnets if s.az == az and s.zone != "public"]
            table = self._table(f"inner-{az}", inner)
            self._route(f"inner-{az}", table, nat_gateway_id=gateways.get(az, gateways[azs[0]]).id)
            behind.append(table)
        return [public, *behind]

    def _nat(self, az: str, gateway: ec2.InternetGateway) -> ec2.NatGateway:
        name = f"{self._name}-nat-{az}"
        address = ec2.Eip(name, domain="vpc", tags={"Name": name}, opts=self._child)
        return ec2.NatGateway(
            name,
            allocation_id=address.allocation_id,
            subnet_id=self.subnet_ids[f"public-{az}"],
            tags={"Name": name},
            opts=pulumi.ResourceOptions(parent=self, depends_on=[gateway]),
        )

    def _table(self, key: str, subnets: Sequence[Subnet]) -> ec2.RouteTable:
        name = f"{self._name}-{key}"
        table = ec2.RouteTable(name, vpc_id=self._vpc.id, tags={"Name": name}, opts=self._child)
        for subnet in subnets:
            association = ec2.RouteTableAssociation(
                f"{self._name}-{subnet.name}",
                route_table_id=table.id,
                subnet_id=self.subnet_ids[subnet.name],
                opts=self._child,
            )
            self.ready.append(association)
        return table

    def _route(self, key: str, table: ec2.RouteTable, **target: pulumi.Input[str]) -> None:
        route = ec2.Route(
            f"{self._name}-{key}",
            route_table_id=table.id,
            destination_cidr_block=ANYWHERE,
            opts=self._child,
            **target,
        )
        self.ready.append(route)

    def _s3_endpoint(self, tables: Sequence[ec2.RouteTable]) -> pulumi.Output[str]:
        endpoint = ec2.VpcEndpoint(
            f"{self._name}-s3",
            vpc_id=self._vpc.id,
            service_name=f"com.amazonaws.{self._args.region}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=[table.id for table in tables],
            tags={"Name": f"{self._name}-s3"},
            opts=self._child,
        )
        self.ready.append(endpoint)
        return endpoint.id
