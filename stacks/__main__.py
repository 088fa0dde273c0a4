"""The Pulumi program: one for the foundation and for every environment; it only wires."""

import pulumi

from components import environment, foundation, tagging
from components.config import stack_config
from rekindle.environment import parse, parse_foundation
from rekindle.environment.foundation import FOUNDATION_KEY

stack = pulumi.get_stack()
where = f"stacks/Pulumi.{stack}.yaml"
config = stack_config()

tagging.register(project=pulumi.get_project(), stack=stack)

if FOUNDATION_KEY in config:
    outputs = foundation.build(parse_foundation(config, where=where))
else:
    outputs = environment.build(parse(stack, config, where=where), project=pulumi.get_project())

for name, value in outputs.items():
    pulumi.export(name, value)
