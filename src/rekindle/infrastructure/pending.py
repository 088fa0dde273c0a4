"""Operations that a killed engine left open, and the state in which they are settled.

Pure: takes the deployment that `pulumi stack export` gives and returns the one to import.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict

Deployment: TypeAlias = Mapping[str, Any]
"""What `pulumi stack export` prints (deployment schema 3 and 4)."""


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class Resource(_Part):
    urn: str
    type: str
    delete: bool = False
    inputs: dict[str, Any] | None = None


class OpenOperation(_Part):
    type: str
    resource: Resource


class State(_Part):
    resources: list[Resource] | None = None
    pending_operations: list[OpenOperation] | None = None


class Exported(_Part):
    """What of an exported deployment is read here (pulumi 3.250, sdk/go/common/apitype/core.go)."""

    deployment: State


@dataclass(frozen=True, kw_only=True)
class Pending:
    """One resource whose creation began and whose end nobody saw."""

    urn: str
    type: str  # "aws:ec2/volume:Volume"
    inputs: Mapping[str, Any]


def is_interrupted(exported: Deployment) -> bool:
    """Whether any operation is open."""
    return bool(_operations(exported))


def creations(exported: Deployment) -> tuple[Pending, ...]:
    """The creations that are open: each must be looked for before the program runs again."""
    return tuple(
        Pending(urn=r["urn"], type=r["type"], inputs=r.get("inputs") or {})
        for r in (op["resource"] for op in _operations(exported) if op["type"] == "creating")
    )


def changing(exported: Deployment) -> frozenset[str]:
    """URNs of resources in the state that were being changed or deleted: they must be read again."""
    return frozenset(op["resource"]["urn"] for op in _operations(exported) if op["type"] in ("updating", "deleting"))


def settled(exported: Deployment, found: Mapping[str, str]) -> dict[str, Any]:
    """The deployment with no operation open: what was found (URN to id) is in it, what was not is not."""
    deployment = dict(exported["deployment"])
    born = [
        {**op["resource"], "id": found[op["resource"]["urn"]], "outputs": op["resource"].get("inputs") or {}}
        for op in _operations(exported)
        if op["type"] == "creating" and op["resource"]["urn"] in found
    ]
    deployment["resources"] = [*_replaced(deployment.get("resources") or (), found), *born]
    deployment["pending_operations"] = []
    return {**exported, "deployment": deployment}


def _replaced(resources: Iterable[Mapping[str, Any]], found: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
    """What stood under the URN of a found creation was being replaced by it: the engine deletes it next."""
    return [{**r, "delete": True} if r["urn"] in found and not r.get("delete") else r for r in resources]


def _operations(exported: Deployment) -> Sequence[Mapping[str, Any]]:
    return exported["deployment"].get("pending_operations") or ()
