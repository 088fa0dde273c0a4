"""The type whose repr is `***`, the keyring that digests and encrypts, and the envelopes that wrap its key."""

import base64
import hashlib
import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from rekindle.aws.clients import Client
from rekindle.aws.errors import translated
from rekindle.errors import InputError

PASSPHRASE_VARIABLE = "REKINDLE_PASSPHRASE"  # noqa: S105 - the name of the variable, not a value
KEY_BYTES = 32
NONCE_BYTES = 12  # NIST SP 800-38D, 8.2
SALT_BYTES = 16
SCRYPT = {"n": 2**17, "r": 8, "p": 1}  # OWASP Password Storage Cheat Sheet


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


class Keyring:
    """Keys of one environment, each derived from its data key for one purpose."""

    def __init__(self, data_key: bytes) -> None:
        self.mac_key = _derived(data_key, "mac")
        self.digest_key = _derived(data_key, "digest")  # for Secret.digest
        self._cipher = AESGCM(_derived(data_key, "encryption"))

    def mac(self, body: bytes) -> str:
        """HMAC-SHA-256 in hex."""
        return hmac.new(self.mac_key, body, hashlib.sha256).hexdigest()

    def digest(self, secret: Secret) -> str:
        """The keyed digest by which states and the journal name this value."""
        return secret.digest(self.digest_key)

    def encrypt(self, secret: Secret, context: str) -> bytes:
        """AES-256-GCM; only the same context opens it again."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret.reveal().encode(), context.encode())

    def decrypt(self, body: bytes, context: str) -> Secret:
        """What `encrypt` was given; InputError if key, context or bytes are others."""
        try:
            clear = self._cipher.decrypt(body[:NONCE_BYTES], body[NONCE_BYTES:], context.encode())
        except (InvalidTag, ValueError) as error:
            raise InputError("cannot be decrypted: altered, or encrypted under another key", where=context) from error
        return Secret(clear.decode())

    def __repr__(self) -> str:
        return "Keyring(***)"


class Envelope(Protocol):
    """Wraps a data key so that it can be kept beside what it encrypts."""

    def wrap_new(self, environment: str) -> tuple[bytes, Mapping[str, str]]:
        """A new data key in the clear, and wrapped as a document."""

    def unwrap(self, environment: str, wrapped: Mapping[str, str]) -> bytes:
        """The data key; InputError if this envelope cannot open it."""


class KmsEnvelope:
    """A data key under a KMS key, bound to its environment by the encryption context."""

    def __init__(self, client: Client, key_arn: str) -> None:
        self._client = client
        self._key_arn = key_arn

    def wrap_new(self, environment: str) -> tuple[bytes, Mapping[str, str]]:
        with translated(self._client):
            made = self._client.generate_data_key(
                KeyId=self._key_arn, KeySpec="AES_256", EncryptionContext=_kms_context(environment)
            )
        wrapped = {"envelope": "kms", "key_arn": self._key_arn, "wrapped": _text(made["CiphertextBlob"])}
        return made["Plaintext"], wrapped

    def unwrap(self, environment: str, wrapped: Mapping[str, str]) -> bytes:
        _require(wrapped, "kms", environment)
        with translated(self._client):
            opened = self._client.decrypt(
                CiphertextBlob=base64.b64decode(wrapped["wrapped"]), EncryptionContext=_kms_context(environment)
            )
        data_key: bytes = opened["Plaintext"]
        return data_key


class PassphraseEnvelope:
    """A data key under a key that scrypt makes of a passphrase; for stores outside AWS."""

    def __init__(self, passphrase: Secret) -> None:
        self._passphrase = passphrase

    @classmethod
    def from_environment(cls, variables: Mapping[str, str]) -> "PassphraseEnvelope":
        """By REKINDLE_PASSPHRASE; InputError if it is not set."""
        if not variables.get(PASSPHRASE_VARIABLE):
            raise InputError("no passphrase is set", next_step=f"Set {PASSPHRASE_VARIABLE} and run the command again.")
        return cls(Secret(variables[PASSPHRASE_VARIABLE]))

    def wrap_new(self, environment: str) -> tuple[bytes, Mapping[str, str]]:
        data_key, salt, nonce = os.urandom(KEY_BYTES), os.urandom(SALT_BYTES), os.urandom(NONCE_BYTES)
        sealed = self._cipher(salt).encrypt(nonce, data_key, environment.encode())
        return data_key, {"envelope": "passphrase", "salt": _text(salt), "wrapped": _text(nonce + sealed)}

    def unwrap(self, environment: str, wrapped: Mapping[str, str]) -> bytes:
        _require(wrapped, "passphrase", environment)
        salt, sealed = base64.b64decode(wrapped["salt"]), base64.b64decode(wrapped["wrapped"])
        try:
            return self._cipher(salt).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], environment.encode())
        except InvalidTag as error:
            raise InputError(
                "this passphrase does not open it",
                where=f"keys of {environment}",
                next_step=f"Check {PASSPHRASE_VARIABLE}.",
            ) from error

    def _cipher(self, salt: bytes) -> AESGCM:
        derive = Scrypt(salt=salt, length=KEY_BYTES, n=SCRYPT["n"], r=SCRYPT["r"], p=SCRYPT["p"])
        return AESGCM(derive.derive(self._passphrase.reveal().encode()))


def _derived(data_key: bytes, purpose: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=f"rekindle {purpose}".encode()).derive(data_key)


def _kms_context(environment: str) -> dict[str, str]:
    return {"rekindle:environment": environment}


def _require(wrapped: Mapping[str, str], envelope: str, environment: str) -> None:
    if wrapped.get("envelope") != envelope:
        raise InputError(
            f"wrapped by {wrapped.get('envelope', 'nothing')}, not by {envelope}",
            where=f"keys of {environment}",
            next_step="Use the environment's own store and key settings.",
        )


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
