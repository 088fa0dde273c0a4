"""Values of secrets: encrypted, versioned, and named in the journal by keyed digest only."""

from rekindle.journal.journal import Journal
from rekindle.journal.store import Store
from rekindle.secrets import Keyring, Secret


class SecretStore:
    """Secrets of one environment under `secrets/<environment>/<name>/<version>`."""

    def __init__(self, store: Store, keyring: Keyring, journal: Journal) -> None:
        raise NotImplementedError

    def set(self, name: str, secret: Secret) -> int:
        """Keeps a new version and says so in the journal; the version. An equal value makes no new one."""
        raise NotImplementedError

    def get(self, name: str) -> Secret:
        """The newest version; InputError says how to set one that is missing."""
        raise NotImplementedError

    def names(self) -> tuple[str, ...]:
        """Names of all secrets that are set."""
        raise NotImplementedError
