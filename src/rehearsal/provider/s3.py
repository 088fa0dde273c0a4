"""S3 buckets and their settings, each setting a resource of its own."""

from typing import Any

from botocore.exceptions import ClientError

from rehearsal.provider.aws import Aws, code_of
from rehearsal.provider.network import same_document
from rehearsal.provider.resource import Resource, tag_list, tag_map
from rehearsal.provider.values import Properties


class Bucket(Resource):
    kind = "aws:s3/bucket:Bucket"
    handles = frozenset({"bucket", "objectLockEnabled", "forceDestroy", "tags"})
    needs = frozenset({"bucket"})
    replaces = frozenset({"bucket", "objectLockEnabled"})

    def create(self, aws: Aws, want: Properties) -> str:
        place = {} if aws.region == "us-east-1" else {"LocationConstraint": aws.region}
        extra = {"CreateBucketConfiguration": place} if place else {}
        lock = {"ObjectLockEnabledForBucket": True} if want.get("objectLockEnabled") else {}
        aws.s3.create_bucket(Bucket=want["bucket"], **extra, **lock)
        return str(want["bucket"])

    def settle(self, aws: Aws, id: str, want: Properties) -> None:
        if want.get("tags"):
            aws.s3.put_bucket_tagging(Bucket=id, Tagging={"TagSet": tag_list(want["tags"])})

    def update(self, aws: Aws, id: str, old: Properties, new: Properties) -> None:
        if not new.get("tags"):
            aws.s3.delete_bucket_tagging(Bucket=id)
        self.settle(aws, id, new)

    def observe(self, aws: Aws, id: str, known: Properties) -> Properties:
        aws.s3.head_bucket(Bucket=id)
        return {
            "bucket": id,
            "arn": f"arn:aws:s3:::{id}",
            "bucketDomainName": f"{id}.s3.amazonaws.com",
            "bucketRegionalDomainName": f"{id}.s3.{aws.region}.amazonaws.com",
            "tags": _tags(aws, id),
        }

    def delete(self, aws: Aws, id: str, state: Properties) -> None:
        if state.get("forceDestroy"):
            _empty(aws, id)
        aws.s3.delete_bucket(Bucket=id)


class BucketVersioning(Resource):
    kind = "aws:s3/bucketVersioning:BucketVersioning"
    handles = frozenset({"bucket", "versioningConfiguration"})
    replaces = frozenset({"bucket"})
    is_known = True

    def create(self, aws: Aws, want: Properties) -> str:
        status = {"Status": want["versioningConfiguration"]["status"]}
        aws.s3.put_bucket_versioning(Bucket=want["bucket"], VersioningConfiguration=status)
        return str(want["bucket"])

    def update(self, aws: Aws, id: str, old: Properties, new: Properties) -> None:
        self.create(aws, new)

    def observe(self, aws: Aws, id: str, known: Properties) -> Properties:
        status = aws.s3.get_bucket_versioning(Bucket=id).get("Status", "Disabled")
        return {"bucket": id, "versioningConfiguration": {"status": status}}

    def delete(self, aws: Aws, id: str, state: Properties) -> None:
        return None  # versioning can only be suspended, which would end nothing; the bucket goes next


class BucketPublicAccessBlock(Resource):
    kind = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
    handles = frozenset({"bucket", "blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"})
    replaces = frozenset({"bucket"})
    _flags = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")

    def create(self, aws: Aws, want: Properties) -> str:
        block = {name[0].upper() + name[1:]: bool(want.get(name)) for name in self._flags}
        aws.s3.put_public_access_block(Bucket=want["bucket"], PublicAccessBlockConfiguration=block)
        return str(want["bucket"])

    def update(self, aws: Aws, id: str, old: Properties, new: Properties) -> None:
        self.create(aws, new)

    def observe(self, aws: Aws, id: str, known: Properties) -> Properties:
        found = aws.s3.get_public_access_block(Bucket=id)["PublicAccessBlockConfiguration"]
        return {"bucket": id, **{name: found.get(name[0].upper() + name[1:], False) for name in self._flags}}

    def delete(self, aws: Aws, id: str, state: Properties) -> None:
        aws.s3.delete_public_access_block(Bucket=id)


class BucketEncryption(Resource):
    kind = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
    handles = frozenset({"bucket", "rules"})
    replaces = frozenset({"bucket"})
    is_known = True

    def create(self, aws: Aws, want: Properties) -> str:
        rules = [_encryption(rule) for rule in want["rules"]]
        aws.s3.put_bucket_encryption(Bucket=want["bucket"], ServerSideEncryptionConfiguration={"Rules": rules})
        return str(want["bucket"])

    def update(self, aws: Aws, id: str, old: Properties, new: Properties) -> None:
        self.create(aws, new)

    def observe(self, aws: Aws, id: str, known: Properties) -> Properties:
        found = aws.s3.get_bucket_encryption(Bucket=id)["ServerSideEncryptionConfiguration"]["Rules"]
        return {"bucket": id, "rules": [_encryption_rule(rule) for rule in found]}

    def delete(self, aws: Aws, id: str, state: Properties) -> None:
        aws.s3.delete_bucket_encryption(Bucket=id)


class BucketPolicy(Resource):
    kind = "aws:s3/bucketPolicy:BucketPolicy"
    handles = frozenset({"bucket", "policy"})
    replaces = frozenset({"bucket"})
    is_known = True

    def create(self, aws: Aws, want: Properties) -> str:
        aws.s3.put_bucket_policy(Bucket=want["bucket"], Policy=want["policy"])
        return str(want["bucket"])

    def update(self, aws: Aws, id: str, old: Properties, new: Properties) -> None:
        self.create(aws, new)

    def observe(self, aws: Aws, id: str, known: Properties) -> Properties:
        found = aws.s3.get_bucket_policy(Bucket=id)["Policy"]
        return {"bucket": id, "policy": same_document(known.get("policy"), found)}

    def delete(self, aws: Aws, id: str, state: Properties) -> None:
        aws.s3.delete_bucket_policy(Bucket=id)


def _tags(aws: Aws, bucket: str) -> dict[str, str]:
    """None of a bucket that was never tagged, which S3 answers as an error."""
    try:
        return tag_map(aws.s3.get_bucket_tagging(Bucket=bucket)["TagSet"])
    except ClientError as error:
        if code_of(error) != "NoSuchTagSet":
            raise
        return {}


def _empty(aws: Aws, bucket: str) -> None:
    for page in aws.s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for item in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
            aws.s3.delete_object(Bucket=bucket, Key=item["Key"], VersionId=item["VersionId"])


def _encryption(rule: Properties) -> dict[str, Any]:
    default = rule["applyServerSideEncryptionByDefault"]
    key = {"KMSMasterKeyID": default["kmsMasterKeyId"]} if "kmsMasterKeyId" in default else {}
    return {
        "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": default["sseAlgorithm"], **key},
        "BucketKeyEnabled": bool(rule.get("bucketKeyEnabled")),
    }


def _encryption_rule(rule: dict[str, Any]) -> Properties:
    default = rule["ApplyServerSideEncryptionByDefault"]
    key = {"kmsMasterKeyId": default["KMSMasterKeyID"]} if "KMSMasterKeyID" in default else {}
    return {
        "applyServerSideEncryptionByDefault": {"sseAlgorithm": default["SSEAlgorithm"], **key},
        "bucketKeyEnabled": bool(rule.get("BucketKeyEnabled")),
    }
