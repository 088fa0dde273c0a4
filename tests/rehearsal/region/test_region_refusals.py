"""Each service's client understands a refusal, and the middleware refuses before moto is asked."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from botocore.parsers import create_parser
from botocore.session import get_session

from rehearsal.region import cloud, preconditions, refusals, rules
from rehearsal.region.api import region_mismatch
from rehearsal.region.errors import PreconditionMissing
from rehearsal.region.refusals import Refusal
from rehearsal.region.request import Call

REFUSAL = Refusal(
    code="Strange", message="a < b & c", status=409, headers=(("x-amz-own", "1"),), details=(("Re", "<"),)
)


def call(service: str, **facts: Any) -> Call:
    return Call(
        **{"service": service, "region": "us-west-2", "method": "GET", "path": "/", "source": "10.0.0.9", **facts}
    )


def sent(service: str, **facts: Any) -> tuple[str, dict[str, str], bytes]:
    heard: list[Any] = []
    body = b"".join(refusals.send(REFUSAL, call(service, **facts), lambda *said: heard.extend(said)))
    return heard[0], dict(heard[1]), body


@pytest.mark.parametrize(
    ("service", "protocol"),
    [
        ("ec2", "ec2"),
        ("s3", "rest-xml"),
        ("iam", "query"),
        ("sts", "query"),
        ("elbv2", "query"),
        ("route53", "rest-xml"),
        ("kms", "json"),
    ],
)
def test_a_services_client_reads_the_refusal(service: str, protocol: str) -> None:
    status, headers, body = sent(service)
    shape = (
        get_session()
        .get_service_model(service)
        .operation_model(
            {
                "ec2": "DescribeVpcs",
                "s3": "GetObject",
                "iam": "GetRole",
                "sts": "GetCallerIdentity",
                "kms": "Decrypt",
            }.get(service, "DescribeLoadBalancers" if service == "elbv2" else "GetHostedZone")
        )
    )
    read = create_parser(protocol).parse({"status_code": 409, "headers": headers, "body": body}, shape.output_shape)
    assert (read["Error"]["Code"], read["Error"]["Message"]) == ("Strange", "a < b & c")
    assert (status, headers["x-amz-own"], headers["Content-Length"]) == ("409 Conflict", "1", str(len(body)))
    assert (read["Error"].get("Re") == "<") == (service == "s3")


def test_an_answer_to_head_has_no_body() -> None:
    assert sent("s3", method="HEAD")[2] == b""


@pytest.mark.parametrize(
    ("service", "region", "refused"),
    [
        ("ec2", "us-west-2", False),
        ("ec2", "eu-west-1", True),
        ("s3", "eu-west-1", True),
        ("kms", "eu-west-1", True),
        *((service, "eu-west-1", False) for service in ("iam", "route53", "sts")),
    ],
)
def test_a_region_that_is_not_there(service: str, region: str, refused: bool) -> None:
    assert (rules.unknown_region(call(service, region=region)) is not None) == refused


@pytest.mark.parametrize(
    ("service", "vpc", "refused"),
    [("ec2", "vpc-1", True), ("sts", "vpc-1", True), ("s3", "vpc-1", False), ("ec2", None, False)],
)
def test_through_an_s3_endpoint_only_s3_is_reached(
    monkeypatch: pytest.MonkeyPatch, service: str, vpc: str | None, refused: bool
) -> None:
    monkeypatch.setattr(cloud, "s3_endpoint_of", {"vpc-1": "vpce-1"}.get)
    told = rules.s3_endpoint_only({"10.0.0.9": vpc}.get)(call(service))  # type: ignore[arg-type]
    assert (told is not None) == refused
    if told:
        assert (told.status, "vpce-1" in told.message) == (403, True)


COPY = {"x-amz-copy-source": "b/k"}


@pytest.mark.parametrize(
    ("facts", "refused"),
    [
        ({"method": "PUT", "headers": COPY | {"if-none-match": "*"}}, True),
        ({"method": "PUT", "headers": COPY | {"if-match": "e"}}, True),
        ({"method": "PUT", "headers": COPY}, False),
        ({"method": "PUT", "headers": {"if-none-match": "*"}}, False),
        ({"method": "GET", "headers": COPY | {"if-match": "e"}}, False),
        ({"service": "ec2", "method": "PUT", "headers": COPY | {"if-match": "e"}}, False),
    ],
)
def test_a_copy_has_no_condition_on_its_target(facts: dict[str, Any], refused: bool) -> None:
    told = rules.conditional_copy(call(**{"service": "s3", **facts}))
    assert (told is not None) == refused
    if told:
        assert (told.code, told.status) == ("NotImplemented", 501)


@pytest.mark.parametrize(
    ("facts", "refused"),
    [
        ({"region": "us-east-1"}, True),
        ({"region": "us-west-2"}, False),
        ({"region": "us-east-1", "access_key": None}, False),
        ({"region": "us-east-1", "query": {"AWSAccessKeyId": "k"}}, False),
        ({"region": "us-east-1", "bucket": "unknown"}, False),
        ({"region": "us-east-1", "bucket": None}, False),
        ({"region": "us-east-1", "service": "ec2"}, False),
    ],
)
def test_a_bucket_is_answered_for_in_its_own_region(
    monkeypatch: pytest.MonkeyPatch, facts: dict[str, Any], refused: bool
) -> None:
    held = SimpleNamespace(buckets={"b": SimpleNamespace(region_name="us-west-2")})
    monkeypatch.setattr(cloud, "s3", lambda: held)
    told = region_mismatch(call(**{"service": "s3", "bucket": "b", "access_key": "k", **facts}))
    assert (told is not None) == refused
    if told:
        assert (dict(told.headers), dict(told.details)) == (
            {"x-amz-bucket-region": "us-west-2"},
            {"Region": "us-west-2"},
        )


# -- what the machine must have -------------------------------------------------------------------------------


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> SimpleNamespace:
    """One that has all; a test takes something away."""
    made = SimpleNamespace(user=0, tools=set(preconditions._TOOLS), free=8 << 30, loop=tmp_path / "loop-control")
    made.loop.touch()
    made.kernel = tmp_path / "filesystems"
    made.kernel.write_text("nodev\toverlay\n\txfs\n\text4\n")
    paths = {"/proc/filesystems": made.kernel, "/dev/loop-control": made.loop}
    monkeypatch.setattr(preconditions, "os", SimpleNamespace(geteuid=lambda: made.user))
    monkeypatch.setattr(preconditions, "Path", paths.__getitem__)
    monkeypatch.setattr(
        preconditions,
        "shutil",
        SimpleNamespace(
            which=lambda tool: tool if tool in made.tools else None,
            disk_usage=lambda path: SimpleNamespace(free=made.free),
        ),
    )
    return made


def test_a_machine_that_has_all_is_let_through(machine: SimpleNamespace) -> None:
    preconditions.require()
    assert (preconditions.missing(), preconditions.packages()) == ([], [])


def test_all_that_is_missing_is_named_at_once(machine: SimpleNamespace) -> None:
    machine.user, machine.free = 1000, (8 << 30) - 1
    machine.tools -= {"ip", "nft"}
    machine.loop.unlink()
    machine.kernel.write_text("\text4\n")
    assert [line.split(";")[0].split(" (")[0] for line in preconditions.missing()] == [
        "it needs root",
        "missing tools: ip, nft",
        "the kernel has no overlay file system",
        "the kernel has no xfs file system",
        "the kernel has no loop devices",
        "/var/tmp has 7 GiB free",
    ]
    assert preconditions.packages() == ["iproute2", "nftables"]
    with pytest.raises(PreconditionMissing, match=r"(?s)needs root.*missing tools.*7 GiB free"):
        preconditions.require()
