"""The Pulumi program: one for the foundation and for every environment; it only wires."""

from typing import Any

import pulumi

from components import environment, foundation, tagging
from components.config import stack_config
from rekindle.environment import parse, parse_foundation
from rekindle.environment.foundation import FOUNDATION_KEY
from rekindle.errors import RekindleError


def declare(stack: str, project: str) -> dict[str, Any]:
    """Declares the stack and returns its outputs."""
    config, where = stack_config(), f"stacks/Pulumi.{stack}.yaml"
    tagging.register(project=project, stack=stack)
    if FOUNDATION_KEY in config:
        return foundation.build(parse_foundation(config, where=where))
    return environment.build(parse(stack, config, where=where), project=project)


try:
    outputs = declare(pulumi.get_stack(), pulumi.get_project())
except RekindleError as error:
    raise pulumi.RunError(str(error)) from error  # a sentence for a person, not a traceback

for name, value in outputs.items():
    pulumi.export(name, value)
