"""The bastion's address: it stands on standby, so that it can be allow-listed before it is needed."""

from dataclasses import dataclass

import pulumi
from pulumi_aws import ec2


@dataclass(frozen=True, kw_only=True)
class BastionAddressArgs:
    """What the address leads to; nothing on standby."""

    instance_id: pulumi.Input[str] | None


class BastionAddress(pulumi.ComponentResource):
    """The one public address of a host."""

    public_ip: pulumi.Output[str]

    def __init__(self, name: str, args: BastionAddressArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("rekindle:bastion:BastionAddress", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        address = ec2.Eip(f"{name}-bastion", domain="vpc", tags={"Name": f"{name}-bastion"}, opts=child)
        if args.instance_id is not None:
            ec2.EipAssociation(
                f"{name}-bastion",
                allocation_id=address.allocation_id,
                instance_id=args.instance_id,
                opts=child,
            )
        self.public_ip = address.public_ip
        self.register_outputs({"public_ip": self.public_ip})
