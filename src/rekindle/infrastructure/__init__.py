"""Drives Pulumi: what stands, and making it what the program declares, whatever killed the engine before."""

from rekindle.infrastructure.engine import Operations, Project
from rekindle.infrastructure.update import Find, inventory, outputs, up

__all__ = ["Find", "Operations", "Project", "inventory", "outputs", "up"]
