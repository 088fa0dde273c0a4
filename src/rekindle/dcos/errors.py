"""How the cluster's answers become Rekindle's errors: method, path, status and message, never a token."""

from typing import Any

import httpx

from rekindle.errors import CommandFailed, Unreachable
from rekindle.parsing import NotPlain, from_json

MAX_MESSAGE = 600


class ApiError(CommandFailed):
    """The cluster answered a call with failure."""

    def __init__(self, method: str, path: str, status: int, message: str, *, kind: str = "", hint: str = "") -> None:
        super().__init__(f"{method} {path} was answered {status}: {message}", where="cluster", next_step=hint)
        self.method = method
        self.path = path
        self.status = status
        self.message = message
        self.kind = kind  # Cosmos's `type` or the IAM's `code`


class LoginFailed(ApiError):
    """The cluster does not accept the account."""


def failure(response: httpx.Response) -> ApiError:
    """The error that an answer with a status of 400 or more stands for."""
    method, path = response.request.method, response.request.url.path
    message, kind = _said(response)
    return ApiError(method, path, response.status_code, message[:MAX_MESSAGE], kind=kind)


def unreachable(method: str, path: str, error: httpx.RequestError) -> Unreachable:
    """The error for a call that got no answer."""
    return Unreachable(
        f"{method} {path} got no answer: {type(error).__name__}: {error}",
        where="cluster",
        next_step="Check that the masters are up and that the tunnel to them stands.",
    )


def _said(response: httpx.Response) -> tuple[str, str]:
    """Message and type of an error body, whichever component wrote it."""
    try:
        body = from_json(response.content)
    except NotPlain:
        return _plain(response), ""
    if not isinstance(body, dict):
        return str(body), ""
    message = body.get("message") or body.get("description") or body.get("title") or response.reason_phrase
    return " ".join(filter(None, [str(message), _details(body)])), str(body.get("type") or body.get("code") or "")


def _plain(response: httpx.Response) -> str:
    is_html = "html" in response.headers.get("content-type", "")
    return response.reason_phrase if is_html else response.text.strip() or response.reason_phrase


def _details(body: dict[str, Any]) -> str:
    """What Marathon lists under `details` (path and errors), or Cosmos under `data`."""
    details = body.get("details")
    if isinstance(details, list):
        return "; ".join(_detail(item) for item in details)
    data = body.get("data")
    if isinstance(data, dict) and isinstance(data.get("errors"), list):
        return "; ".join(_schema_error(item) for item in data["errors"])
    return str(details or "")


def _schema_error(item: Any) -> str:
    """One of Cosmos's JsonSchemaMismatch: where in the options, and what is wrong."""
    if not isinstance(item, dict):
        return str(item)
    instance = item.get("instance")
    place = instance.get("pointer", "") if isinstance(instance, dict) else ""
    return f"{place or '(the whole)'}: {item.get('message', '')}"


def _detail(item: Any) -> str:
    if isinstance(item, dict):
        errors = item.get("errors")
        said = ", ".join(map(str, errors)) if isinstance(errors, list) else str(errors or "")
        return f"{item.get('path') or '(the whole)'}: {said}"
    return str(item)
