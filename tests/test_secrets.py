"""A secret shows itself to nobody, and its keys open only under their own environment."""

import base64
import hmac
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
from botocore.stub import ANY, Stubber
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

import rekindle.secrets
from rekindle.aws.clients import Clients
from rekindle.errors import CommandFailed, InputError, Refused, RekindleError
from rekindle.secrets import Envelope, Keyring, KmsEnvelope, PassphraseEnvelope, Secret


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rekindle.secrets, "SCRYPT", {"n": 2**4, "r": 8, "p": 1})


@pytest.fixture
def kms(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield Clients().kms("us-west-2")


@pytest.fixture(params=["kms", "passphrase"])
def envelope(request: pytest.FixtureRequest, kms: Any) -> Envelope:
    if request.param == "passphrase":
        return PassphraseEnvelope(Secret("open sesame"))
    return KmsEnvelope(kms, kms.create_key()["KeyMetadata"]["Arn"])


@pytest.mark.parametrize("shown", [repr, str, lambda s: f"{s}", lambda s: f"{[s]!r}", lambda s: repr({"a": s})])
def test_a_secret_shows_itself_to_nobody(shown: Any) -> None:
    assert "hunter2" not in shown(Secret("hunter2"))


def test_equal_secrets_have_equal_digests_under_one_key() -> None:
    one, other = Keyring(b"1" * 32), Keyring(b"2" * 32)
    assert one.digest(Secret("a")) == one.digest(Secret("a")) != one.digest(Secret("b"))
    assert one.digest(Secret("a")) != other.digest(Secret("a"))


def test_each_purpose_has_its_own_key() -> None:
    keyring = Keyring(b"1" * 32)
    assert len({keyring.mac_key, keyring.digest_key, b"1" * 32}) == 3


def test_a_mac_is_of_the_body_and_the_key() -> None:
    keyring = Keyring(b"1" * 32)
    assert keyring.mac(b"a") == hmac.new(keyring.mac_key, b"a", "sha256").hexdigest()
    assert len({keyring.mac(b"a"), keyring.mac(b"b"), Keyring(b"2" * 32).mac(b"a")}) == 3


@pytest.mark.parametrize(
    ("keyring", "context", "change"),
    [
        (Keyring(b"2" * 32), "here", lambda body: body),
        (Keyring(b"1" * 32), "there", lambda body: body),
        (Keyring(b"1" * 32), "here", lambda body: body[:-1] + bytes([body[-1] ^ 1])),
        (Keyring(b"1" * 32), "here", lambda body: body[:5]),
        (Keyring(b"1" * 32), "here", lambda body: b""),
        (Keyring(b"1" * 32), "here", lambda body: b"\0\0\0\2" + body[4:]),
        (Keyring(b"1" * 32, version=2), "here", lambda body: body),
    ],
)
def test_only_the_same_key_context_and_bytes_decrypt(keyring: Keyring, context: str, change: Any) -> None:
    mine = Keyring(b"1" * 32)
    body = mine.encrypt(Secret("hunter2"), context="here")
    assert mine.decrypt(body, context="here") == Secret("hunter2")
    with pytest.raises(InputError, match="cannot be decrypted") as caught:
        keyring.decrypt(change(body), context=context)
    assert caught.value.where == context


@given(st.binary(max_size=200))
def test_no_bytes_make_decrypt_fail_otherwise(body: bytes) -> None:
    with pytest.raises(InputError, match="cannot be decrypted"):
        Keyring(b"1" * 32).decrypt(body, context="here")


def test_what_an_earlier_version_encrypted_is_opened_by_it_and_named_by_its_digest() -> None:
    former = Keyring(b"1" * 32)
    keyring = Keyring(b"2" * 32, version=2, first=7, earlier=former)
    old, new = former.encrypt(Secret("a"), "here"), keyring.encrypt(Secret("a"), "here")
    assert keyring.decrypt(old, "here") == keyring.decrypt(new, "here") == Secret("a")
    assert [keyring.that_encrypted(body, "here").version for body in (old, new)] == [1, 2]
    with pytest.raises(InputError, match="cannot be decrypted"):
        former.decrypt(new, "here")
    assert [keyring.in_force_at(number) for number in (0, 6, 7, 8)] == [1, 1, 2, 2]


def test_a_wrapped_key_opens_for_its_environment_only(envelope: Envelope) -> None:
    data_key, wrapped = envelope.wrap_new("dev")
    assert envelope.unwrap("dev", wrapped) == data_key
    with pytest.raises(RekindleError):
        envelope.unwrap("poc", wrapped)


def test_a_wrong_passphrase_says_so() -> None:
    _, wrapped = PassphraseEnvelope(Secret("right")).wrap_new("dev")
    with pytest.raises(InputError, match="does not open it") as caught:
        PassphraseEnvelope(Secret("wrong")).unwrap("dev", wrapped)
    assert "REKINDLE_PASSPHRASE" in str(caught.value)


def test_another_kind_of_envelope_says_so(kms: Any) -> None:
    _, wrapped = PassphraseEnvelope(Secret("right")).wrap_new("dev")
    with pytest.raises(InputError, match="wrapped by passphrase, not by kms"):
        KmsEnvelope(kms, "arn").unwrap("dev", wrapped)


@pytest.mark.parametrize("says", ["its own key", "the environment's key"])
def test_a_data_key_under_another_kms_key_is_refused_whatever_it_says(kms: Any, says: str) -> None:
    mine, others = (kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2))
    _, wrapped = KmsEnvelope(kms, others).wrap_new("dev")
    forged = {**wrapped, "key_arn": others if says == "its own key" else mine}
    with Stubber(kms) if says != "its own key" else nullcontext() as stubbed:
        if stubbed:  # as KMS answers; moto says AccessDenied
            asked = {"CiphertextBlob": ANY, "EncryptionContext": {"rekindle:environment": "dev"}, "KeyId": mine}
            stubbed.add_client_error("decrypt", "IncorrectKeyException", expected_params=asked)
        with pytest.raises(InputError, match=f"wrapped under .*, not under {mine}") as caught:
            KmsEnvelope(kms, mine).unwrap("dev", forged)
    assert "Compare the ARN with the runbook's table" in str(caught.value)


