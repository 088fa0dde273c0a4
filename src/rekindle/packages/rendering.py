"""Packages rendered for one inventory: each installation's app or options, its files, its volumes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import UndefinedError

from rekindle.dcos import app_types
from rekindle.dcos.app_definition import FIELDS, spelt
from rekindle.errors import InputError
from rekindle.inventory import Host, Inventory, Role, Volume
from rekindle.packages.loading import Package
from rekindle.packages.merging import merged
from rekindle.packages.schema import DIGEST, SECRETS_FOLDER, ArtifactSpec, InstanceSpec, SecretSpec
from rekindle.parsing import NOT_RENDERED, json_value, mapping, nearest, read_text, shown
from rekindle.templating import Sandbox, reason

OWNER_LABEL = "REKINDLE_OWNER"
OWNER_OPTION = "service.owner"  # how a Universe package is told its owner, if its schema knows it
PUBLIC_ROLE = "slave_public"
VALUES_ARE_IN = (
    "Values are in the package's values.yaml, in values/<environment>.yaml and in the environment's settings."
)
FIELDS_ARE = "Fields are those of Marathon's app definition."
CORRECT_TEMPLATE = "Correct the template, or the values that it is rendered with."


@dataclass(frozen=True)
class Source:
    """An artifact to mirror: where it comes from, and its digest if that is pinned."""

    name: str
    url: str
    sha256: str | None


@dataclass(frozen=True)
class Service:
    """One installation of a package, rendered."""

    package: Package
    app_id: str
    volume: Volume | None
    app: Mapping[str, Any]  # the Marathon app that runs
    options: Mapping[str, Any] | None  # of a Universe package

    @property
    def where(self) -> str:
        return str(self.package.template)

    @property
    def is_root(self) -> bool:
        """Whether its tasks run as root, as those of open DC/OS's Marathon do unless the app names another user."""
        return self.app.get("user") in (None, "root")

    @property
    def agent_role(self) -> Role:
        """Which agents it may run on."""
        roles = self.app.get("acceptedResourceRoles") or []
        return Role.PUBLIC_AGENT if PUBLIC_ROLE in roles else Role.PRIVATE_AGENT

    def may_run_on(self, host: Host) -> bool:
        """Whether role and constraints on attributes let it run there."""
        return host.role is self.agent_role and all(_allows(c, host) for c in self.app.get("constraints", []))


def sources(package: Package, inventory: Inventory) -> tuple[Source, ...]:
    """What the package's tasks fetch, with the addresses of this environment."""
    context = _shared_context(package, inventory)
    return tuple(_source(artifact, context, package.where) for artifact in package.spec.artifacts)


def services(package: Package, inventory: Inventory, links: Mapping[str, str]) -> tuple[Service, ...]:
    """Every installation of the package, its fetches pointing where `links` says (artifact name → URL)."""
    shared = {
        **_shared_context(package, inventory),
        "artifacts": _links(package, links),
        "secrets": {secret.name: secret_path(package, secret) for secret in package.spec.secrets},
        "owner": owner_of(package, inventory),
    }
    return tuple(_service(package, instance, inventory, shared) for instance in package.instances)


def secret_name(package: Package, secret: SecretSpec) -> str:
    """The name that the secret is set under."""
    return f"{package.name}/{secret.name}"


def secret_path(package: Package, secret: SecretSpec) -> str:
    """Where tasks find the secret."""
    return secret.path or f"{SECRETS_FOLDER}/{package.name}/{secret.name}"


def owner_of(package: Package, inventory: Inventory) -> str:
    """What the label says of everything that the package owns on the cluster."""
    return f"{inventory.environment}/{package.name}"


def _service(package: Package, instance: InstanceSpec, inventory: Inventory, shared: Mapping[str, Any]) -> Service:
    volume = _volume(package, instance, inventory)
    context = {
        **shared,
        "values": merged(shared["values"], instance.values),
        "name": instance.name,
        "app_id": f"/{instance.name}",
        "volume": volume.model_dump(mode="json") if volume else None,
    }
    rendered = _rendered(package, context)
    app_id = f"/{instance.name}"
    if package.universe is None:
        app = _owned(_checked_app(rendered, app_id, str(package.template)), context["owner"])
        return Service(package, app_id, volume, app, None)
    options = _with_owner(package, rendered, context["owner"])
    package.universe.check(options, where=f"{package.template} for {app_id}")
    app = _typed(package.universe.app(options, app_id), f"{package.universe.folder} for {app_id}")
    return Service(package, app_id, volume, app, options)


