"""The foundation: what must outlive every environment, on the recovery side."""

from typing import Any

from components.buckets import PrivateBucket, PrivateBucketArgs
from components.iam import HostRoles, HostRolesArgs
from components.keys import Keys
from components.names import Names, NamesArgs, secondaries
from components.switch import AlarmSwitch, AlarmSwitchArgs, BucketSwitch, BucketSwitchArgs, Switch
from rekindle.environment import Foundation
from rekindle.inventory import Role

NAME = "foundation"


def build(settings: Foundation) -> dict[str, Any]:
    """Declares the foundation and returns the stack's outputs."""
    keys = Keys(NAME, settings.region)
    prefix = settings.bucket_prefix
    journal = PrivateBucket(
        f"{prefix}-journal",
        PrivateBucketArgs(
            bucket=f"{prefix}-journal",
            has_object_lock=True,
            kms_key_arn=keys.key_arn,
            is_create_only=True,
            keeps_all=True,
        ),
    )
    mirror = PrivateBucket(
        f"{prefix}-mirror",
        PrivateBucketArgs(bucket=f"{prefix}-mirror", is_create_only=True),  # by digest: what nobody needs may go
    )
    switch = _switch(settings)
    names = Names(NAME, NamesArgs(dns_zone=settings.dns_zone, names=settings.names, switch=switch))
    roles = {environment: _roles(settings, environment) for environment in settings.environments}
    ground = {
        "bucket_prefix": prefix,
        "dns_zone": settings.dns_zone,
        "dns_zone_id": names.dns_zone_id,
        "instance_profiles": {environment: made.profiles for environment, made in roles.items()},
        "stores": {
            "region": settings.region,
            "journal_bucket": journal.bucket,
            "mirror_bucket": mirror.bucket,
            "switch": switch.location,
            "kms_key_arn": keys.key_arn,
        },
    }
    return {"foundation": ground, "name_servers": names.name_servers}


def _switch(settings: Foundation) -> Switch:
    name = f"{settings.bucket_prefix}-switch"
    if settings.switch == "bucket":
        return BucketSwitch(name, BucketSwitchArgs(region=settings.region, bucket=name))
    namespace = f"Rekindle/{settings.bucket_prefix}"  # unique in the account, as the prefix is in all of S3
    environments = secondaries(settings.names)
    return AlarmSwitch(name, AlarmSwitchArgs(region=settings.region, namespace=namespace, environments=environments))


def _roles(settings: Foundation, environment: str) -> HostRoles:
    args = HostRolesArgs(
        environment=environment,
        prefix=settings.bucket_prefix,
        artifacts_bucket=f"{settings.bucket_prefix}-artifacts-{environment}",
        roles=tuple(role for role in Role if role is not Role.BASTION),
    )
    return HostRoles(environment, args)
