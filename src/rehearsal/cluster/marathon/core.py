"""Marathon's state and the changes that may be made to it: apps, groups, their versions, and deployments."""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Callable
from typing import Any

from rehearsal.cluster.marathon import errors, plan
from rehearsal.cluster.marathon.app import App, canonical, config_of, group_of, volumes, with_defaults
from rehearsal.cluster.marathon.deployments import Deployments
from rehearsal.cluster.marathon.errors import Refusal
from rehearsal.cluster.marathon.events import EventBus
from rehearsal.cluster.marathon.plan import CyclicDependencies, Plan
from rehearsal.cluster.marathon.scheduler import Scheduler
from rehearsal.cluster.marathon.schema import type_errors
from rehearsal.cluster.marathon.validation import problems
from rehearsal.cluster.settings import Json, NodeSettings
from rehearsal.cluster.store import Store
from rehearsal.cluster.times import seconds_of, timestamp

APPS = "/marathon/apps"
VERSIONS = "/marathon/versions"
GROUPS = "/marathon/groups"
SERVICE_PORTS = range(10000, 20001)
READ_ONLY = {"tasks", "tasksStaged", "tasksRunning", "tasksHealthy", "tasksUnhealthy", "deployments", "version",
             "versionInfo", "lastTaskFailure", "tasksStats", "readinessCheckResults"}  # fmt: skip


def key(app_id: str) -> str:
    """The id as one name in ZooKeeper."""
    return app_id.strip("/").replace("/", "_")


