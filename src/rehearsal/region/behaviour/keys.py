"""KMS: ciphertexts of multi-Region keys can be decrypted in each region that has a replica, none by another key."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable
from typing import Any

import moto.kms.utils as kms_utils
from moto.core.exceptions import JsonRESTError
from moto.kms.models import KmsBackend

from rehearsal.region.behaviour.replacing import replaces

_KEY_ID_LENGTH = len("mrk-") + 36


def key_of(ciphertext: str) -> str:
    """The id of the key under which a base64 ciphertext was made; empty if it is none."""
    try:
        return base64.b64decode(ciphertext)[:_KEY_ID_LENGTH].rstrip(b"\0").decode()
    except ValueError:
        return ""


def install() -> None:
    """moto's blobs have room for 36 characters of key id; a multi-Region key's id has 40."""
    kms_utils.KEY_ID_LEN = _KEY_ID_LENGTH
    kms_utils.CIPHERTEXT_HEADER_FORMAT = f">{_KEY_ID_LENGTH}s{kms_utils.IV_LEN}s{kms_utils.TAG_LEN}s"
    kms_utils.HEADER_LEN = struct.calcsize(kms_utils.CIPHERTEXT_HEADER_FORMAT)

    @replaces(kms_utils, "_deserialize_ciphertext_blob")
    def read(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        blob = original(*args, **kwargs)
        return blob._replace(key_id=blob.key_id.rstrip("\0"))

    @replaces(KmsBackend, "decrypt")
    def decrypt(original: Callable[..., Any], self: Any, *args: Any, key_id: str | None = None, **kwargs: Any) -> Any:
        clear, arn = original(self, *args, **kwargs)
        if key_id is not None and self.keys[self.any_id_to_key_id(key_id)].arn != arn:
            raise JsonRESTError(
                "IncorrectKeyException",
                "The key ID in the request does not identify a CMK that can perform this operation.",
            )
        return clear, arn
