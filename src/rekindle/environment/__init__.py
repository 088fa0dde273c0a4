"""The settings of an environment, parsed once; its addresses, placement and table of flows as pure functions."""

from rekindle.environment.addresses import Subnet, master_address, subnets
from rekindle.environment.flows import FLOWS, Flow, Origin, flows_into
from rekindle.environment.placement import Placed, placed_hosts
from rekindle.environment.settings import Environment, Pool, VolumeSettings, load, parse

__all__ = [
    "FLOWS",
    "Environment",
    "Flow",
    "Origin",
    "Placed",
    "Pool",
    "Subnet",
    "VolumeSettings",
    "flows_into",
    "load",
    "master_address",
    "parse",
    "placed_hosts",
    "subnets",
]
