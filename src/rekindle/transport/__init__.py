"""SSH: the only room that knows how hosts are reached; alone imports Fabric and paramiko."""

import logging

from rekindle.transport.execution import Result
from rekindle.transport.files import PutFile, require_path
from rekindle.transport.host_keys import FirstKey, MemoryPins, Pins, fingerprint
from rekindle.transport.long_run import unit_name
from rekindle.transport.shell import PLACES, aside_of
from rekindle.transport.transport import Transport

__all__ = [
    "PLACES",
    "FirstKey",
    "MemoryPins",
    "Pins",
    "PutFile",
    "Result",
    "Transport",
    "aside_of",
    "fingerprint",
    "require_path",
    "unit_name",
]

logging.getLogger("paramiko").addHandler(logging.NullHandler())  # what it has to say comes as errors
