"""Which request and response types each of Cosmos' calls has (rpc/MediaTypes.scala). They must match exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rehearsal.cluster.cosmos.errors import CosmosError


@dataclass(frozen=True)
class Call:
    """A call's request type, and its response types by version, preferred first."""

    request: str
    responses: dict[str, str]


def _call(service: str, name: str, *versions: str) -> Call:
    prefix = f"application/vnd.dcos.{service}.{name}"
    return Call(
        request=f"{prefix}-request+json;charset=utf-8;version=v1",
        responses={version: f"{prefix}-response+json;charset=utf-8;version={version}" for version in versions},
    )


CALLS = {
    "/package/describe": _call("package", "describe", "v3", "v2"),
    "/package/install": _call("package", "install", "v2", "v1"),
    "/package/render": _call("package", "render", "v1"),
    "/package/uninstall": _call("package", "uninstall", "v1"),
    "/package/list": _call("package", "list", "v1"),
    "/package/list-versions": _call("package", "list-versions", "v1"),
    "/package/search": _call("package", "search", "v1"),
    "/package/repository/list": _call("package", "repository.list", "v1"),
    "/package/repository/add": _call("package", "repository.add", "v1"),
    "/package/repository/delete": _call("package", "repository.delete", "v1"),
    "/service/describe": _call("service", "describe", "v1"),
    "/service/update": _call("service", "update", "v1"),
}
CAPABILITIES = "application/vnd.dcos.capabilities+json;charset=utf-8;version=v1"


def normal(value: str) -> str:
    """A media type without spaces, in lower case."""
    return ";".join(part.strip() for part in value.lower().split(";"))


def negotiate(call: Call, headers: Mapping[str, str]) -> str:
    """The response's version; raises not_present or not_valid as Cosmos does."""
    content_type, accept = headers.get("Content-Type"), headers.get("Accept")
    problems = [message for message in (_content_type(call, content_type), _accept(call, accept)) if message]
    if len(problems) == 2:
        raise CosmosError("multiple_errors", "Multiple errors while processing request",
                          errors=[{"type": kind, "message": text} for kind, text in problems])  # fmt: skip
    if problems:
        raise CosmosError(*problems[0])
    wanted = {normal(one) for one in (accept or "").split(",")}
    return next(version for version, known in call.responses.items() if known in wanted)


def _content_type(call: Call, value: str | None) -> tuple[str, str] | None:
    if value is None:
        return "not_present", "Item 'header 'Content-Type'' not present but required"
    if normal(value) != call.request:
        return "not_valid", (
            f"Item 'header 'Content-Type'' deserialization failed: Error parsing media type. Expected [{call.request}] "
            f"but got [{value}]")  # fmt: skip
    return None


def _accept(call: Call, value: str | None) -> tuple[str, str] | None:
    if value is None:
        return "not_present", "Item 'header 'Accept'' not present but required"
    if not {normal(one) for one in value.split(",")} & set(call.responses.values()):
        known = ", ".join(call.responses.values())
        return "not_valid", f"Item 'header 'Accept'' deserialization failed: Expected [{known}] but got [{value}]"
    return None