class Marathon:
    """The leading Marathon."""

    def __init__(self, settings: NodeSettings, store: Store, scheduler: Scheduler, events: EventBus) -> None:
        self.settings = settings
        self.scheduler = scheduler
        self.deployments = Deployments(scheduler, store)
        self.events = events
        self.groups: dict[str, Json] = {}
        self._store = store
        self._last_version = 0.0

    @property
    def apps(self) -> dict[str, App]:
        """Every app by id."""
        return self.scheduler.apps

    async def load(self) -> None:
        """Read apps and groups; before the scheduler leads."""
        for document in (await self._store.documents(APPS)).values():
            self.apps[document["id"]] = App(document)
        self.groups = await self._store.read(GROUPS) or {}

    async def lead(self) -> None:
        """Go on with deployments and begin to schedule."""
        await self.deployments.recover()
        self.scheduler.poke()

    def new_version(self) -> str:
        """A timestamp later than any before."""
        self._last_version = max(time.time(), self._last_version + 0.001)
        return timestamp(self._last_version)

    # -- apps ------------------------------------------------------------------------------------------------

    def app(self, app_id: str) -> App:
        """The app, or 404."""
        found = self.apps.get(app_id)
        if found is None:
            raise errors.not_found("App", app_id)
        return found

    async def create(self, body: Json, *, force: bool) -> tuple[App, str]:
        """A new app and its deployment."""
        if not isinstance(body, dict) or "id" not in body:
            raise errors.invalid(_problems_of_types(body))
        app_id = canonical(str(body["id"]))
        if app_id in self.apps:
            raise errors.exists(app_id)
        version = self.new_version()
        document = self.checked({**body, "id": app_id}, version)
        deployment = await self.change({app_id: document}, version, force=force)
        return App(document), deployment

    async def update(self, app_id: str, body: Json, *, partial: bool, force: bool) -> tuple[bool, str, str]:
        """Change or create an app: (was created, version, deployment)."""
        old = self.apps.get(app_id)
        version = self.new_version()
        if set(body) - {"id"} == {"version"}:
            document = self._back_to(app_id, await self.version(app_id, body["version"]), version)
        else:
            self._same_id(app_id, body)
            base = {name: value for name, value in old.document.items() if name not in READ_ONLY} if (
                old and partial) else {}  # fmt: skip
            document = self.checked({**_without_superseded(base, body), **body, "id": app_id}, version)
        deployment = await self.change({app_id: document}, version, force=force)
        return old is None, version, deployment

    async def update_many(self, bodies: list[Json], *, partial: bool, force: bool) -> tuple[str, str]:
        """Several apps in one deployment."""
        version = self.new_version()
        target: dict[str, Json | None] = {}
        for body in bodies:
            app_id = canonical(str(body["id"]))
            old = self.apps.get(app_id)
            base = dict(old.document) if old and partial else {}
            base = {name: value for name, value in base.items() if name not in READ_ONLY}
            target[app_id] = self.checked({**_without_superseded(base, body), **body, "id": app_id}, version)
        return version, await self.change(target, version, force=force)

    async def delete(self, app_id: str, *, force: bool) -> tuple[str, str]:
        """Remove an app: (version, deployment)."""
        self.app(app_id)
        version = self.new_version()
        return version, await self.change({app_id: None}, version, force=force)

    async def restart(self, app_id: str, *, force: bool) -> tuple[str, str]:
        """Replace all instances: (version, deployment)."""
        version = self.new_version()
        document = {**self.app(app_id).document, "version": version,
                    "versionInfo": {"lastScalingAt": version, "lastConfigChangeAt": version}}  # fmt: skip
        return version, await self.change({app_id: document}, version, force=force, restart=True)

    async def version(self, app_id: str, version: str) -> Json:
        """An earlier version of an app, or 404."""
        found = await self._store.read(f"{VERSIONS}/{key(app_id)}/{version}")
        if found is None:
            raise errors.not_found("App", f"{app_id}' in version '{version}")
        document: Json = found
        return document

    async def versions(self, app_id: str) -> list[str]:
        """Timestamps of an app's versions, newest first."""
        return sorted(await self._store.children(f"{VERSIONS}/{key(app_id)}"), reverse=True)

    def checked(self, body: Json, version: str) -> Json:
        """The app as it will be kept; raises 422 with all that is wrong, or 501 for what is not built."""
        given = {name: value for name, value in body.items() if name not in READ_ONLY}
        found = _problems_of_types(given)
        if found:
            raise errors.invalid(found)
        document = with_defaults(given, enforce_group_role=self.settings.enforce_group_role)
        others = [app.document for app in self.apps.values()]
        found = problems(document, others, enforce_group_role=self.settings.enforce_group_role)
        if found:
            raise errors.invalid(found)
        _refuse_not_built(document)
        self._assign_service_ports(document)
        return self._versioned(document, version)

    def _versioned(self, document: Json, version: str) -> Json:
        old = self.apps.get(document["id"])
        info = {"lastScalingAt": version, "lastConfigChangeAt": version}
        if old is not None:
            if old.document["instances"] == document["instances"]:
                info["lastScalingAt"] = old.document["versionInfo"]["lastScalingAt"]
            if config_of(old.document) == config_of(document):
                info["lastConfigChangeAt"] = old.config_version
        return {**document, "version": version, "versionInfo": info}

    def _back_to(self, app_id: str, document: Json, version: str) -> Json:
        kept = {name: value for name, value in document.items() if name not in READ_ONLY}
        return self.checked({**kept, "id": app_id}, version)

    def _same_id(self, app_id: str, body: Json) -> None:
        if "id" in body and canonical(str(body["id"]), group_of(app_id)) != app_id:
            raise errors.invalid([("/id", f"must be equal to {app_id}")])

    def _assign_service_ports(self, document: Json) -> None:
        if document["requirePorts"]:
            return
        old = self.apps.get(document["id"])
        kept = old.document.get("portDefinitions", []) if old else []
        taken = {port["port"] for app in self.apps.values() for port in app.document.get("portDefinitions", [])}
        for index, port in enumerate(document.get("portDefinitions", [])):
            if port["port"] == 0:
                port["port"] = kept[index]["port"] if index < len(kept) else _free_port(taken)
                taken.add(port["port"])

    # -- the one way to change -------------------------------------------------------------------------------

    async def change(self, target: dict[str, Json | None], version: str, *, force: bool, restart: bool = False) -> str:
        """Store the new documents and start the deployment that makes them true; 409 if locked."""
        original = {name: self.apps[name].document if name in self.apps else None for name in target}
        after = {**self.apps, **{name: App(document) for name, document in target.items() if document is not None}}
        for name in [name for name, document in target.items() if document is None]:
            after.pop(name, None)
        try:
            planned = plan.steps(original, target, after, restart=restart)
        except CyclicDependencies as error:
            raise errors.invalid([("/dependencies", f"Dependency graph has cyclic dependencies: {error}")]) from error
        await self._take_locks(set(target), force=force)
        await self._store_all(target, version)
        deployment = Plan(id=str(uuid.uuid4()), version=version, original=original, target=target, steps=planned)
        await self.deployments.start(deployment)
        self.events.publish("group_change_success", groupId="/", version=version)
        return deployment.id

    async def _take_locks(self, app_ids: set[str], *, force: bool) -> None:
        holders = self.deployments.holding(app_ids)
        if holders and not force:
            raise errors.locked(holders)
        for holder in holders:
            await self.deployments.cancel(holder)

    async def _store_all(self, target: dict[str, Json | None], version: str) -> None:
        for app_id, document in target.items():
            if document is None:
                self.apps.pop(app_id, None)
                self.scheduler.backoffs.pop(app_id, None)
                await self._store.delete(f"{APPS}/{key(app_id)}")
                continue
            old = self.apps.get(app_id)
            self.apps[app_id] = App(document)
            if old is None or config_of(old.document) != config_of(document):
                self.scheduler.backoffs.pop(app_id, None)
            await self._store.write(f"{APPS}/{key(app_id)}", document)
            await self._store.write(f"{VERSIONS}/{key(app_id)}/{document['version']}", document)
            await self._note_groups(app_id, version)

    async def _note_groups(self, app_id: str, version: str) -> None:
        missing = []
        group = group_of(app_id)
        while group != "/":
            if group not in self.groups:
                missing.append(group)
            group = group_of(group)
        for name in missing:
            self.groups[name] = {"version": version}
        if missing:
            await self._store.write(GROUPS, self.groups)

    async def roll_back(self, deployment_id: str, *, force: bool) -> tuple[str, str] | None:
        """Undo a running deployment by another one, or with force just stop it (None)."""
        deployment = self.deployments.running.get(deployment_id)
        if deployment is None:
            raise errors.not_found("DeploymentPlan", deployment_id)
        if force:
            await self.deployments.cancel(deployment_id)
            return None
        version = self.new_version()
        target = {
            app_id: None if document is None else self._versioned_back(document, version)
            for app_id, document in deployment.plan.original.items()
        }
        return version, await self.change(target, version, force=True)

    def _versioned_back(self, document: Json, version: str) -> Json:
        """The earlier document; its instances still count, so its configuration keeps its version."""
        return {**document, "version": version}

    # -- groups ----------------------------------------------------------------------------------------------

    def group(self, group_id: str) -> Json:
        """A group with all it holds, or 404."""
        if group_id != "/" and group_id not in self.groups:
            raise errors.not_found("Group", group_id)
        below = [name for name in self.groups if group_of(name) == group_id and name != group_id]
        apps = [app.document for app in self.apps.values() if group_of(app.id) == group_id]
        known = self.groups.get(group_id, {})
        return {
            "id": group_id, "apps": sorted(apps, key=lambda app: str(app["id"])), "pods": [],
            "groups": [self.group(name) for name in sorted(below)],
            "dependencies": known.get("dependencies", []),
            "version": known.get("version", timestamp(self._last_version)),
            "enforceRole": self.settings.enforce_group_role and group_id != "/",
        }  # fmt: skip

    async def create_group(self, body: Json, *, force: bool, update: bool = False) -> tuple[str, str]:
        """Create or update a group and the apps in it: (version, deployment)."""
        group_id = canonical(str(body.get("id", "/")))
        if not update and group_id in self.groups:
            raise Refusal(409, {"message": f"Group {group_id} is already created. Use PUT to change this group."})
        version = self.new_version()
        target: dict[str, Json | None] = {}
        groups: dict[str, Json] = {}
        self._collect({**body, "id": group_id}, "/", version, target, groups)
        deployment = await self.change(target, version, force=force)
        self.groups.update(groups)
        await self._store.write(GROUPS, self.groups)
        return version, deployment

    def _collect(
        self, body: Json, base: str, version: str, target: dict[str, Json | None], groups: dict[str, Json]
    ) -> None:
        group_id = canonical(str(body["id"]), base)
        if group_id != "/":
            groups[group_id] = {"version": version, "dependencies": [
                canonical(one, group_of(group_id)) for one in body.get("dependencies", [])]}  # fmt: skip
        if body.get("pods"):
            raise errors.not_built("Marathon pods")
        for app in body.get("apps", []):
            app_id = canonical(str(app.get("id", "")), group_id)
            target[app_id] = self.checked({**app, "id": app_id}, version)
        for group in body.get("groups", []):
            self._collect(group, group_id, version, target, groups)

    async def delete_group(self, group_id: str, *, force: bool) -> tuple[str, str]:
        """Remove a group and all in it: (version, deployment)."""
        self.group(group_id)
        prefix = group_id.rstrip("/") + "/"
        version = self.new_version()
        target: dict[str, Json | None] = {app_id: None for app_id in self.apps if app_id.startswith(prefix)}
        deployment = await self.change(target, version, force=force)
        self.groups = {name: known for name, known in self.groups.items()
                       if name != group_id and not name.startswith(prefix)}  # fmt: skip
        await self._store.write(GROUPS, self.groups)
        return version, deployment

    # -- tasks -----------------------------------------------------------------------------------------------

    async def kill_tasks(
        self, wanted: Callable[[Any], bool], *, scale: bool, wipe: bool, force: bool
    ) -> list[Any] | tuple[str, str]:
        """Kill instances; with scale, want as many fewer: then (version, deployment)."""
        if scale and wipe:
            raise Refusal(400, {"message": "You cannot use scale and wipe at the same time."})
        chosen = [one for one in self.scheduler.instances.values() if wanted(one)]
        if scale:
            version = self.new_version()
            target: dict[str, Json | None] = {}
            for app_id in {one.app_id for one in chosen}:
                count = self.app(app_id).instances - sum(one.app_id == app_id for one in chosen)
                target[app_id] = self._versioned({**self.app(app_id).document, "instances": max(0, count)}, version)
            deployment = await self.change(target, version, force=force)
            for one in chosen:
                self.scheduler.kill(one)
            return version, deployment
        for one in chosen:
            self.scheduler.kill(one)
        self.scheduler.poke()
        return chosen


