"""Authenticated requests to Admin Router: a login that renews itself, and retries that are safe.

Login is by service account: a JWT signed with the account's key, exchanged for a token
(FACTS 2, dcos/bouncer's OpenAPI). Speaks to open and enterprise alike.
"""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import httpx
import jwt

from rekindle.dcos.answers import Token, decoded, read
from rekindle.dcos.errors import ApiError, LoginFailed, failure, unreachable
from rekindle.errors import InputError
from rekindle.secrets import Secret

LOGIN_PATH = "/acs/api/v1/auth/login"
LOGIN_SECONDS = 240  # validity of the service login JWT; the IAM takes at most about 5 minutes
RENEW_BEFORE = 60.0  # seconds before a token's end at which another is fetched
ROUTE_SECONDS = 30.0  # Admin Router may not know a new service for 25 s (its cache)
RETRY_PAUSE = 0.5
TIMEOUT = httpx.Timeout(30.0, connect=10.0)
IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE"})
UNAVAILABLE = frozenset({502, 503})
MAX_ANSWER = 64 << 20  # bytes; the apps of a cluster of a thousand are a tenth of it
JSON = "application/json"


@dataclass(frozen=True)
class Credentials:
    """A service account: its uid, and its RSA private key as PEM."""

    uid: str
    private_key: Secret


class Session:
    """Requests to one cluster. Safe to share between threads."""

    def __init__(
        self,
        base_url: str,
        credentials: Credentials | None,
        *,
        transport: httpx.BaseTransport | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        patience: float = ROUTE_SECONDS,
    ) -> None:
        self._http = httpx.Client(
            base_url=base_url,
            timeout=TIMEOUT,
            transport=transport,
            follow_redirects=True,
            trust_env=False,  # a tunnel's local end is reached through no proxy
        )
        self._credentials = credentials
        self._clock = clock
        self._sleep = sleep
        self._patience = patience
        self._token = ""
        self._renew_at = 0.0
        self._lock = threading.Lock()

    def get(self, path: str, *, params: Mapping[str, str] | None = None) -> Any:
        """The JSON that a GET answers."""
        return decoded(self.request("GET", path, params=params))

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        content: bytes | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        is_safe: bool | None = None,
    ) -> httpx.Response:
        """A successful answer; ApiError for a failure, Unreachable for none.

        `is_safe` says whether the call may be made twice; by default GET, HEAD, PUT and DELETE may.
        """
        request = self._http.build_request(
            method, path, json=json, content=content, params=params, headers={"Accept": JSON, **(headers or {})}
        )
        may_repeat = method in IDEMPOTENT if is_safe is None else is_safe
        response = self._patiently(request, may_repeat=may_repeat)
        if response.is_error:
            raise failure(response)
        return response

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def _patiently(self, request: httpx.Request, *, may_repeat: bool) -> httpx.Response:
        """Repeats while the service is unavailable, and while Admin Router does not know it yet."""
        until = self._clock() + self._patience
        while True:
            response, error = self._attempt(request)
            if response is not None and not _is_worth_waiting(response, may_repeat):
                return response
            if self._clock() >= until or (error is not None and not (may_repeat or _never_left(error))):
                break
            self._sleep(RETRY_PAUSE)
        if response is None:
            assert error is not None
            raise unreachable(request.method, request.url.path, error) from error
        return response

    def _attempt(self, request: httpx.Request) -> tuple[httpx.Response | None, httpx.RequestError | None]:
        try:
            return self._authenticated(request), None
        except httpx.RequestError as error:
            return None, error

    def _send(self, request: httpx.Request) -> httpx.Response:
        """The answer, read whole; ApiError for one that is larger than any real one."""
        with closing(self._http.send(request, stream=True)) as answer:
            content = bytearray()
            for part in answer.iter_bytes():
                content += part
                if len(content) > MAX_ANSWER:
                    said = f"the answer is larger than {MAX_ANSWER} bytes"
                    raise ApiError(request.method, request.url.path, answer.status_code, said)
        kind = {"Content-Type": answer.headers.get("Content-Type", "")}
        return httpx.Response(answer.status_code, headers=kind, content=bytes(content), request=answer.request)

    def _authenticated(self, request: httpx.Request) -> httpx.Response:
        """The answer; a token that is refused or about to end is renewed once."""
        if self._credentials is None:
            return self._send(request)
        token = self._current_token()
        request.headers["Authorization"] = f"token={token}"
        response = self._send(request)
        if response.status_code == 401:
            request.headers["Authorization"] = f"token={self._current_token(refused=token)}"
            response = self._send(request)
        return response

    def _current_token(self, refused: str = "") -> str:
        with self._lock:
            if self._token == refused or not self._token or self._clock() >= self._renew_at:
                self._token = self._log_in()
                self._renew_at = _end_of(self._token) - RENEW_BEFORE
            return self._token

    def _log_in(self) -> str:
        assert self._credentials is not None
        body = {"uid": self._credentials.uid, "token": self._login_jwt(self._credentials)}
        response = self._send(self._http.build_request("POST", LOGIN_PATH, json=body))
        if response.status_code in UNAVAILABLE:
            raise httpx.ConnectError("the IAM is not up yet", request=response.request)
        if response.is_error:
            raise _login_failed(self._credentials.uid, failure(response))
        return read(Token, response).token

    def _login_jwt(self, credentials: Credentials) -> str:
        claims = {"uid": credentials.uid, "exp": int(self._clock()) + LOGIN_SECONDS}
        try:
            return jwt.encode(claims, credentials.private_key.reveal(), algorithm="RS256")
        except (ValueError, TypeError, jwt.PyJWTError) as error:
            raise InputError(
                f"the private key of {credentials.uid} is not an RSA key in PEM form",
                next_step="Give the key that belongs to the account's public key.",
            ) from error


def _is_worth_waiting(response: httpx.Response, may_repeat: bool) -> bool:
    if response.status_code in UNAVAILABLE:
        return may_repeat
    return response.status_code == 404 and "service not found" in response.text


def _never_left(error: httpx.RequestError) -> bool:
    return isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)


def _end_of(token: str) -> float:
    """When a token ends, in seconds since 1970; for ever if it does not say."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
        end = float(claims.get("exp", "inf"))
        return end if end == end else float("inf")  # NaN is no time
    except (jwt.PyJWTError, TypeError, ValueError, OverflowError, RecursionError):
        return float("inf")


def _login_failed(uid: str, error: ApiError) -> LoginFailed:
    return LoginFailed(
        error.method,
        error.path,
        error.status,
        f"the account {uid} is not accepted: {error.message}",
        kind=error.kind,
        hint="Check that the key belongs to the account, and that this machine's clock is right.",
    )
