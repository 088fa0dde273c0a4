"""What the middleware reads off a request."""

from __future__ import annotations

import io
from typing import Any

import pytest

from rehearsal.region.request import read

SIGNED = "AWS4-HMAC-SHA256 Credential=rehearsal/20261121/{}/{}/aws4_request, SignedHeaders=host, Signature=0"


def environ(service: str | None = None, region: str = "us-west-2", body: str = "", **more: Any) -> dict[str, Any]:
    made = {"REQUEST_METHOD": "POST", "PATH_INFO": "/", "HTTP_HOST": "198.18.0.10", "REMOTE_ADDR": "198.18.1.2", **more}
    if service:
        made["HTTP_AUTHORIZATION"] = SIGNED.format(region, service)
    if body:
        made |= {"CONTENT_TYPE": "application/x-www-form-urlencoded; charset=utf-8", "CONTENT_LENGTH": str(len(body))}
    return made | {"wsgi.input": io.BytesIO(body.encode())}


def test_a_query_call_and_its_body_stays_readable() -> None:
    asked = environ("ec2", body="Action=CreateVolume&Size=1")
    call = read(asked)
    assert (call.service, call.region, call.action, call.is_write) == ("ec2", "us-west-2", "CreateVolume", True)
    assert asked["wsgi.input"].read() == b"Action=CreateVolume&Size=1"


@pytest.mark.parametrize(
    ("asked", "service", "bucket", "key", "region"),
    [
        (environ("s3", PATH_INFO="/b/a/k", REQUEST_METHOD="GET"), "s3", "b", "a/k", "us-west-2"),
        (environ(HTTP_HOST="b.s3.us-west-2.amazonaws.com", PATH_INFO="/a/k"), "s3", "b", "a/k", "us-west-2"),
        (
            environ(HTTP_HOST="b.with.dots.s3.us-east-1.amazonaws.com:80", PATH_INFO="/k"),
            "s3",
            "b.with.dots",
            "k",
            "us-east-1",
        ),
        (environ(HTTP_HOST="s3.us-west-2.amazonaws.com", PATH_INFO="/b"), "s3", "b", None, "us-west-2"),
        (environ("elasticloadbalancing", body="Action=DescribeLoadBalancers"), "elbv2", None, None, "us-west-2"),
        (environ("monitoring"), "cloudwatch", None, None, "us-west-2"),
        (
            environ(QUERY_STRING="X-Amz-Credential=k%2F20261121%2Fus-west-2%2Fs3%2Faws4_request", PATH_INFO="/b/k"),
            "s3",
            "b",
            "k",
            "us-west-2",
        ),
    ],
)
def test_where_it_goes(asked: dict[str, Any], service: str, bucket: str | None, key: str | None, region: str) -> None:
    call = read(asked)
    assert (call.service, call.bucket, call.key, call.region) == (service, bucket, key, region)


def test_virtual_hosts_become_paths() -> None:
    asked = environ(HTTP_HOST="b.s3.us-west-2.amazonaws.com", PATH_INFO="/k")
    read(asked)
    assert (asked["HTTP_HOST"], asked["PATH_INFO"]) == ("s3.amazonaws.com", "/b/k")


def test_headers_are_known_by_their_names() -> None:
    call = read(environ("s3", PATH_INFO="/b/k", HTTP_IF_NONE_MATCH="*", HTTP_X_AMZ_COPY_SOURCE="/b/other"))
    assert (call.headers["if-none-match"], call.headers["x-amz-copy-source"]) == ("*", "/b/other")