def _without_superseded(base: Json, body: Json) -> Json:
    """The old fields, but those that a new one replaces under another name."""
    dropped = set()
    if "cmd" in body:
        dropped.add("args")
    if "args" in body:
        dropped.add("cmd")
    if "ports" in body:
        dropped.add("portDefinitions")
    if "uris" in body:
        dropped.add("fetch")
    return {name: value for name, value in json.loads(json.dumps(base)).items() if name not in dropped}


def _problems_of_types(body: Any) -> list[tuple[str, str]]:
    if not isinstance(body, dict):
        return [("/", "error.expected.jsobject")]
    return type_errors({name: value for name, value in body.items() if value is not None})


def _free_port(taken: set[int]) -> int:
    free = [port for port in SERVICE_PORTS if port not in taken]
    return random.choice(free)  # noqa: S311 - not a secret


def _refuse_not_built(document: Json) -> None:
    if document.get("container", {}).get("docker"):
        raise errors.not_built("Running a container image")
    if document["networks"][0]["mode"] != "host":
        raise errors.not_built(f"Network mode {document['networks'][0]['mode']}")
    if any("persistent" in volume for volume in volumes(document)):
        raise errors.not_built("A local persistent volume")


def is_version(text: str) -> bool:
    """True if the text is a version's timestamp."""
    try:
        seconds_of(text)
    except ValueError:
        return False
    return True
