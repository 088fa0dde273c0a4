"""What the metadata service says about an instance, by path."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from rehearsal.region import cloud
from rehearsal.region.stage import ACCOUNT

Tree = Mapping[str, Any]
_VERSIONS = ("latest", "2021-07-15", "2021-03-23", "2020-10-27", "2016-09-02", "2014-11-05")
_CREDENTIAL_LIFE = timedelta(hours=6)
_RENEW_BEFORE = timedelta(minutes=30)


@dataclass(frozen=True)
class Document:
    content: bytes
    media_type: str = "text/plain"


def document(instance: Any, path: str) -> Document | None:
    """The document at a path such as `/latest/meta-data/instance-id`; None: not there."""
    version, _, rest = path.split("?")[0].strip("/").partition("/")
    if version not in _VERSIONS:
        return None
    if rest == "user-data":
        return _user_data(instance)
    if rest == "dynamic/instance-identity/document":
        return Document(json.dumps(_identity(instance), indent=2).encode())
    if rest == "dynamic" or rest == "dynamic/instance-identity":
        return Document(b"instance-identity/" if rest == "dynamic" else b"document")
    root, _, rest = rest.partition("/")
    return _walk(_meta_data(instance), rest) if root == "meta-data" else None


def _user_data(instance: Any) -> Document | None:
    if not instance.user_data:
        return None
    return Document(base64.b64decode(instance.user_data.as_bytes()), "application/octet-stream")


def _walk(tree: Tree, path: str) -> Document | None:
    node: Any = tree
    for part in filter(None, path.split("/")):
        if not isinstance(node, Mapping) or part not in node:
            return None
        node = node[part]
    if callable(node):
        node = node()
    if isinstance(node, Mapping):
        return Document("\n".join(f"{k}/" if isinstance(v, Mapping) else k for k, v in node.items()).encode())
    return Document(str(node).encode())


def _meta_data(instance: Any) -> Tree:
    region, mac = instance.region_name, instance.nics[0].mac_address
    tree: dict[str, Any] = {
        "ami-id": instance.image_id,
        "hostname": instance.private_dns_name,
        "instance-id": instance.id,
        "instance-type": instance.instance_type,
        "local-hostname": instance.private_dns_name,
        "local-ipv4": instance.private_ip,
        "mac": mac,
        "network": {"interfaces": {"macs": {mac: _interface(instance)}}},
        "placement": {
            "availability-zone": instance.placement.zone,
            "availability-zone-id": instance.nics[0].subnet.availability_zone_id,
            "region": region,
        },
        "security-groups": "\n".join(g.name for g in instance.nics[0].group_set),
        "services": {"domain": "amazonaws.com", "partition": "aws"},
    }
    if instance.public_ip:
        tree |= {"public-ipv4": instance.public_ip, "public-hostname": instance.public_dns_name}
    return tree | _keys(instance) | _iam(instance) | _tags(instance)


def _interface(instance: Any) -> Tree:
    nic = instance.nics[0]
    cidr = cloud.ec2(instance.region_name).get_vpc(nic.vpc_id).cidr_block
    facts = {
        "device-number": "0",
        "interface-id": nic.id,
        "local-ipv4s": nic.private_ip_address,
        "mac": nic.mac_address,
        "subnet-id": nic.subnet.id,
        "subnet-ipv4-cidr-block": nic.subnet.cidr_block,
        "vpc-id": nic.vpc_id,
        "vpc-ipv4-cidr-block": cidr,
    }
    return facts | ({"public-ipv4s": nic.public_ip} if nic.public_ip else {})


def _keys(instance: Any) -> dict[str, Any]:
    pair = cloud.ec2(instance.region_name).key_pairs.get(instance.key_name)
    if pair is None:
        return {}
    return {"public-keys": {f"0={pair.key_name}": pair.public_key, "0": {"openssh-key": pair.public_key}}}


def _tags(instance: Any) -> dict[str, Any]:
    if instance.metadata_options.instance_metadata_tags != "enabled":
        return {}
    return {"tags": {"instance": {tag["key"]: tag["value"] for tag in instance.get_tags()}}}


# -- the role's credentials --------------------------------------------------------------------


def _iam(instance: Any) -> dict[str, Any]:
    profile = _profile(instance)
    if profile is None or not profile.roles:
        return {}
    role = profile.roles[0]
    info = {
        "Code": "Success",
        "LastUpdated": _iso(datetime.now(UTC)),
        "InstanceProfileArn": profile.arn,
        "InstanceProfileId": profile.id,
    }
    return {
        "iam": {
            "info": json.dumps(info),
            "security-credentials": {role.name: lambda: credentials(instance.id, role.arn)},
        }
    }


def _profile(instance: Any) -> Any | None:
    association = cloud.ec2(instance.region_name).iam_instance_profile_associations.get(instance.id)
    if association is not None:
        return association.iam_instance_profile
    return None


@dataclass(frozen=True)
class _Issued:
    text: str
    expires: datetime
    role: str


_issued: dict[str, _Issued] = {}
_issuing = threading.Lock()


def credentials(instance_id: str, role_arn: str) -> str:
    """The role's temporary credentials, renewed before they expire."""
    with _issuing:
        now = datetime.now(UTC)
        known = _issued.get(instance_id)
        if known is None or known.role != role_arn or known.expires - now < _RENEW_BEFORE:
            _issued[instance_id] = known = _issue(instance_id, role_arn, now)
        return known.text


def _issue(instance_id: str, role_arn: str, now: datetime) -> _Issued:
    seconds = int(_CREDENTIAL_LIFE.total_seconds())
    assumed = cloud.sts().assume_role("us-east-1", instance_id, role_arn, "", seconds, "")
    expires = now + _CREDENTIAL_LIFE
    text = {
        "Code": "Success",
        "LastUpdated": _iso(now),
        "Type": "AWS-HMAC",
        "AccessKeyId": assumed.access_key_id,
        "SecretAccessKey": assumed.secret_access_key,
        "Token": assumed.session_token,
        "Expiration": _iso(expires),
    }
    return _Issued(json.dumps(text, indent=2), expires, role_arn)


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _identity(instance: Any) -> dict[str, Any]:
    return {
        "accountId": ACCOUNT,
        "architecture": "x86_64",
        "availabilityZone": instance.placement.zone,
        "imageId": instance.image_id,
        "instanceId": instance.id,
        "instanceType": instance.instance_type,
        "pendingTime": _iso(instance.launch_time.replace(tzinfo=UTC)),
        "privateIp": instance.private_ip,
        "region": instance.region_name,
        "version": "2017-09-30",
    }
