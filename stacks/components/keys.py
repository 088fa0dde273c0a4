"""The key of the recovery side: journal, and copies of snapshots."""

import json
from typing import Any

import pulumi
from pulumi_aws import get_caller_identity_output, kms

# What the policy of AWS's own key of EBS allows (KMS developer guide, "AWS managed keys"), but for encrypting alone.
USED_BY_VOLUMES = ("kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey*", "kms:ReEncrypt*")


class Keys(pulumi.ComponentResource):
    """One key in the recovery region: a copy of a snapshot needs a key of the region it is in."""

    key_arn: pulumi.Output[str]

    def __init__(self, name: str, region: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("rekindle:keys:Keys", name, None, opts)
        key = kms.Key(
            f"{name}-recovery",
            description="Rekindle: journal, and snapshots on the recovery side",
            enable_key_rotation=True,
            deletion_window_in_days=30,
            policy=get_caller_identity_output().apply(lambda who: json.dumps(policy(who.account_id, region))),
            tags={"Name": f"{name}-recovery"},
            opts=pulumi.ResourceOptions(parent=self, protect=True),
        )
        kms.Alias(
            f"{name}-recovery",
            name="alias/rekindle-recovery",
            target_key_id=key.key_id,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.key_arn = key.arn
        self.register_outputs({"key_arn": self.key_arn})


def policy(account: str, region: str) -> dict[str, Any]:
    """IAM decides, and whoever may attach a volume may do so when this key has encrypted it.

    A restored volume has the key of its snapshot's copy, and the agent that attaches it no permission of its own in
    KMS: as with AWS's own key, EC2 uses this one for any principal of the account.
    """
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "DecidedByIam",
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
                "Action": "kms:*",
                "Resource": "*",
            },
            {
                "Sid": "UsedByVolumes",
                "Effect": "Allow",
                "Principal": {"AWS": "*"},
                "Action": list(USED_BY_VOLUMES),
                "Resource": "*",
                "Condition": {
                    "StringEquals": {"kms:ViaService": f"ec2.{region}.amazonaws.com", "kms:CallerAccount": account}
                },
            },
        ],
    }
