"""Every resource type that is built here, by its token."""

from typing import Final

from rehearsal.provider import (
    cloudwatch,
    iam,
    instances,
    kms,
    load_balancers,
    network,
    route53,
    s3,
    security_groups,
    volumes,
)
from rehearsal.provider.resource import Resource

TYPES: Final[dict[str, Resource]] = {
    each.kind: each()
    for each in (
        cloudwatch.MetricAlarm,
        iam.InstanceProfile,
        iam.Role,
        iam.RolePolicy,
        instances.Instance,
        instances.KeyPair,
        kms.Alias,
        kms.Key,
        load_balancers.Listener,
        load_balancers.LoadBalancer,
        load_balancers.TargetGroup,
        load_balancers.TargetGroupAttachment,
        network.Eip,
        network.EipAssociation,
        network.InternetGateway,
        network.NatGateway,
        network.Route,
        network.RouteTable,
        network.RouteTableAssociation,
        network.Subnet,
        network.Vpc,
        network.VpcEndpoint,
        route53.HealthCheck,
        route53.Record,
        route53.Zone,
        s3.Bucket,
        s3.BucketEncryption,
        s3.BucketPolicy,
        s3.BucketPublicAccessBlock,
        s3.BucketVersioning,
        security_groups.SecurityGroup,
        security_groups.SecurityGroupEgressRule,
        security_groups.SecurityGroupIngressRule,
        volumes.Volume,
    )
}
