"""The stack's config values as they stand in its file."""

from typing import Any

import pulumi

from rekindle.environment.foundation import FOUNDATION_KEY
from rekindle.environment.settings import ENVIRONMENT_KEY, REGION_KEY, RESTORE_KEY, STANDBY_KEY

_KEYS = (ENVIRONMENT_KEY, FOUNDATION_KEY, REGION_KEY, RESTORE_KEY, STANDBY_KEY)
_STRUCTURED = frozenset({ENVIRONMENT_KEY, FOUNDATION_KEY, RESTORE_KEY})


def stack_config() -> dict[str, Any]:
    """The values of the keys that Rekindle knows, by their full names; absent ones are left out."""
    values = {key: _value(key) for key in _KEYS}
    return {key: value for key, value in values.items() if value is not None}


def _value(key: str) -> Any:
    namespace, name = key.split(":")
    config = pulumi.Config(namespace)
    return config.get_object(name) if key in _STRUCTURED else config.get(name)
