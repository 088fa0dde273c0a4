"""Subjects of hosts: files, packages, units, … read in one round trip and written in one stream."""

from rekindle.drivers.hosts.driver import KINDS, HostDriver
from rekindle.drivers.hosts.file import content_digest, file_state

__all__ = ["KINDS", "HostDriver", "content_digest", "file_state"]
