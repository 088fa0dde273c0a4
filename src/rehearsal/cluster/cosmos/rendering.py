"""Options, defaults and the mustache template of a package: from what the user says to a Marathon app."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

import chevron
from jsonschema import Draft4Validator

from rehearsal.cluster.cosmos.errors import CosmosError
from rehearsal.cluster.settings import Json


def defaults(schema: Json) -> Json:
    """The defaults in a config schema. An object without any default inside is left out."""
    found: Json = {}
    for name, inner in schema.get("properties", {}).items():
        if "default" in inner:
            found[name] = copy.deepcopy(inner["default"])
        elif "properties" in inner:
            below = defaults(inner)
            if below:
                found[name] = below
    return found


def merged(base: Json, over: Json) -> Json:
    """Both, deeply; the second wins."""
    result = dict(base)
    for name, value in over.items():
        old = result.get(name)
        result[name] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def resolved_options(package: Json, options: Json | None) -> Json:
    """Defaults under the user's options, valid by the package's schema."""
    schema = package.get("config")
    if schema is None:
        if options:
            raise CosmosError("OptionsNotAllowed", "No schema available to validate the provided options")
        return {}
    found = merged(defaults(schema), options or {})
    errors = [_schema_error(error) for error in Draft4Validator(schema).iter_errors(found)] if found else []
    if errors:
        raise CosmosError("JsonSchemaMismatch", "Options JSON failed validation", errors=errors)
    return found


def _schema_error(error: Any) -> Json:
    pointer = "".join(f"/{part}" for part in error.absolute_path)
    schema_pointer = "".join(f"/{part}" for part in error.absolute_schema_path)
    return {"level": "error", "keyword": error.validator, "message": error.message,
            "instance": {"pointer": pointer}, "schema": {"loadingURI": "#", "pointer": schema_pointer}}  # fmt: skip


def render(package: Json, options: Json | None, app_id: str | None) -> Json:
    """The Marathon app, with Cosmos' labels; ServiceMarathonTemplateNotFound for a CLI-only package."""
    template = package.get("marathon", {}).get("v2AppMustacheTemplate")
    if template is None:
        name, version = package["name"], package["version"]
        raise CosmosError("ServiceMarathonTemplateNotFound",
                          f"Package: [{name}] version: [{version}] does not have a Marathon template defined and can "
                          "not be rendered", packageName=name, packageVersion=version)  # fmt: skip
    context = merged(resolved_options(package, options), {"resource": package.get("resource", {})})
    app = _app(fill(base64.b64decode(template).decode(), context))
    if app_id is not None:
        app["id"] = app_id
    if "id" in app:
        app["id"] = "/" + str(app["id"]).strip("/")
    app["labels"] = {**app.get("labels", {}), **_labels(package, options)}
    return app


def fill(template: str, context: Json) -> str:
    """The mustache template filled as Cosmos fills it: values as JSON would write them, nothing escaped as HTML."""
    filled: str = chevron.render(_unescaped(template), _printable(context))
    return filled


def _unescaped(template: str) -> str:
    """Turn `{{x}}` into `{{{x}}}`: Cosmos does not escape HTML."""
    parts = template.split("{{")
    rest = [part if part[:1] in "{#^/!&>=" else "&" + part for part in parts[1:]]
    return "{{".join([parts[0], *rest])


class Printed(str):
    """A value that prints as JSON does and is true or false in sections as mustache.java has it."""

    truth: bool
    _CHEVRON_return_scope_when_falsy = True  # chevron would print nothing for a falsy value

    def __new__(cls, text: str, truth: bool) -> Printed:
        made = super().__new__(cls, text)
        made.truth = truth
        return made

    def __bool__(self) -> bool:
        return self.truth


class PrintedList(list[Any]):
    """A list that sections walk through and that prints as `[a, b]` with quoted strings."""

    def __str__(self) -> str:
        return "[" + ", ".join(_inside(value) for value in self) + "]"


def _inside(value: Any) -> str:
    return json.dumps(value) if isinstance(value, str) and not isinstance(value, Printed) else str(value)


def _printable(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _printable(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return PrintedList([json.loads(json.dumps(one)) if isinstance(one, str) else _printable(one) for one in value])
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)[1:-1]
    if isinstance(value, bool):
        return Printed("true" if value else "false", value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return Printed("", False) if value is None else Printed(str(value), True)


def _app(text: str) -> Json:
    try:
        app = json.loads(text)
    except ValueError as error:
        raise CosmosError("MarathonTemplateMustBeJsonObject",
                          f"Rendered Marathon JSON must be a JSON object: {error}") from error  # fmt: skip
    if not isinstance(app, dict):
        raise CosmosError("MarathonTemplateMustBeJsonObject", "Rendered Marathon JSON must be a JSON object")
    return app


def encoded(value: Any) -> str:
    """JSON in base64, as labels carry it."""
    return base64.b64encode(json.dumps(value, separators=(",", ":")).encode()).decode()


def decoded(text: str) -> Any:
    """The value in a label."""
    return json.loads(base64.b64decode(text))


def _labels(package: Json, options: Json | None) -> dict[str, str]:
    definition = public(package)
    return {
        "DCOS_PACKAGE_NAME": package["name"], "DCOS_PACKAGE_VERSION": package["version"],
        "DCOS_PACKAGE_SOURCE": package["_source"], "DCOS_PACKAGE_OPTIONS": encoded(options or {}),
        "DCOS_PACKAGE_DEFINITION": encoded({
            "metadata": {"Content-Type": "application/vnd.dcos.universe.package+json;charset=utf-8;version="
                         f"v{package.get('packagingVersion', '4.0').split('.')[0]}"},
            "data": encoded(definition)}),
    }  # fmt: skip


def public(package: Json) -> Json:
    """The definition without what only the server notes."""
    return {name: value for name, value in package.items() if not name.startswith("_")}
