"""What each kind of host may do in AWS: little. The bastion may do nothing and has no profile."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_aws import iam

from rekindle.inventory import Role

ENVIRONMENT_TAG = "rekindle:environment"
ASSUMED_BY_EC2 = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


@dataclass(frozen=True, kw_only=True)
class HostRolesArgs:
    """What the roles are made from."""

    environment: str
    prefix: str
    artifacts_bucket: str
    roles: Sequence[Role]


class HostRoles(pulumi.ComponentResource):
    """An instance profile for each role of host; they stand before any host does, and outlive all."""

    profiles: dict[str, pulumi.Output[str]]  # names, by role

    def __init__(self, name: str, args: HostRolesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("rekindle:iam:HostRoles", name, None, opts)
        self._args = args
        self._child = pulumi.ResourceOptions(parent=self)
        self.profiles = {role.value: self._profile(role) for role in args.roles}
        self.register_outputs({"profiles": self.profiles})

    def _profile(self, role: Role) -> pulumi.Output[str]:
        name = f"{self._args.prefix}-{self._args.environment}-{role.value}".replace("_", "-")
        iam_role = iam.Role(
            name,
            name=name,
            assume_role_policy=json.dumps(ASSUMED_BY_EC2),
            tags={"Name": name},
            opts=self._child,
        )
        iam.RolePolicy(
            name,
            name="host",
            role=iam_role.name,
            policy=json.dumps(policy(role, self._args)),
            opts=self._child,
        )
        return iam.InstanceProfile(name, name=name, role=iam_role.name, tags={"Name": name}, opts=self._child).name


def policy(role: Role, args: HostRolesArgs) -> dict[str, Any]:
    """What a host of this role may do."""
    statements = [_read_artifacts(args.artifacts_bucket)]
    if role is Role.PRIVATE_AGENT:
        statements += _move_volumes(args.environment)
    return {"Version": "2012-10-17", "Statement": statements}


def _read_artifacts(bucket: str) -> dict[str, Any]:
    return {
        "Sid": "ReadArtifacts",
        "Effect": "Allow",
        "Action": ["s3:GetObject"],
        "Resource": [f"arn:aws:s3:::{bucket}/*"],
    }


def _move_volumes(environment: str) -> list[dict[str, Any]]:
    """Attach and detach this environment's own; never create, so that no empty volume takes a lost one's place."""
    return [
        {
            "Sid": "SeeVolumes",
            "Effect": "Allow",
            "Action": [
                "ec2:DescribeVolumes",
                "ec2:DescribeVolumeStatus",
                "ec2:DescribeInstances",
                "ec2:DescribeTags",
                "ec2:DescribeAvailabilityZones",
            ],
            "Resource": "*",  # Describe knows no narrower one (service authorization reference, EC2)
        },
        {
            "Sid": "MoveVolumesOfThisEnvironment",
            "Effect": "Allow",
            "Action": ["ec2:AttachVolume", "ec2:DetachVolume"],
            "Resource": ["arn:aws:ec2:*:*:volume/*", "arn:aws:ec2:*:*:instance/*"],
            "Condition": {"StringEquals": {f"aws:ResourceTag/{ENVIRONMENT_TAG}": environment}},
        },
    ]
