"""Builds the archive with the DC/OS advanced installer's interface."""

from rehearsal.installer.archive import build

__all__ = ["build"]
