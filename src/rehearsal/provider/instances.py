"""EC2 key pairs and instances."""

from typing import Any

from rehearsal.provider.aws import Aws
from rehearsal.provider.network import Ec2Resource, retag
from rehearsal.provider.resource import tag_list, tag_map
from rehearsal.provider.values import Properties


class KeyPair(Ec2Resource):
    kind = "aws:ec2/keyPair:KeyPair"
    tag_type = "key-pair"
    handles = frozenset({"keyName", "publicKey", "tags"})
    needs = frozenset({"keyName"})
    replaces = frozenset({"keyName", "publicKey"})

    def create(self, aws: Aws, want: Properties) -> str:
        aws.ec2.import_key_pair(
            KeyName=want["keyName"],
            PublicKeyMaterial=want["publicKey"].encode(),
            TagSpecifications=self.tags(want),
        )
        return str(want["keyName"])

    def update(self, aws: Aws, id: str, old: Properties, new: Properties) -> None:
        pair = aws.ec2.describe_key_pairs(KeyNames=[id])["KeyPairs"][0]
        retag(aws, pair["KeyPairId"], old.get("tags", {}), new.get("tags", {}))

    def observe(self, aws: Aws, id: str, known: Properties) -> Properties:
        pair = aws.ec2.describe_key_pairs(KeyNames=[id])["KeyPairs"][0]
        return {
            "keyName": pair["KeyName"],
            "keyPairId": pair.get("KeyPairId"),
            "fingerprint": pair.get("KeyFingerprint"),
            "tags": tag_map(pair.get("Tags")),
        }

    def delete(self, aws: Aws, id: str, state: Properties) -> None:
        aws.ec2.delete_key_pair(KeyName=id)


class Instance(Ec2Resource):
    kind = "aws:ec2/instance:Instance"
    tag_type = "instance"
    handles = frozenset(
        {
            "ami",
            "instanceType",
            "subnetId",
            "privateIp",
            "associatePublicIpAddress",
            "keyName",
            "iamInstanceProfile",
            "userData",
            "vpcSecurityGroupIds",
            "metadataOptions",
            "rootBlockDevice",
            "volumeTags",
            "sourceDestCheck",
            "tags",
        }
    )
    needs = frozenset({"ami", "instanceType", "subnetId"})
    replaces = frozenset(
        {"ami", "subnetId", "privateIp", "associatePublicIpAddress", "keyName", "rootBlockDevice.encrypted"}
    )

    def create(self, aws: Aws, want: Properties) -> str:
        made = aws.ec2.run_instances(**_launch(aws, want, self.tags(want)))
        return str(made["Instances"][0]["InstanceId"])

    def settle(self, aws: Aws, id: str, want: Properties) -> None:
        self._wait(aws, id, "running")
        if want.get("sourceDestCheck") is False:
            aws.ec2.modify_instance_attribute(InstanceId=id, SourceDestCheck={"Value": False})

    def modify(self, aws: Aws, id: str, new: Properties, changed: frozenset[str]) -> None:
        if "vpcSecurityGroupIds" in changed:
            aws.ec2.modify_instance_attribute(InstanceId=id, Groups=new["vpcSecurityGroupIds"])
        if "sourceDestCheck" in changed:
            value = {"Value": new.get("sourceDestCheck", True)}
            aws.ec2.modify_instance_attribute(InstanceId=id, SourceDestCheck=value)
        if "metadataOptions" in changed:
            aws.ec2.modify_instance_metadata_options(InstanceId=id, **_metadata(new["metadataOptions"]))
        if "iamInstanceProfile" in changed:
            self._change_profile(aws, id, new.get("iamInstanceProfile"))
        if changed & {"rootBlockDevice", "volumeTags"}:
            self._change_root(aws, id, new)
        if changed & {"instanceType", "userData"}:
            self._change_stopped(aws, id, new, changed)

    def observe(self, aws: Aws, id: str, known: Properties) -> Properties | None:
        instance = _instance(aws, id)
        if instance is None or instance["State"]["Name"] in ("terminated", "shutting-down"):
            return None
        asked = "associatePublicIpAddress" in known  # else an Elastic IP that came later would look like drift
        return _properties(instance) | ({"associatePublicIpAddress": "PublicIpAddress" in instance} if asked else {})

    def delete(self, aws: Aws, id: str, state: Properties) -> None:
        aws.ec2.terminate_instances(InstanceIds=[id])
        self._wait(aws, id, "terminated")

    def _wait(self, aws: Aws, id: str, state: str) -> None:
        def reached() -> bool:
            instance = _instance(aws, id)
            return (instance["State"]["Name"] if instance else "terminated") == state

        aws.wait(f"instance {id} {state}", reached)

    def _change_stopped(self, aws: Aws, id: str, new: Properties, changed: frozenset[str]) -> None:
        """Type and user data change only while the instance is stopped."""
        aws.ec2.stop_instances(InstanceIds=[id])
        self._wait(aws, id, "stopped")
        if "instanceType" in changed:
            aws.ec2.modify_instance_attribute(InstanceId=id, InstanceType={"Value": new["instanceType"]})
        if "userData" in changed:
            value = {"Value": new.get("userData", "").encode()}
            aws.ec2.modify_instance_attribute(InstanceId=id, UserData=value)
        aws.ec2.start_instances(InstanceIds=[id])
        self._wait(aws, id, "running")

    def _change_profile(self, aws: Aws, id: str, name: str | None) -> None:
        filters = [{"Name": "instance-id", "Values": [id]}]
        found = aws.ec2.describe_iam_instance_profile_associations(Filters=filters)
        for association in found["IamInstanceProfileAssociations"]:
            aws.ec2.disassociate_iam_instance_profile(AssociationId=association["AssociationId"])
        if name:
            aws.ec2.associate_iam_instance_profile(InstanceId=id, IamInstanceProfile={"Name": name})

    def _change_root(self, aws: Aws, id: str, new: Properties) -> None:
        volume = _root_volume(_instance(aws, id) or {})
        root = new.get("rootBlockDevice", {})
        if "volumeSize" in root:
            aws.ec2.modify_volume(VolumeId=volume, Size=root["volumeSize"])
        if new.get("volumeTags"):
            aws.ec2.create_tags(Resources=[volume], Tags=tag_list(new["volumeTags"]))


