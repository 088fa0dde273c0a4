"""What can be wrong with a rehearsal region."""

from __future__ import annotations


class RegionError(Exception):
    """What is wrong, where, and what to do next."""


class AlreadyUp(RegionError):
    """A region of this name is up already."""


class NotUp(RegionError):
    """No region of this name is up."""


class PreconditionMissing(RegionError):
    """The machine lacks something that the region needs."""
