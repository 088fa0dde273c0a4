"""Rekindle's own login: a service account whose key pair is made before the cluster is."""

from dataclasses import dataclass
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from rekindle.errors import InputError
from rekindle.secrets import Secret

NAME = "dcos/service-account"  # in the secret store
UID = "rekindle"
KEY_BITS = 2048  # what `dcos security org service-accounts keypair` makes


class Secrets(Protocol):
    """As much of the secret store as is needed here."""

    @property
    def environment(self) -> str: ...

    @property
    def may_set(self) -> bool: ...

    def set(self, name: str, secret: Secret) -> int: ...

    def get(self, name: str) -> Secret: ...

    def names(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class ServiceAccount:
    """A key pair: the public half goes into the cluster's configuration, the private one logs in."""

    private_key: Secret  # PEM, PKCS 8
    public_key: str  # PEM, SubjectPublicKeyInfo
    uid: str = UID


def service_account(secrets: Secrets) -> ServiceAccount:
    """The environment's key pair, made and kept if there is none; InputError if it may not be made."""
    if NAME not in secrets.names():
        _require_may_set(secrets)
        secrets.set(NAME, Secret(_pem(generate_private_key(public_exponent=65537, key_size=KEY_BITS))))
    private_key = secrets.get(NAME)
    return ServiceAccount(private_key, _public(private_key))


def _require_may_set(secrets: Secrets) -> None:
    """A command that only looks makes no account: no cluster was made that knows one."""
    if not secrets.may_set:
        raise InputError(
            "it is not bootstrapped yet",
            where=secrets.environment,
            next_step=f"Run `rekindle bootstrap {secrets.environment}`.",
        )


def _pem(key: RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _public(private_key: Secret) -> str:
    try:
        key = load_pem_private_key(private_key.reveal().encode(), password=None)
    except ValueError:
        raise InputError("is no private key in PEM form", where=f"secret {NAME}") from None
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
