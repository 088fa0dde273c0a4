"""Objects of the journal: numbered, each with the digest of the one before it and a MAC."""

from dataclasses import dataclass

NOTHING = "0" * 64


@dataclass(frozen=True)
class Head:
    """The newest object: its number (0: none yet) and the SHA-256 of its bytes."""

    sequence: int = 0
    digest: str = NOTHING
