"""How each AWS service words a refusal."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from xml.sax.saxutils import escape

from rehearsal.region.request import Call


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """An error answer."""

    code: str
    message: str
    status: int = 400
    headers: tuple[tuple[str, str], ...] = ()
    details: tuple[tuple[str, str], ...] = ()
    """Further elements of S3's error document."""


def send(refusal: Refusal, call: Call, start_response: Any) -> Iterable[bytes]:
    """Answers in the wire format of the service that was asked."""
    media_type, body = _body(refusal, call)
    phrase = HTTPStatus(refusal.status).phrase
    headers = [("Content-Type", media_type), ("Content-Length", str(len(body))), *refusal.headers]
    start_response(f"{refusal.status} {phrase}", headers)
    return [] if call.method == "HEAD" else [body]


def _body(refusal: Refusal, call: Call) -> tuple[str, bytes]:
    code, message = escape(refusal.code), escape(refusal.message)
    if call.service == "ec2":
        inner = f"<Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
        return "text/xml", f"<Response>{inner}<RequestID>rehearsal</RequestID></Response>".encode()
    if call.service == "s3":
        details = "".join(f"<{k}>{escape(v)}</{k}>" for k, v in refusal.details)
        return "application/xml", f"<Error><Code>{code}</Code><Message>{message}</Message>{details}</Error>".encode()
    if call.service in {"iam", "sts", "elbv2", "route53"}:
        inner = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
        return "text/xml", f"<ErrorResponse>{inner}<RequestId>rehearsal</RequestId></ErrorResponse>".encode()
    return "application/x-amz-json-1.1", json.dumps({"__type": refusal.code, "message": refusal.message}).encode()
