"""EC2's network: VPC, subnets, gateways, routes, addresses, endpoints."""

import json
from typing import Any, ClassVar

from rehearsal.provider.aws import Aws
from rehearsal.provider.resource import Resource, tag_list, tag_map
from rehearsal.provider.values import Properties


class Ec2Resource(Resource):
    """What EC2 tags with one call and describes by id."""

    tag_type: ClassVar[str]

    def tags(self, want: Properties) -> list[dict[str, Any]]:
        """Tags to give at creation."""
        tags = tag_list(want.get("tags"))
        return [{"ResourceType": self.tag_type, "Tags": tags}] if tags else []

    def update(self, aws: Aws, id: str, old: Properties, new: Properties) -> None:
        """Changes tags, then whatever else the type can change in place."""
        retag(aws, id, old.get("tags", {}), new.get("tags", {}))
        rest = self.changed(old, new) - {name for name in self.changed(old, new) if name.startswith("tags")}
        if rest:
            self.modify(aws, id, new, rest)

    def modify(self, aws: Aws, id: str, new: Properties, changed: frozenset[str]) -> None:
        """Carries out changes of other inputs than tags."""
        raise NotImplementedError(f"{self.kind}: {', '.join(sorted(changed))} cannot be changed here")


def retag(aws: Aws, id: str, old: dict[str, str], new: dict[str, str]) -> None:
    """Makes the tags that Pulumi gave before what it wants now; others stay."""
    if gone := sorted(set(old) - set(new)):
        aws.ec2.delete_tags(Resources=[id], Tags=[{"Key": key} for key in gone])
    if fresh := {key: value for key, value in new.items() if old.get(key) != value}:
        aws.ec2.create_tags(Resources=[id], Tags=tag_list(fresh))


class Vpc(Ec2Resource):
    kind = "aws:ec2/vpc:Vpc"
    tag_type = "vpc"
    handles = frozenset({"cidrBlock", "enableDnsHostnames", "enableDnsSupport", "tags"})
    needs = frozenset({"cidrBlock"})
    replaces = frozenset({"cidrBlock"})

    def create(self, aws: Aws, want: Properties) -> str:
        made = aws.ec2.create_vpc(CidrBlock=want["cidrBlock"], TagSpecifications=self.tags(want))
        return str(made["Vpc"]["VpcId"])

    def settle(self, aws: Aws, id: str, want: Properties) -> None:
        self.modify(aws, id, want, frozenset(want))

    def modify(self, aws: Aws, id: str, new: Properties, changed: frozenset[str]) -> None:
        for name in ("enableDnsSupport", "enableDnsHostnames"):
            if name in changed:
                value = {"Value": new.get(name, name == "enableDnsSupport")}
                aws.ec2.modify_vpc_attribute(VpcId=id, **{name[0].upper() + name[1:]: value})

    def observe(self, aws: Aws, id: str, known: Properties) -> Properties:
        vpc = aws.ec2.describe_vpcs(VpcIds=[id])["Vpcs"][0]
        return {
            "cidrBlock": vpc["CidrBlock"],
            "tags": tag_map(vpc.get("Tags")),
            "arn": f"arn:aws:ec2:{aws.region}:{vpc['OwnerId']}:vpc/{id}",
            "enableDnsHostnames": self._attribute(aws, id, "enableDnsHostnames"),
            "enableDnsSupport": self._attribute(aws, id, "enableDnsSupport"),
        }

    def _attribute(self, aws: Aws, id: str, name: str) -> bool:
        answer = aws.ec2.describe_vpc_attribute(VpcId=id, Attribute=name)
        return bool(answer[name[0].upper() + name[1:]]["Value"])

    def delete(self, aws: Aws, id: str, state: Properties) -> None:
        aws.ec2.delete_vpc(VpcId=id)


