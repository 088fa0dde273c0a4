"""Subjects of hosts: files, packages, units, … read in one round trip and written in one stream."""

from rekindle.drivers.hosts.driver import KINDS, HostDriver
from rekindle.drivers.hosts.file import file_state, keyed_digest, plain_digest

__all__ = ["KINDS", "HostDriver", "file_state", "keyed_digest", "plain_digest"]
