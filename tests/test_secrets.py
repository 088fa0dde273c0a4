"""A secret shows itself to nobody, and its keys open only under their own environment."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

import rekindle.secrets
from rekindle.aws.clients import Clients
from rekindle.errors import InputError, JournalDamaged, RekindleError
from rekindle.journal.keys import open_keyring
from rekindle.journal.store import AlreadyExists, DirectoryStore
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


@pytest.mark.parametrize(
    ("keyring", "context", "change"),
    [
        (Keyring(b"2" * 32), "here", lambda body: body),
        (Keyring(b"1" * 32), "there", lambda body: body),
        (Keyring(b"1" * 32), "here", lambda body: body[:-1] + bytes([body[-1] ^ 1])),
        (Keyring(b"1" * 32), "here", lambda body: body[:5]),
    ],
)
def test_only_the_same_key_context_and_bytes_decrypt(keyring: Keyring, context: str, change: Any) -> None:
    mine = Keyring(b"1" * 32)
    body = mine.encrypt(Secret("hunter2"), context="here")
    assert mine.decrypt(body, context="here") == Secret("hunter2")
    with pytest.raises(InputError, match="cannot be decrypted"):
        keyring.decrypt(change(body), context=context)


def test_a_data_key_is_made_once_and_opened_after(envelope: Envelope, tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    first, second = (open_keyring(store, "dev", envelope, keep=True) for _ in range(2))
    assert first.mac_key == second.mac_key
    assert list(store.list("")) == ["keys/dev.json"]
    assert first.mac_key != open_keyring(store, "poc", envelope, keep=True).mac_key


def test_what_only_looks_leaves_no_key_behind(envelope: Envelope, tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    open_keyring(store, "dev", envelope, keep=False)
    assert list(store.list("")) == []


def test_a_lost_key_is_named_and_none_is_made_in_its_place(envelope: Envelope, tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.create("journal/dev/0000000001", b"an entry")
    with pytest.raises(JournalDamaged, match=r"keys/dev\.json: is missing"):
        open_keyring(store, "dev", envelope, keep=True)


def test_who_comes_second_uses_the_key_of_who_came_first(envelope: Envelope, tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    winner: list[Keyring] = []

    class Racing(DirectoryStore):
        def create(self, key: str, body: bytes, **options: Any) -> None:
            winner.append(open_keyring(store, "dev", envelope, keep=True))
            super().create(key, body, **options)

    assert open_keyring(Racing(tmp_path), "dev", envelope, keep=True).mac_key == winner[0].mac_key
    with pytest.raises(AlreadyExists):
        store.create("keys/dev.json", b"")


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


@pytest.mark.parametrize("variables", [{}, {"REKINDLE_PASSPHRASE": ""}])
def test_no_passphrase_is_named(variables: dict[str, str]) -> None:
    with pytest.raises(InputError, match="no passphrase is set"):
        PassphraseEnvelope.from_environment(variables)


def test_a_torn_key_is_named(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.create("keys/dev.json", b"{")
    with pytest.raises(JournalDamaged, match=r"keys/dev\.json: is torn"):
        open_keyring(store, "dev", PassphraseEnvelope(Secret("x")), keep=True)