class Subnet(Ec2Resource):
    kind = "aws:ec2/subnet:Subnet"
    tag_type = "subnet"
    handles = frozenset({"vpcId", "availabilityZone", "cidrBlock", "mapPublicIpOnLaunch", "tags"})
    needs = frozenset({"cidrBlock", "availabilityZone"})
    replaces = frozenset({"vpcId", "availabilityZone", "cidrBlock"})

    def create(self, aws: Aws, want: Properties) -> str:
        made = aws.ec2.create_subnet(
            VpcId=want["vpcId"],
            CidrBlock=want["cidrBlock"],
            AvailabilityZone=want["availabilityZone"],
            TagSpecifications=self.tags(want),
        )
        return str(made["Subnet"]["SubnetId"])

    def settle(self, aws: Aws, id: str, want: Properties) -> None:
        if "mapPublicIpOnLaunch" in want:
            self.modify(aws, id, want, frozenset({"mapPublicIpOnLaunch"}))

    def modify(self, aws: Aws, id: str, new: Properties, changed: frozenset[str]) -> None:
        value = bool(new.get("mapPublicIpOnLaunch"))
        aws.ec2.modify_subnet_attribute(SubnetId=id, MapPublicIpOnLaunch={"Value": value})

    def observe(self, aws: Aws, id: str, known: Properties) -> Properties:
        subnet = aws.ec2.describe_subnets(SubnetIds=[id])["Subnets"][0]
        return {
            "vpcId": subnet["VpcId"],
            "cidrBlock": subnet["CidrBlock"],
            "availabilityZone": subnet["AvailabilityZone"],
            "mapPublicIpOnLaunch": subnet["MapPublicIpOnLaunch"],
            "tags": tag_map(subnet.get("Tags")),
            "arn": subnet.get("SubnetArn"),
        }

    def delete(self, aws: Aws, id: str, state: Properties) -> None:
        aws.ec2.delete_subnet(SubnetId=id)


class InternetGateway(Ec2Resource):
    kind = "aws:ec2/internetGateway:InternetGateway"
    tag_type = "internet-gateway"
    handles = frozenset({"vpcId", "tags"})
    needs = frozenset({"vpcId"})
    replaces = frozenset({"vpcId"})

    def create(self, aws: Aws, want: Properties) -> str:
        made = aws.ec2.create_internet_gateway(TagSpecifications=self.tags(want))
        return str(made["InternetGateway"]["InternetGatewayId"])

    def settle(self, aws: Aws, id: str, want: Properties) -> None:
        aws.ec2.attach_internet_gateway(InternetGatewayId=id, VpcId=want["vpcId"])

    def observe(self, aws: Aws, id: str, known: Properties) -> Properties:
        gateway = aws.ec2.describe_internet_gateways(InternetGatewayIds=[id])["InternetGateways"][0]
        attached = gateway.get("Attachments") or [{}]
        return {"vpcId": attached[0].get("VpcId"), "tags": tag_map(gateway.get("Tags"))}

    def delete(self, aws: Aws, id: str, state: Properties) -> None:
        aws.ec2.detach_internet_gateway(InternetGatewayId=id, VpcId=state["vpcId"])
        aws.ec2.delete_internet_gateway(InternetGatewayId=id)


class Eip(Ec2Resource):
    kind = "aws:ec2/eip:Eip"
    tag_type = "elastic-ip"
    handles = frozenset({"domain", "tags"})
    replaces = frozenset({"domain"})

    def create(self, aws: Aws, want: Properties) -> str:
        made = aws.ec2.allocate_address(Domain=want.get("domain", "vpc"), TagSpecifications=self.tags(want))
        return str(made["AllocationId"])

    def observe(self, aws: Aws, id: str, known: Properties) -> Properties:
        address = aws.ec2.describe_addresses(AllocationIds=[id])["Addresses"][0]
        return {
            "allocationId": id,
            "domain": address["Domain"],
            "publicIp": address["PublicIp"],
            "tags": tag_map(address.get("Tags")),
        }

    def delete(self, aws: Aws, id: str, state: Properties) -> None:
        aws.ec2.release_address(AllocationId=id)


class EipAssociation(Resource):
    kind = "aws:ec2/eipAssociation:EipAssociation"
    handles = frozenset({"allocationId", "instanceId"})
    needs = handles
    replaces = handles

    def create(self, aws: Aws, want: Properties) -> str:
        made = aws.ec2.associate_address(AllocationId=want["allocationId"], InstanceId=want["instanceId"])
        return str(made["AssociationId"])

    def observe(self, aws: Aws, id: str, known: Properties) -> Properties | None:
        found = aws.ec2.describe_addresses(Filters=[{"Name": "association-id", "Values": [id]}])["Addresses"]
        if not found:
            return None
        return {
            "allocationId": found[0]["AllocationId"],
            "instanceId": found[0].get("InstanceId"),
            "publicIp": found[0]["PublicIp"],
            "networkInterfaceId": found[0].get("NetworkInterfaceId"),
            "privateIpAddress": found[0].get("PrivateIpAddress"),
        }

    def delete(self, aws: Aws, id: str, state: Properties) -> None:
        aws.ec2.disassociate_address(AssociationId=id)


