"""Every resource that can be tagged says which environment and which URN it is."""

from collections.abc import Mapping
from typing import Any

import pulumi

ENVIRONMENT_TAG = "rekindle:environment"
URN_TAG = "rekindle:urn"  # by it, what a killed engine created is found again


def register(*, project: str, stack: str) -> None:
    """Tags everything that this program declares after this call."""
    qualified: dict[pulumi.Resource, str] = {}

    def tagged(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        kind = _qualified(args, qualified)
        if "tags" not in args.props:
            return None
        urn = f"urn:pulumi:{stack}::{project}::{kind}::{args.name}"
        tags = with_identity(args.props["tags"] or {}, environment=stack, urn=urn)
        return pulumi.ResourceTransformationResult({**args.props, "tags": tags}, args.opts)

    pulumi.runtime.register_stack_transformation(tagged)


def with_identity(tags: Mapping[str, Any], *, environment: str, urn: str) -> dict[str, Any]:
    """The tags with environment and URN; `$` is no character for a tag on all services, `/` is."""
    return {**tags, ENVIRONMENT_TAG: environment, URN_TAG: urn.replace("$", "/")}


def _qualified(args: pulumi.ResourceTransformationArgs, known: dict[pulumi.Resource, str]) -> str:
    """The types of a resource's parents and its own, as they stand in its URN."""
    parent = args.opts.parent
    before = known.get(parent, "") if parent is not None else ""
    known[args.resource] = f"{before}${args.type_}" if before else args.type_
    return known[args.resource]
