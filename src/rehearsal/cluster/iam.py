"""The IAM (bouncer): users, service accounts, log-in, and the tokens that Admin Router checks."""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import re
import secrets
import time
from typing import Any

import jwt
from aiohttp import web
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from rehearsal.cluster.answers import answer, body_of, not_built_handler
from rehearsal.cluster.settings import Json, NodeSettings
from rehearsal.cluster.store import Store

log = logging.getLogger(__name__)

PORT = 8101
USERS = "/bouncer/users"
KEY = "/bouncer/signing-key"
UID = re.compile(r"^[a-zA-Z0-9\-_@.]+$")
COOKIE = "dcos-acs-auth-cookie"
LOGIN_LEEWAY_SECONDS = 10
SCRYPT = {"n": 2**12, "r": 8, "p": 1}
PROVIDERS = {
    "dcos-users": {
        "authentication-type": "dcos-uid-password", "description": "Default DC/OS login provider",
        "client-method": "dcos-usercredential-post-receive-authtoken",
        "config": {"start_flow_url": "/acs/api/v1/auth/login"},
    },
    "dcos-services": {
        "authentication-type": "dcos-uid-servicekey", "description": "Default DC/OS login provider",
        "client-method": "dcos-servicecredential-post-receive-authtoken",
        "config": {"start_flow_url": "/acs/api/v1/auth/login"},
    },
}  # fmt: skip


