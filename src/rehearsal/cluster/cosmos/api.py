"""Cosmos' HTTP API on 7070."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from rehearsal.cluster.answers import not_built
from rehearsal.cluster.cosmos import errors, media_types, rendering
from rehearsal.cluster.cosmos.errors import CosmosError
from rehearsal.cluster.cosmos.marathon_client import MarathonClient
from rehearsal.cluster.cosmos.repositories import Repositories
from rehearsal.cluster.settings import Json

PORT = 7070
CAPABILITIES = ("PACKAGE_MANAGEMENT", "SUPPORT_CLUSTER_REPORT", "METRONOME", "LOGGING", "LOGGING_V2")
Handler = Callable[[Json, str], Awaitable[Json]]


class CosmosApi:
    """Routes of one master's Cosmos; all state is in ZooKeeper and Marathon."""

    def __init__(self, repositories: Repositories, marathon: MarathonClient) -> None:
        self._repositories = repositories
        self._marathon = marathon
        self._handlers: dict[str, Handler] = {
            "/package/describe": self.describe, "/package/install": self.install, "/package/render": self.render,
            "/package/uninstall": self.uninstall, "/package/list": self.list_installed,
            "/package/list-versions": self.list_versions, "/package/search": self.search,
            "/package/repository/list": self.repository_list, "/package/repository/add": self.repository_add,
            "/package/repository/delete": self.repository_delete, "/service/describe": self.service_describe,
            "/service/update": self.service_update,
        }  # fmt: skip

    def application(self) -> web.Application:
        """The server's routes."""
        application = web.Application(client_max_size=32 << 20)
        for path in self._handlers:
            application.router.add_post(path, self.dispatch)
        application.router.add_get("/capabilities", self.capabilities)
        application.router.add_get("/package/resource", self.resource)
        return application

    async def dispatch(self, request: web.Request) -> web.Response:
        """Check the types, do the call, answer in the version asked for."""
        call = media_types.CALLS[request.path]
        try:
            version = media_types.negotiate(call, request.headers)
            result = await self._handlers[request.path](_parsed(await request.text()), version)
        except CosmosError as error:
            return _answer(error.body, errors.MEDIA_TYPE, error.status)
        return _answer(result, call.responses[version])

    async def capabilities(self, request: web.Request) -> web.Response:
        """GET /capabilities."""
        accept = request.headers.get("Accept", "*/*")
        if "*/*" not in accept and media_types.normal(accept) != media_types.CAPABILITIES:
            refusal = CosmosError("not_valid", f"Item 'header 'Accept'' deserialization failed: got [{accept}]")
            return _answer(refusal.body, errors.MEDIA_TYPE, 400)
        return _answer({"capabilities": [{"name": name} for name in CAPABILITIES]}, media_types.CAPABILITIES)

    async def resource(self, _: web.Request) -> web.Response:
        """GET /package/resource."""
        return not_built("Cosmos GET /package/resource")

    # -- packages --------------------------------------------------------------------------------------------

    async def describe(self, body: Json, version: str) -> Json:
        """A package's definition."""
        package = rendering.public(await self._package(body))
        if version == "v3":
            return {"package": package}
        template = package.get("marathon", {}).get("v2AppMustacheTemplate")
        found = {name: value for name, value in package.items() if name not in {"marathon"}}
        return {**found, "marathon": {"v2AppMustacheTemplate": template}} if template else found

    async def render(self, body: Json, _: str) -> Json:
        """The Marathon app that an install would create."""
        app = rendering.render(await self._package(body), body.get("options"), body.get("appId"))
        return {"marathonJson": app}

    async def install(self, body: Json, version: str) -> Json:
        """Create the package's service; a CLI-only package starts nothing."""
        package = await self._package(body)
        answer: Json = {"packageName": package["name"], "packageVersion": package["version"]}
        if "marathon" in package:
            app = rendering.render(package, body.get("options"), body.get("appId"))
            answer["appId"] = await self._marathon.create(app)
        elif version == "v1":
            raise CosmosError("ServiceMarathonTemplateNotFound", f"Package {package['name']} has no Marathon template")
        if version == "v2":
            answer.update({name: package[name] for name in ("postInstallNotes",) if name in package})
            answer.update({"cli": package["resource"]["cli"]} if "cli" in package.get("resource", {}) else {})
        return answer

    async def uninstall(self, body: Json, _: str) -> Json:
        """Remove a package's services."""
        name = _required(body, "packageName")
        installed = [app for app in await self._marathon.apps() if app["labels"]["DCOS_PACKAGE_NAME"] == name]
        if not installed:
            raise CosmosError("PackageNotInstalled", f"Package [{name}] is not installed", packageName=name)
        chosen = self._chosen(name, installed, body)
        for app in chosen:
            if "DCOS_COMMONS_UNINSTALL" in app["labels"]:
                raise CosmosError("FailedToStartUninstall", "Uninstalling an SDK service is not built in the rehearsal "
                                  "cluster", appId=app["id"], explanation="not built")  # fmt: skip
            await self._marathon.delete(app["id"])
        return {"results": [self._uninstalled(name, app) for app in chosen]}

    @staticmethod
    def _uninstalled(name: str, app: Json) -> Json:
        result = {"packageName": name, "appId": app["id"], "packageVersion": app["labels"]["DCOS_PACKAGE_VERSION"]}
        notes = _definition(app).get("postUninstallNotes")
        return {**result, "postUninstallNotes": notes} if notes else result

    @staticmethod
    def _chosen(name: str, installed: list[Json], body: Json) -> list[Json]:
        app_id = body.get("appId")
        if app_id is not None:
            wanted = "/" + str(app_id).strip("/")
            chosen = [app for app in installed if app["id"] == wanted]
            if not chosen:
                raise CosmosError("UninstallNonExistentAppForPackage",
                                  f"Package [{name}] with id [{wanted}] is not installed",
                                  packageName=name, appId=wanted)  # fmt: skip
            return chosen
        if len(installed) > 1 and not body.get("all"):
            ids = [app["id"] for app in installed]
            raise CosmosError("AmbiguousAppId", f"Multiple apps named [{name}] are installed: [{', '.join(ids)}]",
                              packageName=name, appIds=ids)  # fmt: skip
        return installed

    async def list_installed(self, body: Json, _: str) -> Json:
        """Installed packages."""
        name, app_id = body.get("packageName"), body.get("appId")
        wanted_id = None if app_id is None else "/" + str(app_id).strip("/")
        found = [app for app in await self._marathon.apps()
                 if name in {None, app["labels"]["DCOS_PACKAGE_NAME"]} and wanted_id in {None, app["id"]}]  # fmt: skip
        return {"packages": [
            {"appId": app["id"], "packageInformation": _information(_definition(app))}
            for app in sorted(found, key=lambda app: str(app["id"]))
        ]}  # fmt: skip

    async def list_versions(self, body: Json, _: str) -> Json:
        """A package's versions."""
        name = _required(body, "packageName")
        named = [one for one in await self._repositories.packages() if one["name"] == name]
        if not named:
            raise CosmosError("PackageNotFound", f"Package [{name}] not found", packageName=name)
        return {"results": {one["version"]: str(one["releaseVersion"]) for one in named}}

    async def search(self, body: Json, _: str) -> Json:
        """Packages that match."""
        return {"packages": await self._repositories.search(body.get("query"))}

    async def _package(self, body: Json) -> Json:
        return await self._repositories.package(_required(body, "packageName"), body.get("packageVersion"))

    # -- repositories ----------------------------------------------------------------------------------------

    async def repository_list(self, _: Json, __: str) -> Json:
        """All repositories."""
        return {"repositories": await self._repositories.known()}

    async def repository_add(self, body: Json, _: str) -> Json:
        """Add a repository."""
        name, uri = _required(body, "name"), _required(body, "uri")
        return {"repositories": await self._repositories.add(name, uri, body.get("index"))}

    async def repository_delete(self, body: Json, _: str) -> Json:
        """Remove a repository."""
        return {"repositories": await self._repositories.delete(body.get("name"), body.get("uri"))}

    # -- services --------------------------------------------------------------------------------------------

    async def service_describe(self, body: Json, _: str) -> Json:
        """An installed service, its options and where it may go."""
        app = await self._marathon.app("/" + _required(body, "appId").strip("/"))
        package = _definition(app)
        options = _options(app)
        answer: Json = {"package": package, "upgradesTo": [], "downgradesTo": []}
        if options is not None:
            answer["userProvidedOptions"] = options
            answer["resolvedOptions"] = rendering.resolved_options(package, options)
        known = [one for one in await self._repositories.packages() if one["name"] == package["name"]]
        answer["upgradesTo"] = [one["version"] for one in known
                                if {package["version"], "*"} & set(one.get("upgradesFrom", []))
                                and one["version"] != package["version"]]  # fmt: skip
        answer["downgradesTo"] = [one for one in package.get("downgradesTo", [])
                                  if one in {other["version"] for other in known}]  # fmt: skip
        return answer

    async def service_update(self, body: Json, _: str) -> Json:
        """New options for an installed service; open Cosmos refuses another version."""
        app = await self._marathon.app("/" + _required(body, "appId").strip("/"))
        installed = app["labels"].get("DCOS_PACKAGE_VERSION")
        wanted = body.get("packageVersion")
        if wanted is not None and wanted != installed:
            raise CosmosError("VersionUpgradeNotSupportedInOpen",
                              "Version upgrades are not supported in the open version of DC/OS",
                              requested=wanted, actual=installed)  # fmt: skip
        stored = _options(app)
        if stored is None and not body.get("replace"):
            raise CosmosError("OptionsNotStored", "Unable to find stored options on the service")
        given = body.get("options") or {}
        options = given if body.get("replace") else rendering.merged(stored or {}, given)
        package = {**_definition(app), "_source": app["labels"].get("DCOS_PACKAGE_SOURCE", "")}
        rendered = rendering.render(package, options, None)
        if rendered["id"] != app["id"]:
            raise CosmosError("AppIdChanged", f"The new options alter the id from {app['id']} to {rendered['id']}",
                              oldAppId=app["id"], newAppId=rendered["id"])  # fmt: skip
        deployment = await self._marathon.replace(rendered)
        return {"package": rendering.public(package), "marathonDeploymentId": deployment,
                "resolvedOptions": rendering.resolved_options(package, options)}  # fmt: skip


