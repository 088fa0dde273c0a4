"""The IAM lets in who proves who he is, and nobody else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from rehearsal.cluster.iam import USERS, Iam, IamRefusal, TokenKey
from rehearsal.cluster.settings import NodeSettings

from .conftest import key_pair

PRIVATE, PUBLIC = key_pair()
STRANGE, _ = key_pair()
ELLIPTIC = (
    ec.generate_private_key(ec.SECP256R1())
    .public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)


class Kept:
    """What is in ZooKeeper."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}

    async def read(self, path: str) -> Any:
        return self.kept.get(path)

    async def write(self, path: str, value: Any) -> None:
        self.kept[path] = value

    async def create(self, path: str, value: Any) -> str | None:
        return None if path in self.kept else self.kept.setdefault(path, value) and path

    async def delete(self, path: str) -> None:
        del self.kept[path]

    async def documents(self, path: str) -> dict[str, Any]:
        return {name[len(path) + 1 :]: value for name, value in self.kept.items() if name.startswith(f"{path}/")}


class Ground(Iam):
    """With a service account `robot` and a person `ann@a`, whose password is `word`."""

    def __init__(self) -> None:
        self.kept = Kept()
        settings = NodeSettings(ip="10.0.0.1", role="master", cluster_name="c", masters=("10.0.0.1",))
        super().__init__(settings, self.kept, TokenKey(PRIVATE))  # type: ignore[arg-type]
        self.run(self.create("robot", {"public_key": PUBLIC, "description": "R"}))
        self.run(self.create("ann@a", {"password": "word", "description": "A"}))

    def run(self, asked: Awaitable[Any]) -> Any:
        async def act() -> Any:
            return await asked

        return asyncio.run(act())

    def refused(self, status: int, code: str, asked: Awaitable[Any]) -> None:
        before = dict(self.kept.kept)
        with pytest.raises(IamRefusal) as caught:
            self.run(asked)
        assert (caught.value.status, caught.value.code, self.kept.kept) == (status, code, before)


@pytest.fixture(scope="module")
def made() -> Ground:
    return Ground()


@pytest.fixture
def iam(made: Ground) -> Ground:
    made.kept.kept = {name: dict(value) for name, value in made.kept.kept.items()}
    return made


def proof(uid: str = "robot", key: str = PRIVATE, lifetime: float | None = 3600) -> str:
    claims = {"uid": uid} | ({"exp": int(time.time() + lifetime)} if lifetime is not None else {})
    return jwt.encode(claims, key, algorithm="RS256")


@pytest.mark.parametrize("body", [{"uid": "robot", "token": proof()}, {"uid": "ann@a", "password": "word"}])
def test_who_proves_himself_gets_a_token_of_his_own(iam: Ground, body: dict[str, Any]) -> None:
    token = iam.run(iam.login(body))
    assert iam.key.uid_of(token) == body["uid"]
    left = jwt.decode(token, options={"verify_signature": False})["exp"] - time.time()
    assert left == pytest.approx(iam.settings.token_lifetime_seconds, abs=30)


@pytest.mark.parametrize(
    "body",
    [
        {"uid": "ann@a", "password": "other"},
        {"uid": "robot", "password": "word"},
        {"uid": "nobody", "password": "word"},
        {"uid": "ann@a", "token": proof("ann@a")},
        {"uid": "robot", "token": proof(key=STRANGE)},
        {"uid": "robot", "token": proof("ann@a")},
        {"uid": "robot", "token": proof(lifetime=-60)},
        {"uid": "robot", "token": proof(lifetime=None)},
        {"uid": "robot", "token": "nonsense"},
        {"uid": "../users/robot", "token": proof()},
    ],
)
def test_who_does_not_is_refused(iam: Ground, body: dict[str, Any]) -> None:
    iam.refused(401, "ERR_INVALID_CREDENTIALS", iam.login(body))


@pytest.mark.parametrize(
    "body",
    [
        {"uid": "robot"},
        {"uid": "robot", "password": "", "token": ""},
        {"uid": "robot", "password": "word", "token": proof()},
        {"token": proof()},
    ],
)
def test_a_login_has_one_proof_and_a_name(iam: Ground, body: dict[str, Any]) -> None:
    iam.refused(400, "ERR_INVALID_DATA", iam.login(body))