class IamRefusal(Exception):
    """A refusal with bouncer's code."""

    def __init__(self, status: int, code: str, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.code = code
        self.description = description


class TokenKey:
    """The cluster's signing key, shared by all masters through ZooKeeper."""

    def __init__(self, pem: str) -> None:
        self._pem = pem
        key = serialization.load_pem_private_key(pem.encode(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        self._public = key.public_key()

    @classmethod
    async def of_cluster(cls, store: Store) -> TokenKey:
        """The key that is there, or a new one for all."""
        known = await store.read(KEY)
        if known is None:
            await store.create(KEY, _new_pem())
            known = await store.read(KEY)
        return cls(known)

    def issue(self, uid: str, lifetime: int) -> str:
        """A token for a user."""
        return jwt.encode({"uid": uid, "exp": int(time.time()) + lifetime}, self._pem, algorithm="RS256")

    def uid_of(self, token: str) -> str | None:
        """Whose token it is; None if it is not valid."""
        try:
            claims: Json = jwt.decode(token, self._public, algorithms=["RS256"])
        except jwt.PyJWTError:
            return None
        uid = claims.get("uid")
        return uid if isinstance(uid, str) else None

    def jwks(self) -> Json:
        """The public key as a JSON Web Key Set."""
        numbers = self._public.public_numbers()
        digest = hashlib.sha256(str(numbers.n).encode()).hexdigest()
        return {"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": digest,
                          "n": _base64url(numbers.n), "e": _base64url(numbers.e)}]}  # fmt: skip


def _new_pem() -> str:
    key = rsa.generate_private_key(65537, 2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _base64url(number: int) -> str:
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


class Iam:
    """Users in ZooKeeper."""

    def __init__(self, settings: NodeSettings, store: Store, key: TokenKey) -> None:
        self.key = key
        self.settings = settings
        self._store = store

    async def bootstrap(self) -> None:
        """Create the superuser's service account that the installer was given."""
        if self.settings.superuser_uid:
            await self._store.create(f"{USERS}/{self.settings.superuser_uid}", _record(
                "Initial superuser service account", public_key=self.settings.superuser_public_key))  # fmt: skip

    async def login(self, body: Json) -> str:
        """A token for a password or a service login token."""
        credentials = [name for name in ("password", "token") if body.get(name)]
        if len(credentials) != 1:
            raise IamRefusal(400, "ERR_INVALID_DATA", "One of `password` or `token` must be provided.")
        if "uid" not in body:
            raise IamRefusal(
                400, "ERR_INVALID_DATA", "OpenID Connect ID tokens are not accepted: no provider is set up."
            )
        user = await self._store.read(f"{USERS}/{body['uid']}") if UID.match(str(body["uid"])) else None
        if user is None or not self._proves(user, body):
            raise IamRefusal(401, "ERR_INVALID_CREDENTIALS", "Invalid login credentials")
        return self.key.issue(body["uid"], self.settings.token_lifetime_seconds)

    def _proves(self, user: Json, body: Json) -> bool:
        if "password" in body:
            return bool(user.get("password")) and _matches(str(body["password"]), user["password"])
        if not user.get("public_key"):
            return False
        try:
            claims: Json = jwt.decode(str(body["token"]), user["public_key"], algorithms=["RS256"],
                                      leeway=LOGIN_LEEWAY_SECONDS, options={"require": ["exp"]})  # fmt: skip
        except jwt.PyJWTError:
            return False
        return bool(claims.get("uid") == body["uid"])

    async def users(self, kind: str | None) -> list[Json]:
        """User documents, of people or of services."""
        found = await self._store.documents(USERS)
        return [
            _public(uid, user) for uid, user in found.items() if bool(user.get("public_key")) == (kind == "service")
        ]

    async def user(self, uid: str) -> Json:
        """One user, or 400."""
        return _public(uid, await self._known(uid))

    async def create(self, uid: str, body: Json) -> None:
        """Add a user."""
        if not UID.match(uid):
            raise IamRefusal(400, "ERR_INVALID_USER_ID", f"Invalid user ID: {uid}")
        given = [name for name in ("password", "public_key", "provider_type") if body.get(name)]
        if len(given) > 1:
            raise IamRefusal(400, "ERR_INVALID_DATA", "Exactly one of `password`, `public_key` must be given.")
        if not given and "@" not in uid:
            raise IamRefusal(400, "ERR_INVALID_DATA", "One of `password` or `public_key` must be provided.")
        if body.get("public_key"):
            _check_public_key(body["public_key"])
        record = _record(body.get("description", ""), password=body.get("password"), public_key=body.get("public_key"))
        if await self._store.create(f"{USERS}/{uid}", record) is None:
            raise IamRefusal(409, "ERR_USER_EXISTS", f"User with uid `{uid}` already exists.")

    async def update(self, uid: str, body: Json) -> None:
        """Change a user's description or password."""
        user = await self._known(uid)
        if "description" in body:
            user["description"] = body["description"]
        if "password" in body:
            user["password"] = _hashed(body["password"])
        await self._store.write(f"{USERS}/{uid}", user)

    async def delete(self, uid: str) -> None:
        """Remove a user."""
        await self._known(uid)
        await self._store.delete(f"{USERS}/{uid}")

    async def _known(self, uid: str) -> Json:
        user = await self._store.read(f"{USERS}/{uid}") if UID.match(uid) else None
        if user is None:
            raise IamRefusal(400, "ERR_UNKNOWN_USER_ID", f"User with uid `{uid}` not known.")
        document: Json = user
        return document


def _record(description: str, *, password: str | None = None, public_key: str | None = None) -> Json:
    record: Json = {"description": description}
    if password:
        record["password"] = _hashed(password)
    if public_key:
        record["public_key"] = public_key
    return record


def _public(uid: str, user: Json) -> Json:
    is_service = bool(user.get("public_key"))
    document = {
        "uid": uid, "url": f"/acs/api/v1/users/{uid}", "description": user["description"], "is_remote": False,
        "is_service": is_service, "provider_type": "internal", "provider_id": "",
    }  # fmt: skip
    return {**document, "public_key": user["public_key"]} if is_service else document


def _hashed(password: str) -> Json:
    salt = secrets.token_bytes(16)
    return {"salt": salt.hex(), "hash": hashlib.scrypt(password.encode(), salt=salt, **SCRYPT).hex()}


def _matches(password: str, known: Json) -> bool:
    digest = hashlib.scrypt(password.encode(), salt=bytes.fromhex(known["salt"]), **SCRYPT).hex()
    return hmac.compare_digest(digest, known["hash"])


def _check_public_key(pem: str) -> None:
    try:
        key = serialization.load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise IamRefusal(400, "ERR_INVALID_PUBLIC_KEY", f"Invalid public key: {error}") from error
    if not isinstance(key, rsa.RSAPublicKey):
        raise IamRefusal(400, "ERR_INVALID_PUBLIC_KEY", "Invalid public key: not RSA")


class IamApi:
    """Routes of one master's IAM, under /acs/api/v1."""

    def __init__(self, iam: Iam) -> None:
        self._iam = iam

    def application(self) -> web.Application:
        """The server's routes."""
        application = web.Application(middlewares=[_refusals])
        base, routes = "/acs/api/v1", application.router
        routes.add_post(f"{base}/auth/login", self.login)
        routes.add_get(f"{base}/auth/login", not_built_handler("IAM GET /auth/login (OpenID Connect)"))
        routes.add_get(f"{base}/auth/providers", self.providers)
        routes.add_get(f"{base}/auth/oidc/providers", self.oidc_providers)
        routes.add_get(f"{base}/auth/oidc/callback", not_built_handler("IAM GET /auth/oidc/callback"))
        routes.add_get(f"{base}/auth/jwks", self.jwks)
        routes.add_get(f"{base}/auth/logout", self.logout)
        routes.add_get(f"{base}/users", self.users)
        for method, handler in (
            ("GET", self.user),
            ("PUT", self.create),
            ("PATCH", self.update),
            ("DELETE", self.delete),
        ):
            routes.add_route(method, f"{base}/users/{{uid}}", handler)
        routes.add_get(f"{base}/uiconfig", self.ui_config)
        return application

    async def login(self, request: web.Request) -> web.Response:
        """POST /auth/login."""
        token = await self._iam.login(await _object(request))
        response = answer({"token": token})
        response.set_cookie(COOKIE, token, httponly=True, path="/", max_age=self._iam.settings.token_lifetime_seconds)
        return response

    async def providers(self, _: web.Request) -> web.Response:
        """GET /auth/providers."""
        return answer(PROVIDERS)

    async def oidc_providers(self, _: web.Request) -> web.Response:
        """GET /auth/oidc/providers."""
        return answer({})

    async def jwks(self, _: web.Request) -> web.Response:
        """GET /auth/jwks."""
        return answer(self._iam.key.jwks())

    async def logout(self, _: web.Request) -> web.Response:
        """GET /auth/logout."""
        response = web.Response()
        response.del_cookie(COOKIE, path="/")
        return response

    async def users(self, request: web.Request) -> web.Response:
        """GET /users."""
        return answer({"array": await self._iam.users(request.query.get("type"))})

    async def user(self, request: web.Request) -> web.Response:
        """GET /users/{uid}."""
        return answer(await self._iam.user(request.match_info["uid"]))

    async def create(self, request: web.Request) -> web.Response:
        """PUT /users/{uid}."""
        await self._iam.create(request.match_info["uid"], await _object(request))
        return web.Response(status=201)

    async def update(self, request: web.Request) -> web.Response:
        """PATCH /users/{uid}."""
        await self._iam.update(request.match_info["uid"], await _object(request))
        return web.Response(status=204)

    async def delete(self, request: web.Request) -> web.Response:
        """DELETE /users/{uid}."""
        await self._iam.delete(request.match_info["uid"])
        return web.Response(status=204)

    async def ui_config(self, _: web.Request) -> web.Response:
        """GET /uiconfig."""
        return answer({"clusterConfiguration": {"id": "", "firstUser": False}, "uiConfiguration": {"plugins": {}}})


async def _object(request: web.Request) -> Json:
    try:
        body: Any = await body_of(request) if request.can_read_body else {}
    except ValueError as error:
        raise IamRefusal(400, "ERR_INVALID_DATA", f"Request body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise IamRefusal(400, "ERR_INVALID_DATA", "Request body must be a JSON object")
    return body


@web.middleware
async def _refusals(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        response: web.StreamResponse = await handler(request)
    except IamRefusal as refusal:
        headers = {"WWW-Authenticate": "acsjwt"} if refusal.status == 401 else None
        body = {"title": "Bad Request" if refusal.status == 400 else "", "description": refusal.description,
                "code": refusal.code}  # fmt: skip
        return answer({name: value for name, value in body.items() if value}, refusal.status, headers)
    return response
