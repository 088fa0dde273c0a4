"""Bare hosts to a cluster: roles over the inventory, in the order that must hold, behind gates."""

from rekindle.bootstrap.account import ServiceAccount, service_account
from rekindle.bootstrap.declare import declare, host_settings
from rekindle.bootstrap.steps import drivers, plan
from rekindle.plan import Observed, observe

__all__ = [
    "Observed",
    "ServiceAccount",
    "declare",
    "drivers",
    "host_settings",
    "observe",
    "plan",
    "service_account",
]
