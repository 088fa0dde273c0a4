"""What Marathon answers when it refuses."""

from __future__ import annotations

from rehearsal.cluster.marathon.validation import Problem
from rehearsal.cluster.settings import Json


class Refusal(Exception):
    """A refusal with its status and body."""

    def __init__(self, status: int, body: Json) -> None:
        super().__init__(str(body.get("message", "")))
        self.status = status
        self.body = body


def not_found(kind: str, name: str) -> Refusal:
    """404."""
    return Refusal(404, {"message": f"{kind} '{name}' does not exist"})


def locked(deployments: list[str]) -> Refusal:
    """409 with the deployments that hold the lock."""
    return Refusal(409, {
        "message": "App is locked by one or more deployments. Override with the option '?force=true'. "
                   "View details at '/v2/deployments/<DEPLOYMENT_ID>'.",
        "deployments": [{"id": one} for one in deployments],
    })  # fmt: skip


def invalid(problems: list[Problem]) -> Refusal:
    """422 with each path and its errors."""
    by_path: dict[str, list[str]] = {}
    for path, message in problems:
        by_path.setdefault(path, []).append(message)
    return Refusal(422, {
        "message": "Object is not valid",
        "details": [{"path": path, "errors": messages} for path, messages in by_path.items()],
    })  # fmt: skip


def exists(app_id: str) -> Refusal:
    """409 for an id that is taken."""
    return Refusal(409, {"message": f"An app with id [{app_id}] already exists."})


def not_built(call: str) -> Refusal:
    """501 by name."""
    return Refusal(501, {"message": f"{call} is not built in the rehearsal cluster"})
