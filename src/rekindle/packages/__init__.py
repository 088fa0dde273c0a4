"""Loads, renders and validates packages/: services as code."""

from rekindle.packages.checks import check, check_capacity
from rekindle.packages.loading import Package, holders, load, load_one
from rekindle.packages.rendering import (
    OWNER_LABEL,
    VALUES_ARE_IN,
    Service,
    Source,
    owner_of,
    secret_name,
    secret_path,
    services,
    sources,
)
from rekindle.packages.schema import BackupSpec, BarrierSpec, PackageSpec
from rekindle.packages.universe import REPOSITORY_TYPE, Universe

__all__ = [
    "OWNER_LABEL",
    "REPOSITORY_TYPE",
    "VALUES_ARE_IN",
    "BackupSpec",
    "BarrierSpec",
    "Package",
    "PackageSpec",
    "Service",
    "Source",
    "Universe",
    "check",
    "check_capacity",
    "holders",
    "load",
    "load_one",
    "owner_of",
    "secret_name",
    "secret_path",
    "services",
    "sources",
]
