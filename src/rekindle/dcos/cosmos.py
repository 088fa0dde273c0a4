"""Cosmos: repositories, packages and their options, with the exact media types it insists on.

Media types: dcos/cosmos v0.6.3, rpc/MediaTypes.scala (FACTS 7).
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from rekindle.dcos import answers
from rekindle.dcos.answers import read
from rekindle.dcos.errors import ApiError
from rekindle.dcos.session import Session
from rekindle.parsing import from_json

Options = Mapping[str, Any]

LABEL_NAME = "DCOS_PACKAGE_NAME"
LABEL_VERSION = "DCOS_PACKAGE_VERSION"
LABEL_SOURCE = "DCOS_PACKAGE_SOURCE"
LABEL_OPTIONS = "DCOS_PACKAGE_OPTIONS"

# path: (name in the media types, version of the response, whether a second call does no harm)
CALLS: Mapping[str, tuple[str, int, bool]] = {
    "/package/describe": ("package.describe", 3, True),
    "/package/install": ("package.install", 2, False),
    "/package/render": ("package.render", 1, True),
    "/package/uninstall": ("package.uninstall", 1, False),
    "/package/list": ("package.list", 1, True),
    "/package/list-versions": ("package.list-versions", 1, True),
    "/package/repository/list": ("package.repository.list", 1, True),
    "/package/repository/add": ("package.repository.add", 1, False),
    "/package/repository/delete": ("package.repository.delete", 1, False),
    "/cosmos/service/describe": ("service.describe", 1, True),
    "/cosmos/service/update": ("service.update", 1, False),
}


@dataclass(frozen=True)
class Repository:
    """A repository that Cosmos looks packages up in."""

    name: str
    uri: str


@dataclass(frozen=True)
class Installed:
    """A package that runs as a Marathon app."""

    app_id: str
    name: str
    version: str


class Cosmos:
    """Calls of one cluster's Cosmos; each raises ApiError with Cosmos's own type as `kind`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def repositories(self) -> tuple[Repository, ...]:
        """In the order they are looked through."""
        found = read(answers.Repositories, self._call("/package/repository/list", {}))
        return tuple(Repository(item.name, item.uri) for item in found.repositories)

    def add_repository(self, repository: Repository, index: int = 0) -> None:
        """Looked through at `index`; an equal one that is there already is no failure."""
        try:
            body = {"name": repository.name, "uri": repository.uri, "index": index}
            self._call("/package/repository/add", body)
        except ApiError:
            if repository not in self.repositories():
                raise

    def delete_repository(self, name: str) -> None:
        self._call("/package/repository/delete", {"name": name})

    def installed(self) -> tuple[Installed, ...]:
        """Every installed package that runs an app."""
        found = read(answers.Packages, self._call("/package/list", {}))
        return tuple(_installed(item) for item in found.packages)

    def describe(self, name: str, version: str | None = None) -> Mapping[str, Any]:
        """The package's definition; `kind` PackageNotFound or VersionNotFound if no repository has it."""
        return read(answers.Described, self._call("/package/describe", _coordinates(name, version))).package

    def install(self, name: str, version: str, options: Options, app_id: str) -> None:
        """Starts the package as this app; `kind` PackageAlreadyInstalled if the app is there."""
        body = {**_coordinates(name, version), "options": dict(options), "appId": app_id}
        self._call("/package/install", body)

    def render(self, name: str, version: str, options: Options, app_id: str) -> dict[str, Any]:
        """The Marathon app that an installation would send."""
        body = {**_coordinates(name, version), "options": dict(options), "appId": app_id}
        return read(answers.Rendered, self._call("/package/render", body)).marathonJson

    def update(self, app_id: str, options: Options) -> str:
        """Replaces a service's options; the id of the deployment. Open Cosmos keeps the version."""
        body = {"appId": app_id, "options": dict(options), "replace": True}
        return read(answers.Updated, self._call("/cosmos/service/update", body)).marathonDeploymentId

    def uninstall(self, name: str, app_id: str) -> None:
        self._call("/package/uninstall", {"packageName": name, "appId": app_id})

    def _call(self, path: str, body: Mapping[str, Any]) -> httpx.Response:
        name, version, is_safe = CALLS[path]
        headers = {
            "Content-Type": f"application/vnd.dcos.{name}-request+json;charset=utf-8;version=v1",
            "Accept": f"application/vnd.dcos.{name}-response+json;charset=utf-8;version=v{version}",
        }
        content = json.dumps(body).encode()
        return self._session.request("POST", path, content=content, headers=headers, is_safe=is_safe)


def stored_options(app: Mapping[str, Any]) -> dict[str, Any]:
    """The options a user gave, as Cosmos keeps them in the app's label; empty if it kept none."""
    try:
        text = base64.b64decode(app.get("labels", {}).get(LABEL_OPTIONS, ""), validate=True)
        options = from_json(text or b"{}")
    except (binascii.Error, ValueError):
        return {}
    return options if isinstance(options, dict) else {}


def _coordinates(name: str, version: str | None) -> dict[str, Any]:
    return {"packageName": name} | ({"packageVersion": version} if version else {})


def _installed(item: answers.InstalledPackage) -> Installed:
    package = item.packageInformation.packageDefinition
    return Installed(item.appId, package.name, package.version)