def _launch(aws: Aws, want: Properties, tags: list[dict[str, Any]]) -> dict[str, Any]:
    call: dict[str, Any] = {
        "ImageId": want["ami"],
        "InstanceType": want["instanceType"],
        "MinCount": 1,
        "MaxCount": 1,
        "TagSpecifications": tags,
    }
    names = {"keyName": "KeyName", "userData": "UserData"}
    call |= {names[name]: want[name] for name in names if name in want} | _interface(want)
    if "iamInstanceProfile" in want:
        call["IamInstanceProfile"] = {"Name": want["iamInstanceProfile"]}
    if "metadataOptions" in want:
        call["MetadataOptions"] = _metadata(want["metadataOptions"])
    if "rootBlockDevice" in want:
        call["BlockDeviceMappings"] = [_root_mapping(aws, want["ami"], want["rootBlockDevice"])]
    if want.get("volumeTags"):
        call["TagSpecifications"] = [*tags, {"ResourceType": "volume", "Tags": tag_list(want["volumeTags"])}]
    return call


def _interface(want: Properties) -> dict[str, Any]:
    """Where the instance is in the network: a public address can be asked for an interface alone."""
    public = want.get("associatePublicIpAddress")
    groups = "SecurityGroupIds" if public is None else "Groups"
    names = {"subnetId": "SubnetId", "privateIp": "PrivateIpAddress", "vpcSecurityGroupIds": groups}
    place = {names[name]: want[name] for name in names if name in want}
    if public is None:
        return place
    return {"NetworkInterfaces": [{**place, "DeviceIndex": 0, "AssociatePublicIpAddress": public}]}


def _root_mapping(aws: Aws, ami: str, root: Properties) -> dict[str, Any]:
    image = aws.ec2.describe_images(ImageIds=[ami])["Images"][0]
    names = {"volumeSize": "VolumeSize", "volumeType": "VolumeType", "encrypted": "Encrypted"}
    ebs = {names[name]: root[name] for name in names if name in root}
    return {"DeviceName": image.get("RootDeviceName") or "/dev/sda1", "Ebs": ebs}


def _metadata(options: Properties) -> dict[str, Any]:
    names = {
        "httpTokens": "HttpTokens",
        "httpEndpoint": "HttpEndpoint",
        "httpPutResponseHopLimit": "HttpPutResponseHopLimit",
        "instanceMetadataTags": "InstanceMetadataTags",
    }
    return {names[name]: options[name] for name in names if name in options}


def _instance(aws: Aws, id: str) -> dict[str, Any] | None:
    found = aws.ec2.describe_instances(InstanceIds=[id])["Reservations"]
    return dict(found[0]["Instances"][0]) if found else None


def _root_volume(instance: dict[str, Any]) -> str | None:
    mappings = instance.get("BlockDeviceMappings") or []
    root = [item for item in mappings if item["DeviceName"] == instance.get("RootDeviceName")] or mappings
    return str(root[0]["Ebs"]["VolumeId"]) if root else None


def _groups(instance: dict[str, Any]) -> list[dict[str, Any]]:
    """Of the instance; moto names those that were given with an interface there alone."""
    interfaces = instance.get("NetworkInterfaces") or [{}]
    return list(instance.get("SecurityGroups") or interfaces[0].get("Groups", []))


def _properties(instance: dict[str, Any]) -> Properties:
    options = instance.get("MetadataOptions") or {}
    profile = (instance.get("IamInstanceProfile") or {}).get("Arn", "").rpartition("/")[2]
    return {
        "ami": instance["ImageId"],
        "instanceType": instance["InstanceType"],
        "subnetId": instance.get("SubnetId"),
        "privateIp": instance.get("PrivateIpAddress"),
        "publicIp": instance.get("PublicIpAddress"),
        "privateDns": instance.get("PrivateDnsName"),
        "keyName": instance.get("KeyName"),
        "iamInstanceProfile": profile or None,
        "vpcSecurityGroupIds": [group["GroupId"] for group in _groups(instance)],
        "availabilityZone": instance["Placement"]["AvailabilityZone"],
        "instanceState": instance["State"]["Name"],
        "sourceDestCheck": instance.get("SourceDestCheck"),
        "metadataOptions": {
            "httpTokens": options.get("HttpTokens"),
            "httpEndpoint": options.get("HttpEndpoint"),
            "httpPutResponseHopLimit": options.get("HttpPutResponseHopLimit"),
            "instanceMetadataTags": options.get("InstanceMetadataTags"),
        },
        "tags": tag_map(instance.get("Tags")),
    }
