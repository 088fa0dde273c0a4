"""The few EC2 calls that REX-Ray makes, signed with the instance profile's credentials."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, urlencode, urlsplit
from xml.etree import ElementTree

import aiohttp

METADATA = "http://169.254.169.254/latest"
API_VERSION = "2016-11-15"


class Ec2Error(Exception):
    """EC2 or the metadata service refused; carries the code and message it gave."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Which instance this is."""

    instance_id: str
    region: str
    availability_zone: str


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """The instance profile's temporary credentials."""

    access_key: str
    secret_key: str
    token: str


@dataclass(frozen=True, kw_only=True)
class Volume:
    """An EBS volume and where it is attached, if anywhere."""

    id: str
    state: str
    instance_id: str = ""
    device: str = ""
    attachment_state: str = ""


class MetadataService:
    """Asks 169.254.169.254 without a session token, as REX-Ray 0.11.4 does (FIELD 11)."""

    def __init__(self, session: aiohttp.ClientSession, base: str = METADATA) -> None:
        self._session = session
        self._base = base

    async def identity(self) -> Identity:
        """The instance's identity document."""
        document = await self._json("/dynamic/instance-identity/document")
        return Identity(
            instance_id=document["instanceId"],
            region=document["region"],
            availability_zone=document["availabilityZone"],
        )

    async def credentials(self) -> Credentials:
        """Credentials of the role in the instance profile."""
        role = (await self._text("/meta-data/iam/security-credentials/")).splitlines()[0].strip()
        document = await self._json(f"/meta-data/iam/security-credentials/{role}")
        return Credentials(
            access_key=document["AccessKeyId"], secret_key=document["SecretAccessKey"], token=document["Token"]
        )

    async def _text(self, path: str) -> str:
        try:
            async with self._session.get(self._base + path, timeout=aiohttp.ClientTimeout(10)) as response:
                if response.status != 200:
                    raise Ec2Error(f"metadata service answered {response.status} for {path}")
                return await response.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Ec2Error(f"metadata service did not answer for {path}: {error}") from error

    async def _json(self, path: str) -> dict[str, str]:
        document: dict[str, str] = json.loads(await self._text(path))
        return document


class Ec2:
    """EC2's Query API in one region."""

    def __init__(self, session: aiohttp.ClientSession, metadata: MetadataService, endpoint: str | None) -> None:
        self._session = session
        self._metadata = metadata
        self._endpoint = endpoint
        self._identity: Identity | None = None

    async def identity(self) -> Identity:
        """Which instance calls; asked once."""
        if self._identity is None:
            self._identity = await self._metadata.identity()
        return self._identity

    async def volumes(self, filters: dict[str, str]) -> list[Volume]:
        """Volumes that match all filters."""
        parameters: dict[str, str] = {}
        for number, (name, value) in enumerate(filters.items(), 1):
            parameters |= {f"Filter.{number}.Name": name, f"Filter.{number}.Value.1": value}
        root = await self._call("DescribeVolumes", parameters)
        return [_volume(item) for item in root.iterfind("{*}volumeSet/{*}item")]

    async def devices(self) -> set[str]:
        """Device names in use on this instance."""
        instance = (await self.identity()).instance_id
        root = await self._call("DescribeInstances", {"InstanceId.1": instance})
        return {item.text or "" for item in root.iterfind(".//{*}blockDeviceMapping/{*}item/{*}deviceName")}

    async def attach(self, volume_id: str, device: str) -> None:
        """Attach a volume to this instance."""
        instance = (await self.identity()).instance_id
        await self._call("AttachVolume", {"VolumeId": volume_id, "InstanceId": instance, "Device": device})

    async def detach(self, volume_id: str) -> None:
        """Detach a volume from this instance."""
        instance = (await self.identity()).instance_id
        await self._call("DetachVolume", {"VolumeId": volume_id, "InstanceId": instance})

    async def create(self, name: str, size: int, kind: str) -> str:
        """Create an empty volume in this instance's availability zone; size in GiB."""
        identity = await self.identity()
        root = await self._call("CreateVolume", {
            "AvailabilityZone": identity.availability_zone, "Size": str(size), "VolumeType": kind,
            "TagSpecification.1.ResourceType": "volume",
            "TagSpecification.1.Tag.1.Key": "Name", "TagSpecification.1.Tag.1.Value": name,
        })  # fmt: skip
        return root.findtext("{*}volumeId") or ""

    async def _call(self, action: str, parameters: dict[str, str]) -> ElementTree.Element:
        identity = await self.identity()
        credentials = await self._metadata.credentials()
        endpoint = self._endpoint or f"https://ec2.{identity.region}.amazonaws.com"
        body = urlencode({"Action": action, "Version": API_VERSION, **parameters}, quote_via=quote)
        headers = signed(endpoint, body, identity.region, credentials, datetime.now(UTC))
        try:
            async with self._session.post(
                endpoint + "/", data=body, headers=headers, timeout=aiohttp.ClientTimeout(30)
            ) as response:
                text = await response.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Ec2Error(f"{action}: {endpoint} did not answer: {error}") from error
        root = _parsed(text, action)
        if response.status >= 400:
            raise Ec2Error(f"{action}: {root.findtext('.//{*}Code')}: {root.findtext('.//{*}Message')}")
        return root


def _parsed(text: str, action: str) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(text)  # noqa: S314 - from the provider's own API
    except ElementTree.ParseError as error:
        raise Ec2Error(f"{action}: not XML: {text[:200]}") from error


def _volume(item: ElementTree.Element) -> Volume:
    attachment = item.find("{*}attachmentSet/{*}item")
    return Volume(
        id=item.findtext("{*}volumeId") or "",
        state=item.findtext("{*}status") or "",
        instance_id="" if attachment is None else attachment.findtext("{*}instanceId") or "",
        device="" if attachment is None else attachment.findtext("{*}device") or "",
        attachment_state="" if attachment is None else attachment.findtext("{*}status") or "",
    )


def signed(endpoint: str, body: str, region: str, credentials: Credentials, now: datetime) -> dict[str, str]:
    """Headers of a POST to EC2, with its Signature Version 4."""
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    headers = {
        "content-type": "application/x-www-form-urlencoded; charset=utf-8",
        "host": urlsplit(endpoint).netloc,
        "x-amz-date": stamp,
    }
    if credentials.token:
        headers["x-amz-security-token"] = credentials.token
    names = ";".join(sorted(headers))
    canonical = "\n".join(
        ["POST", "/", "", *(f"{name}:{headers[name]}" for name in sorted(headers)), "", names, _digest(body)]
    )
    scope = f"{day}/{region}/ec2/aws4_request"
    key = ("AWS4" + credentials.secret_key).encode()
    for part in (day, region, "ec2", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, _digest(canonical)])
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return headers


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
