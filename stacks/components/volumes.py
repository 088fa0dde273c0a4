"""Named EBS volumes. Pulumi owns them and never their attachments: REX-Ray moves those."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_aws import ebs

from rekindle.environment import VolumeSettings


@dataclass(frozen=True, kw_only=True)
class VolumesArgs:
    """What the volumes are made from."""

    cluster_name: str
    volumes: Mapping[str, VolumeSettings]
    restore: Mapping[str, str]  # snapshot ids by volume name


class Volumes(pulumi.ComponentResource):
    """Volumes outlive their environment's stack; a snapshot counts only when a volume is created."""

    volumes: dict[str, ebs.Volume]

    def __init__(self, name: str, args: VolumesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("rekindle:volumes:Volumes", name, None, opts)
        self._name = name
        self._args = args
        self.volumes = {key: self._volume(key, settings) for key, settings in args.volumes.items()}
        self.register_outputs({"volume_ids": {key: made.id for key, made in self.volumes.items()}})

    def _volume(self, key: str, settings: VolumeSettings) -> ebs.Volume:
        return ebs.Volume(
            f"{self._name}-{key}",
            availability_zone=settings.az,
            size=settings.size_gib,
            type=settings.type,
            encrypted=True,
            snapshot_id=self._args.restore.get(key),
            tags={
                "Name": key,  # REX-Ray finds it by this tag
                "rekindle:cluster": self._args.cluster_name,
                "rekindle:service": settings.service,
            },
            opts=pulumi.ResourceOptions(
                parent=self, protect=True, retain_on_delete=True, ignore_changes=["snapshotId"]
            ),
        )
