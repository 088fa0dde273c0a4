"""The key of the recovery side: journal, and copies of snapshots."""

import pulumi
from pulumi_aws import kms


class Keys(pulumi.ComponentResource):
    """One key in the recovery region: a copy of a snapshot needs a key of the region it is in."""

    key_arn: pulumi.Output[str]

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("rekindle:keys:Keys", name, None, opts)
        key = kms.Key(
            f"{name}-recovery",
            description="Rekindle: journal, and snapshots on the recovery side",
            enable_key_rotation=True,
            deletion_window_in_days=30,
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
