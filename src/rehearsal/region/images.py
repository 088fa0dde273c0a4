"""The one AMI, registered in every region under an id of its own."""

from __future__ import annotations

from datetime import UTC, datetime

from moto.ec2.models.amis import Ami

from rehearsal.region import cloud
from rehearsal.region.stage import ACCOUNT, IMAGE_IDS, IMAGE_NAME

_CREATED = datetime(2026, 11, 1, tzinfo=UTC)


def register() -> None:
    """DescribeImages finds the AMI by its name; ids are the same on every stage."""
    for region, image_id in IMAGE_IDS.items():
        backend = cloud.ec2(region)
        backend.amis[image_id] = Ami(
            backend,
            image_id,
            name=IMAGE_NAME,
            description="Debian 12 for rehearsals",
            owner_id=ACCOUNT,
            public=True,
            virtualization_type="hvm",
            architecture="x86_64",
            creation_date=_CREATED,
            image_location=f"{ACCOUNT}/{IMAGE_NAME}",
            hypervisor="xen",
            root_device_type="ebs",
            root_device_name="/dev/sda1",
            region_name=region,
        )
