"""KMS keys and aliases."""

from rehearsal.provider.aws import Aws
from rehearsal.provider.network import same_document
from rehearsal.provider.resource import Resource
from rehearsal.provider.values import Properties


class Key(Resource):
    kind = "aws:kms/key:Key"
    handles = frozenset({"description", "deletionWindowInDays", "enableKeyRotation", "policy", "tags"})

    def create(self, aws: Aws, want: Properties) -> str:
        extra = {"Policy": want["policy"]} if "policy" in want else {}
        made = aws.kms.create_key(
            Description=want.get("description", ""),
            Tags=[{"TagKey": key, "TagValue": value} for key, value in want.get("tags", {}).items()],
            **extra,
        )
        return str(made["KeyMetadata"]["KeyId"])

    def settle(self, aws: Aws, id: str, want: Properties) -> None:
        if want.get("enableKeyRotation"):
            aws.kms.enable_key_rotation(KeyId=id)

    def update(self, aws: Aws, id: str, old: Properties, new: Properties) -> None:
        changed = self.changed(old, new)
        if "description" in changed:
            aws.kms.update_key_description(KeyId=id, Description=new.get("description", ""))
        if "enableKeyRotation" in changed:
            rotate = new.get("enableKeyRotation")
            (aws.kms.enable_key_rotation if rotate else aws.kms.disable_key_rotation)(KeyId=id)
        if "policy" in changed:
            aws.kms.put_key_policy(KeyId=id, PolicyName="default", Policy=new["policy"])
        if "tags" in changed:
            aws.kms.untag_resource(KeyId=id, TagKeys=sorted(set(old.get("tags", {})) - set(new.get("tags", {}))))
            tags = [{"TagKey": key, "TagValue": value} for key, value in new.get("tags", {}).items()]
            aws.kms.tag_resource(KeyId=id, Tags=tags)

    def observe(self, aws: Aws, id: str, known: Properties) -> Properties | None:
        metadata = aws.kms.describe_key(KeyId=id)["KeyMetadata"]
        if metadata.get("DeletionDate"):
            return None
        tags = aws.kms.list_resource_tags(KeyId=id)["Tags"]
        policy = aws.kms.get_key_policy(KeyId=id, PolicyName="default")["Policy"]
        return {
            "arn": metadata["Arn"],
            "keyId": id,
            "description": metadata.get("Description"),
            "enableKeyRotation": aws.kms.get_key_rotation_status(KeyId=id)["KeyRotationEnabled"],
            "policy": same_document(known.get("policy"), policy),
            "tags": {tag["TagKey"]: tag["TagValue"] for tag in tags},
        }

    def delete(self, aws: Aws, id: str, state: Properties) -> None:
        aws.kms.schedule_key_deletion(KeyId=id, PendingWindowInDays=state.get("deletionWindowInDays", 30))


class Alias(Resource):
    kind = "aws:kms/alias:Alias"
    handles = frozenset({"name", "targetKeyId"})
    needs = frozenset({"name"})
    replaces = frozenset({"name"})

    def create(self, aws: Aws, want: Properties) -> str:
        aws.kms.create_alias(AliasName=want["name"], TargetKeyId=want["targetKeyId"])
        return str(want["name"])

    def update(self, aws: Aws, id: str, old: Properties, new: Properties) -> None:
        aws.kms.update_alias(AliasName=id, TargetKeyId=new["targetKeyId"])

    def observe(self, aws: Aws, id: str, known: Properties) -> Properties | None:
        pages = aws.kms.get_paginator("list_aliases").paginate()
        for alias in (item for page in pages for item in page["Aliases"]):
            if alias["AliasName"] == id:
                return {"name": id, "targetKeyId": alias.get("TargetKeyId"), "arn": alias["AliasArn"]}
        return None

    def delete(self, aws: Aws, id: str, state: Properties) -> None:
        aws.kms.delete_alias(AliasName=id)
