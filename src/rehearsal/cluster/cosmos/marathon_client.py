"""Cosmos' calls to Marathon, with Marathon's refusals as Cosmos' own."""

from __future__ import annotations

from typing import Any

import aiohttp

from rehearsal.cluster.cosmos.errors import CosmosError
from rehearsal.cluster.settings import Json


class MarathonClient:
    """Marathon on this master, which passes on to the leader."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self._session = session
        self._base = base

    async def apps(self) -> list[Json]:
        """All apps that Cosmos installed."""
        _, body = await self._ask("GET", "/v2/apps")
        return [app for app in body["apps"] if "DCOS_PACKAGE_NAME" in app["labels"]]

    async def app(self, app_id: str) -> Json:
        """One app, or MarathonAppNotFound."""
        status, body = await self._ask("GET", f"/v2/apps{app_id}")
        if status == 404:
            raise CosmosError("MarathonAppNotFound", f"Unable to locate service with marathon appId: '{app_id}'",
                              appId=app_id)  # fmt: skip
        app: Json = body["app"]
        return app

    async def create(self, app: Json) -> str:
        """Create an app; returns its id."""
        status, body = await self._ask("POST", "/v2/apps", app)
        if status == 409:
            raise CosmosError("PackageAlreadyInstalled", "Package is already installed")
        self._check(status, body)
        return str(body["id"])

    async def replace(self, app: Json) -> str:
        """Replace an app; returns the deployment's id."""
        status, body = await self._ask("PUT", f"/v2/apps{app['id']}?partialUpdate=false&force=true", app)
        self._check(status, body)
        return str(body["deploymentId"])

    async def delete(self, app_id: str) -> None:
        """Remove an app."""
        status, body = await self._ask("DELETE", f"/v2/apps{app_id}?force=true")
        if status >= 400:
            raise CosmosError("MarathonAppDeleteError", f"Error while deleting marathon app '{app_id}'", appId=app_id)
        self._check(status, body)

    def _check(self, status: int, body: Any) -> None:
        if status >= 500:
            raise CosmosError("MarathonBadGateway", f"Received response status code {status} from Marathon: {body}",
                              marathonStatus=status)  # fmt: skip
        if status >= 400:
            raise CosmosError("MarathonBadResponse", str(body.get("message", "")), marathonError=body)

    async def _ask(self, method: str, path: str, body: Json | None = None) -> tuple[int, Any]:
        try:
            async with self._session.request(
                method, self._base + path, json=body, timeout=aiohttp.ClientTimeout(30)
            ) as response:
                return response.status, await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise CosmosError("ServiceUnavailable", f"Unable to complete request due to downstream service "
                              f"marathon unavailability: {error}", serviceName="marathon") from error  # fmt: skip