def _answer(body: Json, media_type: str, status: int = 200) -> web.Response:
    text = json.dumps(body, separators=(",", ":")).encode()
    return web.Response(body=text, status=status, headers={"Content-Type": media_type})


def _parsed(text: str) -> Json:
    try:
        body = json.loads(text or "{}")
    except ValueError as error:
        raise CosmosError("not_valid", f"Item 'body' deserialization failed: {error}") from error
    if not isinstance(body, dict):
        raise CosmosError("not_valid", "Item 'body' deserialization failed: Attempt to decode value on failed cursor")
    return body


def _required(body: Json, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise CosmosError("not_valid",
                          f"Item 'body' deserialization failed: Attempt to decode value on failed cursor: "
                          f"DownField({name})")  # fmt: skip
    return value


def _definition(app: Json) -> Json:
    label = app["labels"].get("DCOS_PACKAGE_DEFINITION")
    if label is None:
        return {"name": app["labels"].get("DCOS_PACKAGE_NAME"), "version": app["labels"].get("DCOS_PACKAGE_VERSION")}
    definition: Json = rendering.decoded(rendering.decoded(label)["data"])
    return definition


def _options(app: Json) -> Any:
    label = app["labels"].get("DCOS_PACKAGE_OPTIONS")
    return None if label is None else rendering.decoded(label)


def _information(package: Json) -> Json:
    kept = {name: value for name, value in package.items() if name not in {"config", "marathon", "resource", "command"}}
    return {"packageDefinition": kept, **({"resourceDefinition": package["resource"]} if "resource" in package else {})}