class NatGateway(Ec2Resource):
    kind = "aws:ec2/natGateway:NatGateway"
    tag_type = "natgateway"
    handles = frozenset({"allocationId", "subnetId", "connectivityType", "tags"})
    needs = frozenset({"allocationId", "subnetId"})
    replaces = frozenset({"allocationId", "subnetId", "connectivityType"})

    def create(self, aws: Aws, want: Properties) -> str:
        made = aws.ec2.create_nat_gateway(
            AllocationId=want["allocationId"],
            SubnetId=want["subnetId"],
            ConnectivityType=want.get("connectivityType", "public"),
            TagSpecifications=self.tags(want),
        )
        return str(made["NatGateway"]["NatGatewayId"])

    def settle(self, aws: Aws, id: str, want: Properties) -> None:
        aws.wait(f"NAT gateway {id} available", lambda: self._state(aws, id) == "available")

    def observe(self, aws: Aws, id: str, known: Properties) -> Properties | None:
        gateway = aws.ec2.describe_nat_gateways(NatGatewayIds=[id])["NatGateways"][0]
        if gateway["State"] in ("deleted", "deleting"):
            return None
        address = (gateway.get("NatGatewayAddresses") or [{}])[0]
        return {
            "subnetId": gateway["SubnetId"],
            "allocationId": address.get("AllocationId"),
            "connectivityType": gateway.get("ConnectivityType"),
            "publicIp": address.get("PublicIp"),
            "privateIp": address.get("PrivateIp"),
            "tags": tag_map(gateway.get("Tags")),
        }

    def delete(self, aws: Aws, id: str, state: Properties) -> None:
        aws.ec2.delete_nat_gateway(NatGatewayId=id)
        aws.wait(f"NAT gateway {id} deleted", lambda: self._state(aws, id) == "deleted")

    def _state(self, aws: Aws, id: str) -> str:
        found = aws.ec2.describe_nat_gateways(Filters=[{"Name": "nat-gateway-id", "Values": [id]}])
        return str(found["NatGateways"][0]["State"]) if found["NatGateways"] else "deleted"


class RouteTable(Ec2Resource):
    kind = "aws:ec2/routeTable:RouteTable"
    tag_type = "route-table"
    handles = frozenset({"vpcId", "tags"})
    replaces = frozenset({"vpcId"})

    def create(self, aws: Aws, want: Properties) -> str:
        made = aws.ec2.create_route_table(VpcId=want["vpcId"], TagSpecifications=self.tags(want))
        return str(made["RouteTable"]["RouteTableId"])

    def observe(self, aws: Aws, id: str, known: Properties) -> Properties:
        table = aws.ec2.describe_route_tables(RouteTableIds=[id])["RouteTables"][0]
        return {"vpcId": table["VpcId"], "tags": tag_map(table.get("Tags"))}

    def delete(self, aws: Aws, id: str, state: Properties) -> None:
        aws.ec2.delete_route_table(RouteTableId=id)


class Route(Resource):
    """A route; its id is `<table>_<destination>`."""

    kind = "aws:ec2/route:Route"
    handles = frozenset({"routeTableId", "destinationCidrBlock", "gatewayId", "natGatewayId"})
    needs = frozenset({"destinationCidrBlock"})
    is_known = True
    replaces = frozenset({"routeTableId", "destinationCidrBlock"})

    def create(self, aws: Aws, want: Properties) -> str:
        aws.ec2.create_route(**self._call(want))
        return f"{want['routeTableId']}_{want['destinationCidrBlock']}"

    def update(self, aws: Aws, id: str, old: Properties, new: Properties) -> None:
        aws.ec2.replace_route(**self._call(new))

    def observe(self, aws: Aws, id: str, known: Properties) -> Properties | None:
        table, _, destination = id.partition("_")
        routes = aws.ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Routes"]
        for route in routes:
            if route.get("DestinationCidrBlock") == destination:
                return {
                    "routeTableId": table,
                    "destinationCidrBlock": destination,
                    "gatewayId": route.get("GatewayId"),
                    "natGatewayId": route.get("NatGatewayId"),
                }
        return None

    def delete(self, aws: Aws, id: str, state: Properties) -> None:
        table, _, destination = id.partition("_")
        aws.ec2.delete_route(RouteTableId=table, DestinationCidrBlock=destination)

    def _call(self, want: Properties) -> dict[str, str]:
        call = {"RouteTableId": want["routeTableId"], "DestinationCidrBlock": want["destinationCidrBlock"]}
        targets = {"gatewayId": "GatewayId", "natGatewayId": "NatGatewayId"}
        return call | {targets[name]: want[name] for name in targets if name in want}


