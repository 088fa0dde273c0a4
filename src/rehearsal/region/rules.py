"""What the middleware refuses before moto is asked."""

from __future__ import annotations

from collections.abc import Callable

from rehearsal.region import cloud
from rehearsal.region.api import Rule, region_mismatch
from rehearsal.region.authorization import authorization
from rehearsal.region.refusals import Refusal
from rehearsal.region.request import Call
from rehearsal.region.stage import REGIONS

VpcOfLink = Callable[[str], str | None]


def rules(vpc_of_link: VpcOfLink) -> list[Rule]:
    """In the order in which they are asked."""
    return [
        unknown_region,
        s3_endpoint_only(vpc_of_link),
        authorization(vpc_of_link),
        region_mismatch,
        conditional_copy,
    ]


def unknown_region(call: Call) -> Refusal | None:
    """The stage has two regions."""
    if call.region in REGIONS or call.service in {"iam", "route53", "sts"}:
        return None
    return Refusal(code="InvalidRegion", message=f"the rehearsal region has {' and '.join(REGIONS)}, not {call.region}")


def s3_endpoint_only(vpc_of_link: VpcOfLink) -> Rule:
    """Through an S3 gateway endpoint only S3 is reached."""

    def rule(call: Call) -> Refusal | None:
        vpc = vpc_of_link(call.source)
        if vpc is None or call.service == "s3":
            return None
        endpoint = cloud.s3_endpoint_of(vpc)
        message = f"{call.service} cannot be reached through the S3 endpoint {endpoint}: the subnet needs a NAT gateway"
        return Refusal(code="EndpointUnreachable", message=message, status=403)

    return rule


def conditional_copy(call: Call) -> Refusal | None:
    """S3 copies without a condition on the target only (user guide, "Enforce conditional writes")."""
    is_conditional = "if-none-match" in call.headers or "if-match" in call.headers
    if call.service != "s3" or call.method != "PUT" or "x-amz-copy-source" not in call.headers or not is_conditional:
        return None
    message = "A header you provided implies functionality that is not implemented"
    return Refusal(code="NotImplemented", message=message, status=501)
