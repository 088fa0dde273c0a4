"""Cosmos' errors: {type, message, data}, status 400 unless said otherwise (dcos/cosmos v0.6.3 error/*.scala)."""

from __future__ import annotations

from typing import Any

STATUSES = {
    "PackageAlreadyInstalled": 409, "ServiceAlreadyStarted": 409, "EndpointUriConnection": 502, "Forbidden": 403,
    "IncompleteUninstall": 503, "MarathonBadGateway": 502, "MarathonGenericError": 500, "ServiceUnavailable": 503,
    "Unauthorized": 401,
}  # fmt: skip
MEDIA_TYPE = "application/vnd.dcos.package.error+json;charset=utf-8;version=v1"


class CosmosError(Exception):
    """A refusal by type."""

    def __init__(self, kind: str, message: str, **data: Any) -> None:
        super().__init__(message)
        self.status = STATUSES.get(kind, 400)
        self.body: dict[str, Any] = {"type": kind, "message": message}
        if data:
            self.body["data"] = data
