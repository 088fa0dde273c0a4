"""A data key is made once, opened by nobody else's envelope, and replaced without shutting anybody out."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from journal_world import BUCKET, REGION, Holding, World, odd_documents, of_bucket, of_directory

import rekindle.secrets
from rekindle.aws.clients import Clients
from rekindle.errors import InputError, JournalDamaged, RekindleError
from rekindle.journal.keys import known_environments, open_keyring, replaced, with_newer
from rekindle.journal.seal import seal, unseal
from rekindle.journal.store import AlreadyExists, DirectoryStore
from rekindle.secrets import Envelope, Keyring, KmsEnvelope, PassphraseEnvelope, Secret

KEY = "keys/dev/1.json"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rekindle.secrets, "SCRYPT", {"n": 2**4, "r": 8, "p": 1})


@pytest.fixture
def envelope() -> Envelope:
    return PassphraseEnvelope(Secret("open sesame"))


def opened(memory: World, envelope: Envelope, environment: str = "dev", *, keep: bool = False) -> Keyring:
    return open_keyring(memory.store, environment, envelope, keep=keep)


def test_a_data_key_is_made_once_and_opened_after(memory: World, envelope: Envelope) -> None:
    first, second = (opened(memory, envelope, keep=True) for _ in range(2))
    assert first.mac_key == second.mac_key
    assert list(memory.store.list("")) == [KEY]
    assert first.mac_key != opened(memory, envelope, "poc", keep=True).mac_key


def test_it_is_retained(aws: Clients, envelope: Envelope) -> None:
    open_keyring(of_bucket(aws.s3(REGION)).store, "dev", envelope, keep=True)
    assert aws.s3(REGION).head_object(Bucket=BUCKET, Key=KEY)["ObjectLockMode"] == "GOVERNANCE"


def test_what_only_looks_leaves_no_key_behind(memory: World, envelope: Envelope) -> None:
    opened(memory, envelope)
    assert list(memory.store.list("")) == []


def test_a_lost_key_is_named_and_none_is_made_in_its_place(memory: World, envelope: Envelope) -> None:
    memory.store.create("journal/dev/0000000001", b"an entry")
    with pytest.raises(JournalDamaged, match=r"keys/dev/1\.json: is missing"):
        opened(memory, envelope, keep=True)


def test_who_comes_second_uses_the_key_of_who_came_first(tmp_path: Path, envelope: Envelope) -> None:
    store = DirectoryStore(tmp_path)
    winner: list[Keyring] = []

    class Racing(DirectoryStore):
        def create(self, key: str, body: bytes, **options: Any) -> None:
            winner.append(open_keyring(store, "dev", envelope, keep=True))
            super().create(key, body, **options)

    assert open_keyring(Racing(tmp_path), "dev", envelope, keep=True).mac_key == winner[0].mac_key
    with pytest.raises(AlreadyExists):
        store.create(KEY, b"")


def test_environments_are_known_by_their_keys(memory: World, envelope: Envelope) -> None:
    for environment in ("dev", "poc"):
        opened(memory, envelope, environment, keep=True)
    replaced(memory.store, "dev", envelope, opened(memory, envelope), first=2)
    memory.store.create("keys/notes.txt", b"")
    assert known_environments(memory.store) == {"dev", "poc"}


# Damage


def overwritten_by_anothers(memory: World) -> None:
    """Somebody who may write to the bucket, and knows neither passphrase nor key."""
    others = PassphraseEnvelope(Secret("mine"))
    data_key, wrapped = others.wrap_new("dev")
    memory.replace(KEY, seal(Keyring(data_key), KEY, {"first": 0, "envelope": wrapped}))


def of_another_version(memory: World) -> None:
    memory.replace(KEY, memory.store.get("keys/dev/2.json"))


def first_object_altered(memory: World) -> None:
    memory.replace("keys/dev/2.json", memory.store.get("keys/dev/2.json").replace(b'"first":5', b'"first":1'))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: folder.replace(KEY, b"{"), "is torn"),
        (lambda folder: folder.replace(KEY, b""), "is torn"),
        (lambda folder: folder.replace(KEY, folder.store.get(KEY) + b" " * 65536), "is torn"),
        (lambda folder: folder.replace(KEY, folder.store.get(KEY).replace(b"passphrase", b"passphrasf")), "passphrasf"),
        (lambda folder: folder.remove(KEY), r"keys/dev/1\.json: is missing"),
        (lambda folder: folder.replace("keys/dev/x.json", b"{}"), "is no key document"),
        (overwritten_by_anothers, "does not open it"),
        (of_another_version, "under this name|sealed by version 2"),
        (first_object_altered, "MAC is wrong"),
    ],
)
def test_damage_is_found(memory: World, envelope: Envelope, damage: Any, words: str) -> None:
    replaced(memory.store, "dev", envelope, opened(memory, envelope, keep=True), first=5)
    damage(memory)
    with pytest.raises(RekindleError, match=words):
        opened(memory, envelope)


def test_an_overwritten_key_under_another_kms_key_is_refused(aws: Clients, memory: World) -> None:
    kms = aws.kms("us-west-2")
    mine, others = (KmsEnvelope(kms, kms.create_key()["KeyMetadata"]["Arn"]) for _ in range(2))
    open_keyring(memory.store, "dev", mine, keep=True)
    data_key, wrapped = others.wrap_new("dev")
    memory.replace(KEY, seal(Keyring(data_key), KEY, {"first": 0, "envelope": wrapped}))
    with pytest.raises(InputError, match=r"wrapped under .*, not under"):
        open_keyring(memory.store, "dev", mine, keep=False)


odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
documents = st.fixed_dictionaries(
    {},
    optional={"first": odd, "envelope": odd | st.dictionaries(st.sampled_from(["envelope", "salt", "wrapped"]), odd)},
)


@given(st.binary(max_size=400) | documents.map(lambda d: json.dumps(d).encode()))
def test_whatever_is_there_is_an_error_of_ours(tmp_path_factory: pytest.TempPathFactory, body: bytes) -> None:
    folder = of_directory(tmp_path_factory.mktemp("store"))
    sealed = body[:-1] + b',"sealed_by":1,"mac":"' + b"a" * 64 + b'"}'
    for content in (body, sealed):
        folder.replace(KEY, content)
        with pytest.raises(RekindleError):
            opened(folder, PassphraseEnvelope(Secret("x")))


@given(odd_documents({"first": 0, "envelope": {"envelope": "passphrase", "salt": "AAAA", "wrapped": "AAAA"}}))
def test_no_odd_document_with_the_right_seal_is_opened(content: dict[str, Any]) -> None:
    """By one who knows the passphrase, as a defect might write it."""
    store = Holding({KEY: seal(Keyring(b"k" * 32), KEY, content)})
    with pytest.raises(RekindleError):
        open_keyring(store, "dev", PassphraseEnvelope(Secret("x")), keep=False)


# Another version


def test_an_object_is_sealed_by_the_version_in_force_at_its_place(memory: World, envelope: Envelope) -> None:
    former = opened(memory, envelope, keep=True)
    newer = replaced(memory.store, "dev", envelope, former, first=5)
    again = opened(memory, envelope)
    assert (again.version, again.mac_key) == (newer.version, newer.mac_key) == (2, newer.mac_key)
    for key, accepted in {
        "journal/dev/000000000004.json": [1, 2],
        "journal/dev/000000000005.json": [2],
        "journal/dev/000000000006.json": [2],
        "checkpoints/dev/999999999995.json": [1, 2],  # of the fold up to 4
        "checkpoints/dev/999999999994.json": [2],
        "releases/dev/" + "a" * 64 + ".json": [1, 2],
    }.items():
        for keyring in (former, newer):
            body = seal(keyring, key, {"a": 1})
            if keyring.version in accepted:
                assert unseal(again, key, body) == {"a": 1}
            else:
                with pytest.raises(JournalDamaged, match="after that was replaced"):
                    unseal(again, key, body)


def test_a_command_that_waited_has_the_version_made_meanwhile(memory: World, envelope: Envelope) -> None:
    waiting = opened(memory, envelope, keep=True)
    assert with_newer(memory.store, "dev", envelope, waiting) is waiting
    replaced(memory.store, "dev", envelope, waiting, first=2)
    assert with_newer(memory.store, "dev", envelope, waiting).version == 2


def test_what_a_newer_version_sealed_is_not_taken_for_tampering(memory: World, envelope: Envelope) -> None:
    former = opened(memory, envelope, keep=True)
    newer = replaced(memory.store, "dev", envelope, former, first=2)
    with pytest.raises(JournalDamaged, match="newer than this command"):
        unseal(former, KEY, seal(newer, KEY, {}))


def test_of_two_who_replace_it_one_wins(memory: World, envelope: Envelope) -> None:
    keyring = opened(memory, envelope, keep=True)
    replaced(memory.store, "dev", envelope, keyring, first=2)
    with pytest.raises(AlreadyExists):
        replaced(memory.store, "dev", envelope, keyring, first=2)


def test_a_document_with_the_right_seal_is_parsed_only_if_it_is_one(memory: World) -> None:
    keyring = Keyring(b"k" * 32)
    deep = b'{"a":' + b"[" * 100_000 + b"]" * 100_000
    for document in (deep + b"}", b"{\xff}"):
        body = document[:-1] + f',"sealed_by":1,"mac":"{keyring.mac(document)}"}}'.encode()
        with pytest.raises(JournalDamaged, match="is no document, though its MAC is right"):
            unseal(keyring, "a", body)
