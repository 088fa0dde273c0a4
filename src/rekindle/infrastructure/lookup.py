"""Finds, by its tags or its name, what a creation made whose end nobody saw."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from rekindle.aws.clients import Client, Clients
from rekindle.aws.errors import is_code, translated
from rekindle.errors import CommandFailed, Refused
from rekindle.infrastructure.events import name_of
from rekindle.infrastructure.pending import Pending

GONE = frozenset({"terminated", "shutting-down", "deleting", "deleted", "failed"})
ABSENT = ("InvalidInstanceID.NotFound", "InvalidVolume.NotFound", "NatGatewayNotFound")
URN_TAG = "rekindle:urn"

Ids: TypeAlias = list[str]


@dataclass(frozen=True)
class Lookup:
    """Looks in one region (IAM and Route 53 have none) for what an open creation made."""

    clients: Clients
    region: str
    finders: Mapping[str, Callable[["Lookup", Pending], Ids]] = field(default_factory=lambda: FINDERS)

    def __call__(self, creation: Pending) -> str | None:
        """The id that Pulumi knows it by; None if it made nothing.

        Refused when more than one thing answers to the same tags, or when nothing says how to look.
        """
        finder = self.finders.get(creation.type)
        if finder is None:
            raise Refused(
                f"the creation of {name_of(creation.urn)} was cut short, and whether it succeeded cannot be found out",
                next_step="Look for it in AWS, then settle it with `pulumi refresh`, which asks about it.",
            )
        found = finder(self, creation)
        if len(found) > 1:
            raise Refused(
                f"{name_of(creation.urn)} exists more than once: {', '.join(found)}",
                where=f"AWS in {self.region}",
                next_step="Delete those that nothing uses, then run the same command again.",
            )
        return found[0] if found else None

    def of(self, service: str) -> Client:
        return self.clients.of(service, self.region)


def by_tags(kind: str) -> Callable[[Lookup, Pending], Ids]:
    """Finds an EC2 resource (`kind` as DescribeTags names it) that has all tags of the creation."""

    def find(look: Lookup, creation: Pending) -> Ids:
        client, tags = look.of("ec2"), tags_of(creation)
        if not tags:
            return []
        having = [_having(client, kind, key, value) for key, value in tags.items()]
        return [found for found in sorted(set.intersection(*having)) if _is_there(client, kind, found)]

    return find


def _having(client: Client, kind: str, key: str, value: str) -> set[str]:
    filters = [("resource-type", kind), ("key", key), ("value", value)]
    with translated(client):
        pages = client.get_paginator("describe_tags").paginate(
            Filters=[{"Name": name, "Values": [wanted]} for name, wanted in filters]
        )
        return {tag["ResourceId"] for page in pages for tag in page["Tags"]}


def _is_there(client: Client, kind: str, found: str) -> bool:
    """Whether it is more than the memory of something gone, which keeps its tags for an hour."""
    call, states = STATES.get(kind, (None, None))
    if call is None or states is None:
        return True
    argument, read = states
    try:
        with translated(client):
            return read(getattr(client, call)(**{argument: [found]})) not in GONE
    except CommandFailed as error:
        if is_code(error, *ABSENT):
            return False
        raise


def tags_of(creation: Pending) -> dict[str, str]:
    """The tags that it was to get; the one that holds its URN alone, where there is one."""
    every = [creation.inputs.get(key) for key in ("tagsAll", "tags")]
    tags = {k: v for some in every if isinstance(some, dict) for k, v in some.items() if isinstance(v, str)}
    return {URN_TAG: tags[URN_TAG]} if URN_TAG in tags else tags


def _input(creation: Pending, key: str) -> str:
    """What it was to be made with; Refused if the state does not say it in the clear."""
    value = creation.inputs.get(key)
    if isinstance(value, str | int | float):
        return str(value)
    raise Refused(
        f"the creation of {name_of(creation.urn)} was cut short, and its {key} is not known, by which to look for it",
        next_step="Look for it in AWS, then settle it with `pulumi refresh`, which asks about it.",
    )


def by_name(
    service: str, call: str, argument: str, read: Callable[[Any], Iterable[str]], absent: str, key: str = "name"
) -> Callable[[Lookup, Pending], Ids]:
    """Finds what has a name of its own; `argument` of `call` takes it, `absent` is the code for none."""

    def find(look: Lookup, creation: Pending) -> Ids:
        if creation.inputs.get(key) is None:
            return []
        name, client = _input(creation, key), look.of(service)
        value = [name] if argument.endswith("s") else name
        try:
            with translated(client):
                return list(read(getattr(client, call)(**{argument: value})))
        except CommandFailed as error:
            if is_code(error, absent):
                return []
            raise

    return find


def bucket(look: Lookup, creation: Pending) -> Ids:
    """Finds a bucket of ours by its name."""
    name, client = _input(creation, "bucket"), look.of("s3")
    with translated(client):
        return [name] if name in {b["Name"] for b in client.list_buckets()["Buckets"]} else []


def listener(look: Lookup, creation: Pending) -> Ids:
    """Finds a listener by its balancer and port."""
    client, balancer, port = look.of("elbv2"), _input(creation, "loadBalancerArn"), _input(creation, "port")
    with translated(client):
        found = client.describe_listeners(LoadBalancerArn=balancer)["Listeners"]
    return [item["ListenerArn"] for item in found if str(item["Port"]) == port.removesuffix(".0")]


def route(look: Lookup, creation: Pending) -> Ids:
    """Finds a route by its table and destination, which are its id."""
    table, destination = _input(creation, "routeTableId"), _input(creation, "destinationCidrBlock")
    filters = {"route.destination-cidr-block": destination}
    return [f"{table}_{destination}" for found in _route_tables(look, table, filters) if found]


def route_table_association(look: Lookup, creation: Pending) -> Ids:
    """Finds the association of a subnet with its table."""
    table, subnet = _input(creation, "routeTableId"), _input(creation, "subnetId")
    found = _route_tables(look, table, {"association.subnet-id": subnet})
    associations = [a for each in found for a in each["Associations"] if a.get("SubnetId") == subnet]
    return [a["RouteTableAssociationId"] for a in associations]


def _route_tables(look: Lookup, table: str, filters: Mapping[str, str]) -> Any:
    client = look.of("ec2")
    with translated(client):
        return client.describe_route_tables(
            RouteTableIds=[table], Filters=[{"Name": name, "Values": [value]} for name, value in filters.items()]
        )["RouteTables"]


def kms_key(look: Lookup, creation: Pending) -> Ids:
    """Finds a key by its tags, one after the other: KMS has no filter."""
    client, wanted = look.of("kms"), tags_of(creation)
    with translated(client):
        keys = [k["KeyId"] for page in client.get_paginator("list_keys").paginate() for k in page["Keys"]]
        tags = {key: client.list_resource_tags(KeyId=key)["Tags"] for key in keys}
    return [key for key, has in tags.items() if wanted.items() <= {t["TagKey"]: t["TagValue"] for t in has}.items()]


def nothing(look: Lookup, creation: Pending) -> Ids:
    """For what is set on another resource: making it again is no second one."""
    return []


def _instance_state(answer: Any) -> str:
    return str(answer["Reservations"][0]["Instances"][0]["State"]["Name"])


def _volume_state(answer: Any) -> str:
    return str(answer["Volumes"][0]["State"])


def _nat_state(answer: Any) -> str:
    return str(answer["NatGateways"][0]["State"])


STATES: Mapping[str, tuple[str, tuple[str, Callable[[Any], str]]]] = {
    "instance": ("describe_instances", ("InstanceIds", _instance_state)),
    "volume": ("describe_volumes", ("VolumeIds", _volume_state)),
    "natgateway": ("describe_nat_gateways", ("NatGatewayIds", _nat_state)),
}

_EC2 = {
    "aws:ec2/instance:Instance": "instance",
    "aws:ebs/volume:Volume": "volume",
    "aws:ec2/vpc:Vpc": "vpc",
    "aws:ec2/subnet:Subnet": "subnet",
    "aws:ec2/internetGateway:InternetGateway": "internet-gateway",
    "aws:ec2/natGateway:NatGateway": "natgateway",
    "aws:ec2/eip:Eip": "elastic-ip",
    "aws:ec2/routeTable:RouteTable": "route-table",
    "aws:ec2/securityGroup:SecurityGroup": "security-group",
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": "security-group-rule",
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": "security-group-rule",
    "aws:ec2/networkAcl:NetworkAcl": "network-acl",
    "aws:ec2/networkInterface:NetworkInterface": "network-interface",
    "aws:ec2/launchTemplate:LaunchTemplate": "launch-template",
    "aws:ec2/vpcEndpoint:VpcEndpoint": "vpc-endpoint",
    "aws:ec2/flowLog:FlowLog": "vpc-flow-log",
}

FINDERS: Mapping[str, Callable[[Lookup, Pending], Ids]] = {
    **{pulumi_type: by_tags(kind) for pulumi_type, kind in _EC2.items()},
    "aws:lb/loadBalancer:LoadBalancer": by_name(
        "elbv2", "describe_load_balancers", "Names",
        lambda a: (lb["LoadBalancerArn"] for lb in a["LoadBalancers"]), "LoadBalancerNotFound",
    ),
    "aws:lb/targetGroup:TargetGroup": by_name(
        "elbv2", "describe_target_groups", "Names",
        lambda a: (group["TargetGroupArn"] for group in a["TargetGroups"]), "TargetGroupNotFound",
    ),
    "aws:iam/role:Role": by_name("iam", "get_role", "RoleName", lambda a: [a["Role"]["RoleName"]], "NoSuchEntity"),
    "aws:iam/instanceProfile:InstanceProfile": by_name(
        "iam", "get_instance_profile", "InstanceProfileName",
        lambda a: [a["InstanceProfile"]["InstanceProfileName"]], "NoSuchEntity",
    ),
    "aws:ec2/keyPair:KeyPair": by_name(
        "ec2", "describe_key_pairs", "KeyNames",
        lambda a: (pair["KeyName"] for pair in a["KeyPairs"]), "InvalidKeyPair.NotFound", "keyName",
    ),
    "aws:lb/listener:Listener": listener,
    "aws:lb/targetGroupAttachment:TargetGroupAttachment": nothing,
    "aws:ec2/eipAssociation:EipAssociation": nothing,
    "aws:ec2/route:Route": route,
    "aws:ec2/routeTableAssociation:RouteTableAssociation": route_table_association,
    "aws:iam/rolePolicy:RolePolicy": nothing,
    "aws:kms/key:Key": kms_key,
    "aws:s3/bucket:Bucket": bucket,
}  # fmt: skip
