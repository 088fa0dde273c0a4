"""What a sealed document says, parsed once into typed values; who sealed it may have been another version."""

from datetime import UTC, datetime
from typing import Annotated, Any, TypeAlias, TypeVar

from pydantic import AwareDatetime, Field, StrictInt, StringConstraints, TypeAdapter, ValidationError

from rekindle.journal.naming import LAST
from rekindle.journal.seal import damaged

T = TypeVar("T")

Number: TypeAlias = Annotated[StrictInt, Field(ge=0, le=LAST)]
"""A sequence number or a generation: what a key can hold."""

Digest: TypeAlias = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
"""SHA-256 in hex."""

Moment: TypeAlias = Annotated[
    AwareDatetime, Field(ge=datetime(1970, 1, 1, tzinfo=UTC), le=datetime(9000, 1, 1, tzinfo=UTC))
]
"""Far enough from the calendar's ends to be reckoned with."""


def parsed(adapter: TypeAdapter[T], key: str, content: Any) -> T:
    """The content of the object under `key`; JournalDamaged says which part of it is odd."""
    try:
        return adapter.validate_python(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "it"
        raise damaged(key, f"says what this version of Rekindle cannot read: {place}: {first['msg']}") from error
