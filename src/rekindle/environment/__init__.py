"""The settings of an environment, parsed once; its addresses, placement and table of flows as pure functions."""

from rekindle.environment.addresses import Subnet, bootstrap_address, master_address, subnets
from rekindle.environment.flows import FLOWS, Flow, Origin, flows_into
from rekindle.environment.foundation import (
    SWITCH_DIMENSION,
    SWITCH_METRIC,
    Foundation,
    PublicName,
    own_name,
    parse_foundation,
    switch_alarm,
    switch_key,
)
from rekindle.environment.placement import Placed, placed_hosts
from rekindle.environment.settings import Environment, Pool, VolumeSettings, is_name, load, parse

__all__ = [
    "FLOWS",
    "SWITCH_DIMENSION",
    "SWITCH_METRIC",
    "Environment",
    "Flow",
    "Foundation",
    "Origin",
    "Placed",
    "Pool",
    "PublicName",
    "Subnet",
    "VolumeSettings",
    "bootstrap_address",
    "flows_into",
    "is_name",
    "load",
    "master_address",
    "own_name",
    "parse",
    "parse_foundation",
    "placed_hosts",
    "subnets",
    "switch_alarm",
    "switch_key",
]
