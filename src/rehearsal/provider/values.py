"""Property values between Pulumi's wire form and plain Python."""

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf import struct_pb2
from google.protobuf.json_format import MessageToDict

Properties = dict[str, Any]

# Source: pulumi/sdk/go/common/resource/plugin/rpc.go (UnknownStringValue and its siblings), v3.250.0.
UNKNOWN: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_SIGNATURE: Final = "4dabf18193072939515e22adb298388d"


def decode(struct: struct_pb2.Struct) -> Properties:
    """Plain values; nulls and the engine's own `__` keys are dropped, whole numbers are ints."""
    return {
        key: _plain(value)
        for key, value in MessageToDict(struct).items()
        if value is not None and not key.startswith("__")
    }


def encode(properties: Mapping[str, Any]) -> struct_pb2.Struct:
    """The wire form of plain values; nulls are dropped."""
    struct = struct_pb2.Struct()
    struct.update({key: value for key, value in properties.items() if value is not None})
    return struct


def is_unknown(value: Any) -> bool:
    """Whether a value, or anything inside it, is not known before other resources exist."""
    if isinstance(value, dict):
        return any(is_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(is_unknown(item) for item in value)
    return bool(value == UNKNOWN)


def aligned(wanted: Any, observed: Any) -> Any:
    """What is observed, in the order and with the parts that were wanted: AWS returns sets and defaults."""
    if isinstance(wanted, dict) and isinstance(observed, dict):
        return {key: aligned(wanted[key], observed[key]) for key in wanted if key in observed}
    if isinstance(wanted, list) and isinstance(observed, list):
        return wanted if _same_members(wanted, observed) else observed
    return observed


def _same_members(left: list[Any], right: list[Any]) -> bool:
    return len(left) == len(right) and all(any(aligned(item, other) == item for other in right) for item in left)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        if _SIGNATURE in value:
            return _plain(value.get("value"))
        return {key: _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
