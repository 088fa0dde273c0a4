"""The environment's data key: made once, kept wrapped in the store."""

from rekindle.journal.store import Store
from rekindle.secrets import Envelope, Keyring


def open_keyring(store: Store, environment: str, envelope: Envelope) -> Keyring:
    """The keyring whose wrapped data key is `keys/<environment>.json`; made there if there is none."""
    raise NotImplementedError
