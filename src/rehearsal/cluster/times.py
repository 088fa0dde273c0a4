"""Times as the components print them."""

from __future__ import annotations

from datetime import UTC, datetime


def timestamp(seconds: float) -> str:
    """RFC 3339 with milliseconds and Z, as Marathon prints."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def seconds_of(text: str) -> float:
    """The epoch seconds of a timestamp."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
