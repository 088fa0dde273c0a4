"""The type whose repr is `***`, the keyring that digests and encrypts, and the envelopes that wrap its key."""

import base64
import hashlib
import hmac
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from rekindle.aws.clients import Client
from rekindle.aws.errors import is_code, translated
from rekindle.errors import CommandFailed, InputError

PASSPHRASE_VARIABLE = "REKINDLE_PASSPHRASE"  # noqa: S105 - the name of the variable, not a value
KEY_BYTES = 32
NONCE_BYTES = 12  # NIST SP 800-38D, 8.2
SALT_BYTES = 16
VERSION_BYTES = 4  # before a ciphertext: the version of the data key
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
    """Keys of one environment, each derived from its data key for one purpose.

    They are of one version of the data key, the newest; those of earlier versions still open what they sealed.
    """

    def __init__(self, data_key: bytes, *, version: int = 1, first: int = 0, earlier: "Keyring | None" = None) -> None:
        self.version = version
        self.mac_key = _derived(data_key, "mac")
        self.digest_key = _derived(data_key, "digest")  # for Secret.digest
        self._cipher = AESGCM(_derived(data_key, "encryption"))
        self._first = first  # journal object that is sealed by it, as are all that follow
        self._earlier = earlier

    def of(self, version: int) -> "Keyring | None":
        """The keys of a version; None if it is none of these."""
        return next((keyring for keyring in self._versions() if keyring.version == version), None)

    def in_force_at(self, sequence: int) -> int:
        """The version that seals the journal's object of this number."""
        return next(keyring.version for keyring in self._versions() if keyring._first <= sequence)

    def mac(self, body: bytes) -> str:
        """HMAC-SHA-256 in hex."""
        return hmac.new(self.mac_key, body, hashlib.sha256).hexdigest()

    def digest(self, secret: Secret) -> str:
        """The keyed digest by which states and the journal name this value."""
        return secret.digest(self.digest_key)

    def encrypt(self, secret: Secret, context: str) -> bytes:
        """AES-256-GCM after the key's version; only the same context opens it again."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, secret.reveal().encode(), context.encode())
        return self.version.to_bytes(VERSION_BYTES) + nonce + sealed

    def decrypt(self, body: bytes, context: str) -> Secret:
        """What `encrypt` was given; InputError if key, context or bytes are others."""
        return self.that_encrypted(body, context)._decrypted(body[VERSION_BYTES:], context)

    def that_encrypted(self, body: bytes, context: str) -> "Keyring":
        """The keys of the version that the bytes name; InputError if it is none of these."""
        keyring = self.of(int.from_bytes(body[:VERSION_BYTES]))
        if keyring is None:
            raise _undecipherable(context)
        return keyring

    def _decrypted(self, body: bytes, context: str) -> Secret:
        try:
            clear = self._cipher.decrypt(body[:NONCE_BYTES], body[NONCE_BYTES:], context.encode())
            return Secret(clear.decode())
        except (InvalidTag, ValueError) as error:
            raise _undecipherable(context) from error

    def _versions(self) -> "Iterator[Keyring]":
        keyring: Keyring | None = self
        while keyring:
            yield keyring
            keyring = keyring._earlier

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
        self.key_arn = key_arn

    def wrap_new(self, environment: str) -> tuple[bytes, Mapping[str, str]]:
        with translated(self._client):
            made = self._client.generate_data_key(
                KeyId=self.key_arn, KeySpec="AES_256", EncryptionContext=_kms_context(environment)
            )
        wrapped = {"envelope": "kms", "key_arn": self.key_arn, "wrapped": _text(made["CiphertextBlob"])}
        return made["Plaintext"], wrapped

    def unwrap(self, environment: str, wrapped: Mapping[str, str]) -> bytes:
        """The data key; InputError if it is wrapped under another key than this one, whatever its document says."""
        _require(wrapped, "kms", environment)
        if wrapped.get("key_arn") != self.key_arn:
            raise self._foreign(environment, str(wrapped.get("key_arn")))
        try:
            with translated(self._client):
                opened = self._client.decrypt(
                    CiphertextBlob=_raw(wrapped, "wrapped", environment),
                    EncryptionContext=_kms_context(environment),
                    KeyId=self.key_arn,  # without it KMS takes the key that the ciphertext names, of whatever account
                )
        except CommandFailed as error:
            if is_code(error, "IncorrectKeyException"):
                raise self._foreign(environment, "another key") from error
            if is_code(error, "InvalidCiphertextException"):
                raise _no_key(environment, "is no data key that KMS wrapped for this environment") from error
            raise
        return _of_size(opened["Plaintext"], environment)

    def _foreign(self, environment: str, key: str) -> InputError:
        return InputError(
            f"the data key is wrapped under {key}, not under {self.key_arn}",
            where=f"keys of {environment}",
            next_step="Compare the ARN with the runbook's table. If it is right, somebody replaced an object under "
            f"keys/{environment}/: bring its earlier version back.",
        )


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
        salt, sealed = _raw(wrapped, "salt", environment), _raw(wrapped, "wrapped", environment)
        try:
            data_key = self._cipher(salt).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], environment.encode())
        except (InvalidTag, ValueError) as error:
            raise InputError(
                "this passphrase does not open it",
                where=f"keys of {environment}",
                next_step=f"Check {PASSPHRASE_VARIABLE}.",
            ) from error
        return _of_size(data_key, environment)

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


def _raw(wrapped: Mapping[str, str], name: str, environment: str) -> bytes:
    try:
        return base64.b64decode(wrapped.get(name, ""), validate=True)
    except ValueError as error:
        raise _no_key(environment, f"has a {name} that is not base64") from error


def _of_size(data_key: bytes, environment: str) -> bytes:
    if len(data_key) != KEY_BYTES:
        raise _no_key(environment, f"has {len(data_key)} bytes, not {KEY_BYTES}")
    return data_key


def _no_key(environment: str, what: str) -> InputError:
    return InputError(
        f"the data key {what}",
        where=f"keys of {environment}",
        next_step=f"Bring the earlier version of the object under keys/{environment}/ back.",
    )


def _undecipherable(context: str) -> InputError:
    return InputError("cannot be decrypted: altered, or encrypted under another key", where=context)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
