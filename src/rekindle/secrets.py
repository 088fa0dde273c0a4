"""The type whose repr is `***`, and the keyed digest by which secrets are compared."""

import hashlib
import hmac
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Secret:
    """A value that no repr, str, log or error shows; `reveal` is the only way to it."""

    _value: str = field(repr=False)

    def reveal(self) -> str:
        """The clear value, for the one call that needs it."""
        return self._value

    def digest(self, key: bytes) -> str:
        """HMAC-SHA-256 in hex: equal secrets have equal digests, and nobody without the key can guess."""
        return hmac.new(key, self._value.encode(), hashlib.sha256).hexdigest()

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__
