"""Values of secrets: encrypted, versioned, and named in the journal by keyed digest only."""

import re

from rekindle.errors import InputError, Refused
from rekindle.journal.entries import SecretSet
from rekindle.journal.journal import Journal
from rekindle.journal.seal import damaged
from rekindle.journal.store import AlreadyExists, Missing, Store
from rekindle.secrets import Keyring, Secret

NAME = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*")


class SecretStore:
    """Secrets of one environment under `secrets/<environment>/<name>/<version>`."""

    def __init__(self, store: Store, keyring: Keyring, journal: Journal) -> None:
        self._store = store
        self._keyring = keyring
        self._journal = journal

    @property
    def environment(self) -> str:
        return self._journal.environment

    @property
    def may_set(self) -> bool:
        """Whether the journal, which names every version, was opened for writing."""
        return self._journal.may_append

    def set(self, name: str, secret: Secret) -> int:
        """Keeps a new version and says so in the journal; the version. An equal value makes no new one."""
        _require_name(name)
        current, digest = self._journal.fold().secrets.get(name), self._keyring.digest(secret)
        if current and current.digest == digest:
            return current.version
        self._require_may_set(name)
        version = self._keep(name, secret, current.version + 1 if current else 1)
        self._journal.append(SecretSet(name=name, version=version, digest=digest))
        return version

    def get(self, name: str) -> Secret:
        """The newest version; InputError says how to set one that is missing."""
        current = self._journal.fold().secrets.get(name)
        if current is None:
            raise InputError(
                f"no secret is named {name}",
                where=self._journal.environment,
                next_step=f"Set it with `rekindle secret set {self._journal.environment} {name}`.",
            )
        return self._opened(self._key(name, current.version), current.digest)

    def names(self) -> tuple[str, ...]:
        """Names of all secrets that are set."""
        return tuple(sorted(self._journal.fold().secrets))

    def renew(self) -> int:
        """Every secret is kept under the newest key; how many new versions that took."""
        before = self._journal.fold().secrets
        after = {name: self.set(name, self.get(name)) for name in self.names()}
        return sum(version != before[name].version for name, version in after.items())

    def _opened(self, key: str, digest: str) -> Secret:
        """The value that the journal names by a digest under the key it is encrypted with."""
        try:
            body = self._store.get(key)
            secret = self._keyring.decrypt(body, context=key)
        except Missing as error:
            raise damaged(key, "is missing") from error
        except InputError as error:
            raise damaged(key, error.what) from error
        if self._keyring.that_encrypted(body, key).digest(secret) != digest:
            raise damaged(key, "is not the value that the journal names")
        return secret

    def _require_may_set(self, name: str) -> None:
        """Before anything is written: an object that the journal cannot name would stay for nothing."""
        if not self.may_set:
            raise Refused(
                f"{name} cannot be set by a command that only looks",
                where=f"secrets of {self.environment}",
                next_step=f"Set it with `rekindle secret set {self.environment} {name}`.",
            )

    def _keep(self, name: str, secret: Secret, version: int) -> int:
        """The first free version from this one on: a killed command may have kept one and not said so."""
        while True:
            key = self._key(name, version)
            try:
                body = self._keyring.encrypt(secret, context=key)
                self._store.create(key, body)
                return version
            except AlreadyExists:
                version += 1

    def _key(self, name: str, version: int) -> str:
        return f"secrets/{self._journal.environment}/{name}/{version}"


def _require_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise InputError(
            f"{name!r} is no name for a secret", next_step="Use small letters, digits, dots, dashes and slashes."
        )
