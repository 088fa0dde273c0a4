"""A bucket that keeps every version, encrypts, and is not public."""

import json
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_aws import s3


@dataclass(frozen=True, kw_only=True)
class PrivateBucketArgs:
    """What a bucket is made from."""

    bucket: pulumi.Input[str]
    has_object_lock: bool = False  # objects may be given a retention of their own
    is_disposable: bool = False  # goes with its stack, full or not: all in it is elsewhere too
    kms_key_arn: pulumi.Input[str] | None = None  # None: S3's own key
    is_policy_public: bool = False  # its policy may let everybody read
    is_create_only: bool = False  # no object is ever written over
    keeps_all: bool = False  # nor removed, nor its retention shortened


class PrivateBucket(pulumi.ComponentResource):
    """Protected unless disposable."""

    bucket: pulumi.Output[str]

    def __init__(self, name: str, args: PrivateBucketArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("rekindle:buckets:PrivateBucket", name, None, opts)
        self._name = name
        self._child = pulumi.ResourceOptions(parent=self)
        made = s3.Bucket(
            name,
            bucket=args.bucket,
            object_lock_enabled=args.has_object_lock,
            force_destroy=args.is_disposable,
            tags={"Name": name},
            opts=pulumi.ResourceOptions(parent=self, protect=not args.is_disposable),
        )
        self.bucket = made.bucket
        self._settings(args)
        self.register_outputs({"bucket": self.bucket})

    def _settings(self, args: PrivateBucketArgs) -> None:
        s3.BucketVersioning(
            self._name,
            bucket=self.bucket,
            versioning_configuration={"status": "Enabled"},
            opts=self._child,
        )
        s3.BucketPublicAccessBlock(
            self._name,
            bucket=self.bucket,
            block_public_acls=True,
            ignore_public_acls=True,
            block_public_policy=not args.is_policy_public,
            restrict_public_buckets=not args.is_policy_public,
            opts=self._child,
        )
        s3.BucketServerSideEncryptionConfiguration(
            self._name,
            bucket=self.bucket,
            rules=[_encryption(args.kms_key_arn)],
            opts=self._child,
        )
        if args.is_create_only or args.keeps_all:
            s3.BucketPolicy(
                self._name,
                bucket=self.bucket,
                policy=self.bucket.apply(lambda bucket: json.dumps(guard(bucket, args))),
                opts=self._child,
            )


def guard(bucket: str, args: PrivateBucketArgs) -> dict[str, Any]:
    """What nobody may do here, whoever allows it; only who may change this very policy can get around it."""
    statements = [*([_create_only(bucket)] if args.is_create_only else []), *(_kept(bucket) if args.keeps_all else [])]
    return {"Version": "2012-10-17", "Statement": statements}


def _create_only(bucket: str) -> dict[str, Any]:
    """S3 user guide, "Enforce conditional writes": uploads in parts are held to it when they are completed."""
    return {
        "Sid": "NothingIsWrittenOver",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
        "Condition": {"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}},
    }


def _kept(bucket: str) -> list[dict[str, Any]]:
    """Retention itself is shortened by a bypass only; a lifecycle rule deletes whatever a policy says."""
    return [
        {
            "Sid": "NothingIsRemoved",
            "Effect": "Deny",
            "Principal": "*",
            "Action": [
                "s3:DeleteObject",
                "s3:DeleteObjectVersion",
                "s3:BypassGovernanceRetention",
                "s3:PutObjectLegalHold",
            ],
            "Resource": f"arn:aws:s3:::{bucket}/*",
        },
        {
            "Sid": "NorByASetting",
            "Effect": "Deny",
            "Principal": "*",
            "Action": ["s3:PutLifecycleConfiguration", "s3:DeleteBucket"],
            "Resource": f"arn:aws:s3:::{bucket}",
        },
    ]


def _encryption(
    kms_key_arn: pulumi.Input[str] | None,
) -> s3.BucketServerSideEncryptionConfigurationRuleArgsDict:
    if kms_key_arn is None:
        return {"apply_server_side_encryption_by_default": {"sse_algorithm": "AES256"}}
    return {
        "apply_server_side_encryption_by_default": {
            "sse_algorithm": "aws:kms",
            "kms_master_key_id": kms_key_arn,
        },
        "bucket_key_enabled": True,
    }
