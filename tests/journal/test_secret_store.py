"""A secret can be read by who has the key, and by nobody else, anywhere."""

from pathlib import Path

import pytest
from journal_world import BUCKET, KEYRING, REGION, World, of_bucket, pin, reading, writing

from rekindle.aws.clients import Clients
from rekindle.errors import InputError, JournalDamaged, Refused
from rekindle.journal.release import Release, Releases
from rekindle.journal.secret_store import SecretStore
from rekindle.plan import Step
from rekindle.secrets import Keyring, Secret

PLANTED = "correct-horse-battery-staple"


def test_the_newest_version_is_read(world: World) -> None:
    with writing(world.store) as journal:
        secrets = SecretStore(world.store, KEYRING, journal)
        assert [secrets.set("orders/token", Secret(value)) for value in ("one", "two", "two")] == [1, 2, 2]
    after = SecretStore(world.store, KEYRING, reading(world.store))
    assert after.get("orders/token").reveal() == "two"
    assert after.names() == ("orders/token",)


def test_one_that_is_missing_says_how_to_set_it(memory: World) -> None:
    with pytest.raises(InputError, match="rekindle secret set dev orders/token"):
        SecretStore(memory.store, KEYRING, reading(memory.store)).get("orders/token")


def test_nothing_is_kept_that_the_journal_cannot_name(world: World) -> None:
    with writing(world.store) as journal:
        assert SecretStore(world.store, KEYRING, journal).may_set
    looking = SecretStore(world.store, KEYRING, reading(world.store))
    with pytest.raises(Refused, match="secrets of dev: token cannot be set by a command that only looks"):
        looking.set("token", Secret("x"))
    assert list(world.store.list("secrets/")) == []


@pytest.mark.parametrize("name", ["", "../keys", "/a", "a//b", "A", "a b", "a/"])
def test_a_name_is_plain(memory: World, name: str) -> None:
    with writing(memory.store) as journal, pytest.raises(InputError, match="is no name for a secret"):
        SecretStore(memory.store, KEYRING, journal).set(name, Secret("x"))


def test_a_value_kept_by_a_killed_command_is_not_taken_for_this_one(memory: World) -> None:
    memory.store.create("secrets/dev/token/1", KEYRING.encrypt(Secret("killed"), context="secrets/dev/token/1"))
    with writing(memory.store) as journal:
        secrets = SecretStore(memory.store, KEYRING, journal)
        assert secrets.set("token", Secret("mine")) == 2
        assert secrets.get("token").reveal() == "mine"


def test_an_older_version_put_in_place_of_the_newest_is_found(memory: World) -> None:
    with writing(memory.store) as journal:
        secrets = SecretStore(memory.store, KEYRING, journal)
        for value in ("one", "two"):
            secrets.set("token", Secret(value))
        memory.replace("secrets/dev/token/2", memory.store.get("secrets/dev/token/1"))
        with pytest.raises(JournalDamaged, match="secrets/dev/token/2: cannot be decrypted"):
            secrets.get("token")
        memory.remove("secrets/dev/token/2")
        with pytest.raises(JournalDamaged, match="is missing"):
            secrets.get("token")


def test_another_value_than_the_journal_names_is_not_given_out(memory: World) -> None:
    """Even one that somebody with the key encrypted for this very name and version."""
    with writing(memory.store) as journal:
        secrets = SecretStore(memory.store, KEYRING, journal)
        secrets.set("token", Secret("one"))
        key = "secrets/dev/token/1"
        memory.replace(key, KEYRING.encrypt(Secret("another"), context=key))
        with pytest.raises(JournalDamaged, match="is not the value that the journal names"):
            secrets.get("token")


@pytest.mark.parametrize("body", [b"", b"\0", b"\0\0\0\1", b"\0\0\0\1" + b"x" * 12, b"x" * 10_000])
def test_an_odd_ciphertext_is_damage(memory: World, body: bytes) -> None:
    with writing(memory.store) as journal:
        secrets = SecretStore(memory.store, KEYRING, journal)
        secrets.set("token", Secret("one"))
        memory.replace("secrets/dev/token/1", body)
        with pytest.raises(JournalDamaged, match="secrets/dev/token/1: cannot be decrypted"):
            secrets.get("token")


def test_a_version_is_retained(aws: Clients) -> None:
    world = of_bucket(aws.s3(REGION))
    with writing(world.store) as journal:
        SecretStore(world.store, KEYRING, journal).set("token", Secret("one"))
    assert aws.s3(REGION).head_object(Bucket=BUCKET, Key="secrets/dev/token/1")["ObjectLockMode"] == "GOVERNANCE"


def test_under_a_new_key_each_secret_has_a_new_version_once(memory: World) -> None:
    newer = Keyring(b"n" * 32, version=2, first=4, earlier=KEYRING)
    with writing(memory.store) as journal:
        former = SecretStore(memory.store, KEYRING, journal)
        assert [former.set(name, Secret(name)) for name in ("a", "b")] == [1, 1]
    with writing(memory.store) as journal:
        secrets = SecretStore(memory.store, newer, journal)
        assert secrets.set("a", Secret("a")) == 2  # a command that was killed here
        assert [secrets.renew() for _ in range(2)] == [1, 0]
        assert [secrets.get(name).reveal() for name in ("a", "b")] == ["a", "b"]
        assert journal.fold().secrets["b"].digest == newer.digest(Secret("b"))


def test_who_has_a_former_key_cannot_give_out_a_value_under_the_new_one(memory: World) -> None:
    newer = Keyring(b"n" * 32, version=2, first=1, earlier=KEYRING)
    with writing(memory.store) as journal:
        secrets = SecretStore(memory.store, newer, journal)
        secrets.set("token", Secret("one"))
        key = "secrets/dev/token/1"
        memory.replace(key, KEYRING.encrypt(Secret("one"), context=key))
        with pytest.raises(JournalDamaged, match="is not the value that the journal names"):
            secrets.get("token")


def test_a_planted_secret_is_in_no_object(world: World, tmp_path: Path) -> None:
    planted = Secret(PLANTED)
    with writing(world.store) as journal:
        SecretStore(world.store, KEYRING, journal).set("token", planted)
        journal.append(pin("a"))
        state = {"token": KEYRING.digest(planted)}
        step = Step(target="a", subject="secret:/run/token", before=None, after=state)
        with journal.recorder("r", "apply").entry([step]):
            pass
        journal.checkpoint()
    (tmp_path / "Pulumi.yaml").write_text("name: x\n")
    Releases(store=world.store, environment="dev", keyring=KEYRING).save(Release.of(tmp_path))
    keys = list(world.store.list(""))
    assert {key.split("/")[0] for key in keys} >= {"journal", "checkpoints", "lock", "secrets", "releases"}
    for key in keys:
        body = world.store.get(key)
        assert PLANTED.encode() not in body, key
    assert PLANTED not in repr(reading(world.store).fold())
