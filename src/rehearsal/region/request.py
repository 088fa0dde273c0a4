"""One request to the AWS API, as far as the middleware needs to know it before moto does."""

from __future__ import annotations

import contextvars
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote

_CREDENTIAL = re.compile(r"Credential=([^/\s,]+)/\d{8}/([^/]+)/([^/]+)/aws4_request")
_S3_HOST = re.compile(r"^(?:(?P<bucket>.+)\.)?s3[.-](?P<region>[a-z]+-[a-z]+-\d)\.amazonaws\.com$")
_READ_VERBS = ("Describe", "Get", "List", "Search", "Decode", "Simulate")
_SERVICES = {"elasticloadbalancing": "elbv2", "monitoring": "cloudwatch"}

_parameters: contextvars.ContextVar[Mapping[str, str]] = contextvars.ContextVar("parameters")


def parameters() -> Mapping[str, str]:
    """The query parameters of the request that this thread serves; empty outside of one."""
    return _parameters.get({})


@dataclass(frozen=True, kw_only=True)
class Call:
    """Who asks which region for what."""

    service: str
    region: str
    method: str
    path: str
    source: str
    access_key: str | None = None
    token: str | None = None
    action: str = ""
    """Name of the operation; for S3 and Route 53 empty: there method and path say it."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    bucket: str | None = None
    key: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    """By name, lower case."""

    @property
    def is_write(self) -> bool:
        if self.action:
            return not self.action.startswith(_READ_VERBS)
        return self.method not in {"GET", "HEAD"}

    def enter(self) -> None:
        """Makes `parameters()` answer for this call, in this thread."""
        _parameters.set(self.parameters)


def read(environ: dict[str, Any]) -> Call:
    """Reads a WSGI request without consuming it; turns virtual-host S3 addresses into path style."""
    query = {k: v[0] for k, v in parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True).items()}
    access_key, region, service = _credential(environ, query)
    host = environ.get("HTTP_HOST", "").split(":")[0]
    if service is None or service == "s3":
        s3_host = _S3_HOST.match(host)
        if s3_host:
            _to_path_style(environ, s3_host["bucket"])
            region = region or s3_host["region"]
    service = _SERVICES.get(service or "s3", service or "s3")
    form = _form(environ) or _json(environ)
    path = environ.get("PATH_INFO", "/")
    bucket, key = _bucket_and_key(path) if service == "s3" else (None, None)
    return Call(
        service=service,
        region=region or "us-east-1",
        method=environ.get("REQUEST_METHOD", "GET"),
        path=path,
        source=environ.get("REMOTE_ADDR", ""),
        access_key=access_key,
        token=environ.get("HTTP_X_AMZ_SECURITY_TOKEN") or query.get("X-Amz-Security-Token"),
        action=form.get("Action") or environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2],
        parameters=form,
        query=query,
        bucket=bucket,
        key=key,
        headers={name[5:].replace("_", "-").lower(): str(v) for name, v in environ.items() if name.startswith("HTTP_")},
    )


def _credential(environ: dict[str, Any], query: Mapping[str, str]) -> tuple[str | None, str | None, str | None]:
    """Access key, region and service of the signature's scope."""
    found = _CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
    if found is None and "X-Amz-Credential" in query:
        found = _CREDENTIAL.search("Credential=" + unquote(query["X-Amz-Credential"]))
    if found is not None:
        return found[1], found[2], found[3]
    if "AWSAccessKeyId" in query:  # signature version 2, which boto3 still presigns with; it names no region
        return query["AWSAccessKeyId"], None, "s3"
    return None, None, None


def _to_path_style(environ: dict[str, Any], bucket: str | None) -> None:
    environ["HTTP_HOST"] = "s3.amazonaws.com"
    if bucket:
        environ["PATH_INFO"] = f"/{bucket}{environ.get('PATH_INFO', '/')}"
        environ["RAW_URI"] = environ["REQUEST_URI"] = f"/{bucket}{environ.get('RAW_URI', '/')}"


def _form(environ: dict[str, Any]) -> dict[str, str]:
    if not environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        return {}
    if environ.get("HTTP_AUTHORIZATION") and "/s3/aws4_request" in environ["HTTP_AUTHORIZATION"]:
        return {}
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    return dict(parse_qsl(body.decode(), keep_blank_values=True))


def _json(environ: dict[str, Any]) -> dict[str, str]:
    """The texts in a JSON request's top level, such as KeyId; other values are left out."""
    if "HTTP_X_AMZ_TARGET" not in environ:
        return {}
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    try:
        parsed = json.loads(body or b"{}")
    except ValueError:
        return {}
    return {k: v for k, v in parsed.items() if isinstance(v, str)} if isinstance(parsed, dict) else {}


def _bucket_and_key(path: str) -> tuple[str | None, str | None]:
    bucket, _, key = path.lstrip("/").partition("/")
    return bucket or None, key or None