class RouteTableAssociation(Resource):
    kind = "aws:ec2/routeTableAssociation:RouteTableAssociation"
    handles = frozenset({"routeTableId", "subnetId"})
    needs = frozenset({"subnetId"})
    is_known = True
    replaces = frozenset({"subnetId", "routeTableId"})

    def create(self, aws: Aws, want: Properties) -> str:
        made = aws.ec2.associate_route_table(RouteTableId=want["routeTableId"], SubnetId=want["subnetId"])
        return str(made["AssociationId"])

    def observe(self, aws: Aws, id: str, known: Properties) -> Properties | None:
        filters = [{"Name": "association.route-table-association-id", "Values": [id]}]
        for table in aws.ec2.describe_route_tables(Filters=filters)["RouteTables"]:
            for association in table["Associations"]:
                if association["RouteTableAssociationId"] == id:
                    return {"routeTableId": table["RouteTableId"], "subnetId": association["SubnetId"]}
        return None

    def delete(self, aws: Aws, id: str, state: Properties) -> None:
        aws.ec2.disassociate_route_table(AssociationId=id)


class VpcEndpoint(Ec2Resource):
    kind = "aws:ec2/vpcEndpoint:VpcEndpoint"
    tag_type = "vpc-endpoint"
    handles = frozenset({"vpcId", "serviceName", "vpcEndpointType", "routeTableIds", "policy", "tags"})
    needs = frozenset({"serviceName"})
    replaces = frozenset({"vpcId", "serviceName", "vpcEndpointType"})

    def create(self, aws: Aws, want: Properties) -> str:
        extra = {"PolicyDocument": want["policy"]} if "policy" in want else {}
        made = aws.ec2.create_vpc_endpoint(
            VpcId=want["vpcId"],
            ServiceName=want["serviceName"],
            VpcEndpointType=want.get("vpcEndpointType", "Gateway"),
            RouteTableIds=want.get("routeTableIds", []),
            TagSpecifications=self.tags(want),
            **extra,
        )
        return str(made["VpcEndpoint"]["VpcEndpointId"])

    def modify(self, aws: Aws, id: str, new: Properties, changed: frozenset[str]) -> None:
        seen = set(aws.ec2.describe_vpc_endpoints(VpcEndpointIds=[id])["VpcEndpoints"][0]["RouteTableIds"])
        want = set(new.get("routeTableIds", []))
        extra = {"PolicyDocument": new["policy"]} if "policy" in changed else {}
        aws.ec2.modify_vpc_endpoint(
            VpcEndpointId=id,
            AddRouteTableIds=sorted(want - seen),
            RemoveRouteTableIds=sorted(seen - want),
            **extra,
        )

    def observe(self, aws: Aws, id: str, known: Properties) -> Properties | None:
        endpoint = aws.ec2.describe_vpc_endpoints(VpcEndpointIds=[id])["VpcEndpoints"][0]
        if endpoint.get("State") in ("deleted", "deleting"):
            return None
        return {
            "vpcId": endpoint["VpcId"],
            "serviceName": endpoint["ServiceName"],
            "vpcEndpointType": endpoint["VpcEndpointType"],
            "routeTableIds": endpoint.get("RouteTableIds", []),
            "policy": same_document(known.get("policy"), endpoint.get("PolicyDocument")),
            "state": endpoint.get("State"),
            "tags": tag_map(endpoint.get("Tags")),
        }

    def delete(self, aws: Aws, id: str, state: Properties) -> None:
        aws.ec2.delete_vpc_endpoints(VpcEndpointIds=[id])


def same_document(known: str | None, seen: str | dict[str, Any] | None) -> str | None:
    """The JSON document seen, spelled as it is known where both mean the same."""
    if seen is None:
        return None
    document = json.loads(seen) if isinstance(seen, str) else seen
    if known is not None and json.loads(known) == document:
        return known
    return json.dumps(document)