def _shared_context(package: Package, inventory: Inventory) -> dict[str, Any]:
    agents = [host for host in inventory.hosts if host.role in (Role.PRIVATE_AGENT, Role.PUBLIC_AGENT)]
    return {
        "values": package.values,
        "environment": inventory.environment,
        "region": inventory.region,
        "cluster_name": inventory.cluster_name,
        "public_name": inventory.public_name,
        "azs": sorted({host.az for host in agents}),
        "private_agents": sum(host.role is Role.PRIVATE_AGENT for host in agents),
        "public_agents": sum(host.role is Role.PUBLIC_AGENT for host in agents),
        "masters": [str(host.private_ip) for host in inventory.with_role(Role.MASTER)],
    }


def _source(artifact: ArtifactSpec, context: Mapping[str, Any], where: str) -> Source:
    place = f"{where}, artifact {artifact.name}"
    url = _text(artifact.url, context, place)
    return Source(artifact.name, url, artifact.sha256 and _digest(artifact.sha256, context, place))


def _digest(text: str, context: Mapping[str, Any], where: str) -> str:
    digest = _text(text, context, where)
    if not re.fullmatch(DIGEST, digest):
        raise InputError(
            f"sha256 is {shown(digest)!a}, not 64 hexadecimal digits",
            where=where,
            next_step="Give it what `sha256sum` says of the file.",
        )
    return digest


def _links(package: Package, links: Mapping[str, str]) -> dict[str, str]:
    missing = [artifact.name for artifact in package.spec.artifacts if artifact.name not in links]
    if missing:
        raise InputError(f"these artifacts are not in the mirror: {', '.join(missing)}", where=package.where)
    return {artifact.name: links[artifact.name] for artifact in package.spec.artifacts}


def _volume(package: Package, instance: InstanceSpec, inventory: Inventory) -> Volume | None:
    if instance.volume is None:
        return None
    by_name = {volume.name: volume for volume in inventory.volumes}
    if instance.volume not in by_name:
        problem = f"no volume is named {instance.volume}; {nearest(instance.volume, by_name)}"
        raise InputError(f"{instance.name}: {problem}", where=f"{package.where}, inventory of {inventory.environment}")
    return by_name[instance.volume]


def _rendered(package: Package, context: Mapping[str, Any]) -> dict[str, Any]:
    where = f"{package.template} for {context['app_id']}"
    text = _text(read_text(package.template), context, where)
    return dict(mapping(json_value(text, where=where, what=NOT_RENDERED), where=where, what="what it renders to"))


def _text(template: str, context: Mapping[str, Any], where: str) -> str:
    """Rendered text; InputError names an unknown value."""
    try:
        return Sandbox().text(template, context)
    except UndefinedError as error:
        raise InputError(_undefined(str(error.message), context), where=where, next_step=VALUES_ARE_IN) from error
    except Exception as error:  # a template is a program: whatever it raises is its own
        raise InputError(f"it cannot be rendered: {reason(error)}", where=where, next_step=CORRECT_TEMPLATE) from error


def _undefined(said: str, context: Mapping[str, Any]) -> str:
    """What Jinja says of an unknown name, and the nearest one that there is."""
    name = said.split("'")[-2] if said.count("'") > 1 else said
    known = {*context, *context.get("values", {})}
    return f"{shown(name)} is used in the template, and nothing defines it; {nearest(name, known)}"


def _checked_app(app: dict[str, Any], app_id: str, where: str) -> dict[str, Any]:
    problems = [f"{key} is not a field of an app; {nearest(key, FIELDS)}" for key in app if key not in FIELDS]
    if problems:
        raise InputError("; ".join(problems), where=where, next_step=FIELDS_ARE)
    return _typed({**app, "id": app_id}, f"{where} for {app_id}")


def _typed(app: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The app in one spelling, each field of the type that Marathon gives it."""
    found = spelt(app)
    if problems := app_types.problems(found):
        raise InputError(problems, where=where, next_step=FIELDS_ARE)
    return found


def _owned(app: Mapping[str, Any], owner: str) -> dict[str, Any]:
    return {**app, "labels": {**app.get("labels", {}), OWNER_LABEL: owner}}


def _with_owner(package: Package, options: Mapping[str, Any], owner: str) -> dict[str, Any]:
    assert package.universe is not None
    section, option = OWNER_OPTION.split(".")
    known = package.universe.config.get("properties", {}).get(section, {}).get("properties", {})
    return merged(options, {section: {option: owner}}) if option in known else dict(options)


def _allows(constraint: Any, host: Host) -> bool:
    """Whether one constraint lets a host in; those that count tasks do."""
    field, operator, *value = constraint
    seen = host.az if field == "@zone" else host.attributes.get(field)
    if operator in ("IS", "CLUSTER") and value:
        return bool(seen == value[0])
    return True
