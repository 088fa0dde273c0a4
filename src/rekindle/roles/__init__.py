"""Loads, renders and validates roles/: what a kind of host becomes, as data over a few kinds of subject."""

from rekindle.roles.genconf import config_yaml
from rekindle.roles.load import Roles, load
from rekindle.roles.render import Rendered, Variables, inputs_digest, render
from rekindle.roles.settings import DcosSettings, HostSettings

__all__ = [
    "DcosSettings",
    "HostSettings",
    "Rendered",
    "Roles",
    "Variables",
    "config_yaml",
    "inputs_digest",
    "load",
    "render",
]
