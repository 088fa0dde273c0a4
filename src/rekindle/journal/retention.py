"""How long the bucket keeps what the journal's store holds: one place for every kind of object."""

from collections.abc import Mapping
from datetime import timedelta

LONGEST = timedelta(days=3650)
"""What nothing else can rebuild is kept for as long as anything is."""

RETENTION: Mapping[str, timedelta] = {
    "keys": LONGEST,
    "secrets": LONGEST,
    "releases": LONGEST,
    "bundles": LONGEST,
    "journal": LONGEST,
    "checkpoints": LONGEST,
    "lock": timedelta(days=400),  # of these the newest counts: it stays if anything runs once a year
}
"""By kind, the first part of a key."""


def retention(key: str) -> timedelta:
    """How long an object of this key can be neither removed nor written over, from its creation on."""
    return RETENTION.get(key.partition("/")[0], LONGEST)
