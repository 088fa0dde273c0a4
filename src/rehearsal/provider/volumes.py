"""EBS volumes."""

from typing import Any

from rehearsal.provider.aws import Aws
from rehearsal.provider.network import Ec2Resource
from rehearsal.provider.resource import tag_map
from rehearsal.provider.values import Properties

_NAMES = {
    "availabilityZone": "AvailabilityZone",
    "size": "Size",
    "type": "VolumeType",
    "iops": "Iops",
    "throughput": "Throughput",
    "encrypted": "Encrypted",
    "kmsKeyId": "KmsKeyId",
    "snapshotId": "SnapshotId",
}


class Volume(Ec2Resource):
    kind = "aws:ebs/volume:Volume"
    tag_type = "volume"
    handles = frozenset({*_NAMES, "tags"})
    replaces = frozenset({"availabilityZone", "encrypted", "kmsKeyId", "snapshotId"})

    def create(self, aws: Aws, want: Properties) -> str:
        call: dict[str, Any] = {_NAMES[name]: want[name] for name in _NAMES if name in want}
        return str(aws.ec2.create_volume(**call, TagSpecifications=self.tags(want))["VolumeId"])

    def settle(self, aws: Aws, id: str, want: Properties) -> None:
        aws.wait(f"volume {id} available", lambda: self._state(aws, id) in ("available", "in-use"))

    def modify(self, aws: Aws, id: str, new: Properties, changed: frozenset[str]) -> None:
        names = {"size": "Size", "type": "VolumeType", "iops": "Iops", "throughput": "Throughput"}
        aws.ec2.modify_volume(VolumeId=id, **{names[name]: new[name] for name in names if name in new})

    def observe(self, aws: Aws, id: str, known: Properties) -> Properties:
        volume = aws.ec2.describe_volumes(VolumeIds=[id])["Volumes"][0]
        return {
            "availabilityZone": volume["AvailabilityZone"],
            "size": volume["Size"],
            "type": volume["VolumeType"],
            "iops": volume.get("Iops"),
            "throughput": volume.get("Throughput"),
            "encrypted": volume["Encrypted"],
            "kmsKeyId": volume.get("KmsKeyId"),
            "snapshotId": volume.get("SnapshotId") or None,
            "tags": tag_map(volume.get("Tags")),
            "arn": f"arn:aws:ec2:{aws.region}:{aws.account}:volume/{id}",
        }

    def delete(self, aws: Aws, id: str, state: Properties) -> None:
        aws.ec2.delete_volume(VolumeId=id)

    def _state(self, aws: Aws, id: str) -> str:
        return str(aws.ec2.describe_volumes(VolumeIds=[id])["Volumes"][0]["State"])