@pytest.mark.parametrize(
    ("uid", "body", "status", "code"),
    [
        ("a b", {"password": "w"}, 400, "ERR_INVALID_USER_ID"),
        ("a/b", {"password": "w"}, 400, "ERR_INVALID_USER_ID"),
        ("new", {}, 400, "ERR_INVALID_DATA"),
        ("new", {"password": "w", "public_key": PUBLIC}, 400, "ERR_INVALID_DATA"),
        ("new", {"public_key": "nonsense"}, 400, "ERR_INVALID_PUBLIC_KEY"),
        ("new", {"public_key": ELLIPTIC}, 400, "ERR_INVALID_PUBLIC_KEY"),
        ("robot", {"password": "w"}, 409, "ERR_USER_EXISTS"),
    ],
)
def test_a_user_that_cannot_be_made_is_not(iam: Ground, uid: str, body: Any, status: int, code: str) -> None:
    iam.refused(status, code, iam.create(uid, body))


def test_a_person_of_another_provider_needs_no_password_and_cannot_use_one(iam: Ground) -> None:
    iam.run(iam.create("bob@a", {}))
    iam.refused(401, "ERR_INVALID_CREDENTIALS", iam.login({"uid": "bob@a", "password": "word"}))
    iam.run(iam.delete("bob@a"))


def test_people_and_services_are_listed_apart_and_no_secret_is_told(iam: Ground) -> None:
    (person,), (service,) = iam.run(iam.users(None)), iam.run(iam.users("service"))
    assert (person["uid"], person["description"], person["is_service"]) == ("ann@a", "A", False)
    assert (service["uid"], service["public_key"], service["is_service"]) == ("robot", PUBLIC, True)
    assert "password" not in person
    assert "'word'" not in str(iam.kept.kept)
    assert iam.run(iam.user("robot")) == service


def test_a_changed_password_ends_the_old_one(iam: Ground) -> None:
    iam.run(iam.update("ann@a", {"description": "B"}))
    assert iam.run(iam.user("ann@a"))["description"] == "B"
    assert iam.run(iam.login({"uid": "ann@a", "password": "word"}))
    iam.run(iam.update("ann@a", {"password": "new"}))
    iam.refused(401, "ERR_INVALID_CREDENTIALS", iam.login({"uid": "ann@a", "password": "word"}))
    assert iam.run(iam.user("ann@a"))["description"] == "B"
    iam.run(iam.update("ann@a", {"password": "word", "description": "A"}))


@pytest.mark.parametrize("uid", ["nobody", "../x"])
def test_what_is_unknown_is_neither_told_changed_nor_deleted(iam: Ground, uid: str) -> None:
    for asked in (iam.user(uid), iam.update(uid, {"password": "w"}), iam.delete(uid)):
        iam.refused(400, "ERR_UNKNOWN_USER_ID", asked)


def test_a_deleted_user_is_let_in_no_more(iam: Ground) -> None:
    iam.run(iam.create("gone@a", {"password": "w"}))
    iam.run(iam.delete("gone@a"))
    assert f"{USERS}/gone@a" not in iam.kept.kept
    iam.refused(401, "ERR_INVALID_CREDENTIALS", iam.login({"uid": "gone@a", "password": "w"}))


@pytest.mark.parametrize(
    "token",
    [
        "nonsense",
        TokenKey(STRANGE).issue("robot", 3600),
        TokenKey(PRIVATE).issue("robot", -60),
        jwt.encode({"exp": time.time() + 3600}, PRIVATE, algorithm="RS256"),
        jwt.encode({"exp": time.time() + 3600, "uid": 1}, PRIVATE, algorithm="RS256"),
    ],
)
def test_a_token_that_is_not_the_clusters_is_nobodys(iam: Ground, token: str) -> None:
    assert iam.key.uid_of(token) is None


def test_the_published_key_verifies_the_clusters_tokens(iam: Ground) -> None:
    (published,) = iam.key.jwks()["keys"]
    claims = jwt.decode(iam.key.issue("robot", 60), jwt.PyJWK(published).key, algorithms=["RS256"])
    assert claims["uid"] == "robot"


def test_all_masters_share_one_key_and_the_superuser_is_made_once() -> None:
    ground = Ground()
    one, other = (ground.run(TokenKey.of_cluster(ground.kept)) for _ in range(2))  # type: ignore[arg-type]
    assert other.uid_of(one.issue("robot", 60)) == "robot"
    settings = NodeSettings(
        ip="10.0.0.1", role="master", cluster_name="c", masters=(), superuser_uid="root", superuser_public_key=PUBLIC
    )
    first = Iam(settings, ground.kept, one)  # type: ignore[arg-type]
    ground.run(first.bootstrap())
    ground.run(first.update("root", {"description": "mine"}))
    ground.run(first.bootstrap())
    assert ground.run(first.user("root"))["description"] == "mine"
    before = dict(ground.kept.kept)
    ground.run(ground.bootstrap())
    assert ground.kept.kept == before