@pytest.mark.parametrize("change", [{"wrapped": "€"}, {"wrapped": ""}, {"wrapped": "AAAA"}, {"wrapped": "A"}])
def test_an_odd_envelope_is_an_error_of_ours(envelope: Envelope, change: dict[str, str]) -> None:
    _, wrapped = envelope.wrap_new("dev")
    with pytest.raises(RekindleError):
        envelope.unwrap("dev", {**wrapped, **change})


@pytest.mark.parametrize("name", ["wrapped", "salt"])
def test_what_is_not_quite_base64_is_not_read_as_if_it_were(name: str) -> None:
    envelope = PassphraseEnvelope(Secret("open sesame"))
    _, wrapped = envelope.wrap_new("dev")
    with pytest.raises(InputError, match=f"the data key has a {name} that is not base64") as caught:
        envelope.unwrap("dev", {**wrapped, name: f"!{wrapped[name]}"})
    assert caught.value.where == "keys of dev"
    assert "keys/dev/" in caught.value.next_step


def test_what_kms_never_wrapped_is_told_with_what_to_bring_back(kms: Any) -> None:
    envelope = KmsEnvelope(kms, "arn:aws:kms:us-west-2:123456789012:key/1")
    with Stubber(kms) as stubbed:
        stubbed.add_client_error("decrypt", "InvalidCiphertextException", "")
        with pytest.raises(InputError, match="is no data key that KMS wrapped for this environment") as caught:
            envelope.unwrap("dev", {"envelope": "kms", "key_arn": envelope.key_arn, "wrapped": "AAAA"})
    assert caught.value.where == "keys of dev"


def test_what_kms_answers_is_an_error_of_ours(kms: Any) -> None:
    gone = KmsEnvelope(kms, "arn:aws:kms:us-west-2:123456789012:key/12345678-1234-1234-1234-123456789012")
    with pytest.raises(RekindleError, match="AWS kms in us-west-2: GenerateDataKey: NotFoundException"):
        gone.wrap_new("dev")
    with Stubber(kms) as stubbed:
        for code, ours in (("AccessDeniedException", Refused), ("InvalidKeyUsageException", CommandFailed)):
            stubbed.add_client_error("decrypt", code, "no")
            with pytest.raises(ours, match=f"AWS kms in us-west-2: Decrypt: {code}: no"):
                gone.unwrap("dev", {"envelope": "kms", "key_arn": gone.key_arn, "wrapped": "AAAA"})


def test_the_passphrase_of_the_variables_opens_what_it_wrapped() -> None:
    first, second = (PassphraseEnvelope.from_environment({"REKINDLE_PASSPHRASE": "open sesame"}) for _ in range(2))
    data_key, wrapped = first.wrap_new("dev")
    assert second.unwrap("dev", wrapped) == data_key


def test_a_passphrase_is_as_slow_as_is_recommended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert rekindle.secrets.SCRYPT == {"n": 131072, "r": 8, "p": 1}  # OWASP


def test_a_data_key_of_another_size_is_refused() -> None:
    envelope = PassphraseEnvelope(Secret("x"))
    _, wrapped = envelope.wrap_new("dev")
    salt, nonce = base64.b64decode(wrapped["salt"]), b"n" * 12
    short = base64.b64encode(nonce + envelope._cipher(salt).encrypt(nonce, b"short", b"dev")).decode()
    with pytest.raises(InputError, match="has 5 bytes, not 32"):
        envelope.unwrap("dev", {**wrapped, "wrapped": short})


@pytest.mark.parametrize("variables", [{}, {"REKINDLE_PASSPHRASE": ""}])
def test_no_passphrase_is_named(variables: dict[str, str]) -> None:
    with pytest.raises(InputError, match="no passphrase is set"):
        PassphraseEnvelope.from_environment(variables)
