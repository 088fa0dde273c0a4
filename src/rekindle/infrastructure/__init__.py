"""Drives Pulumi: what stands, and making it what the program declares, whatever killed the engine before."""

from rekindle.infrastructure.engine import Operations, Project
from rekindle.infrastructure.lookup import Lookup
from rekindle.infrastructure.record import Recorded
from rekindle.infrastructure.update import Find, configure, inventory, outputs, up

__all__ = ["Find", "Lookup", "Operations", "Project", "Recorded", "configure", "inventory", "outputs", "up"]
