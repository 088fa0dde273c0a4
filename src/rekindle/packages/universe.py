"""A Universe package from its four files: the private repository it goes into, its options, its app.

Formats: cosmos/universe-schema (v4 repository, packaging 4.0) and FACTS 7.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonschema import Draft4Validator
from jsonschema.exceptions import ValidationError

from rekindle.errors import InputError
from rekindle.packages.merging import merged
from rekindle.packages.mustache import render
from rekindle.parsing import nearest
from rekindle.plan import canonical

REPOSITORY_TYPE = "application/vnd.dcos.universe.repo+json;charset=utf-8;version=v4"
PACKAGING = "4.0"

Options = Mapping[str, Any]


@dataclass(frozen=True)
class Universe:
    """package.json, config.json, marathon.json.mustache and, if there is one, resource.json."""

    folder: Path
    package: Mapping[str, Any]
    config: Mapping[str, Any]
    template: str
    resource: Mapping[str, Any]

    @classmethod
    def load(cls, folder: Path) -> "Universe":
        """The files of a folder; InputError names one that is missing or not JSON."""
        template = folder / "marathon.json.mustache"
        if not template.exists():
            raise InputError("a Universe package needs marathon.json.mustache", where=str(folder))
        resource = folder / "resource.json"
        return cls(
            folder=folder,
            package=_json(folder / "package.json"),
            config=_json(folder / "config.json"),
            template=template.read_text(),
            resource=_json(resource) if resource.exists() else {},
        )

    @property
    def name(self) -> str:
        return str(self.package["name"])

    @property
    def version(self) -> str:
        return str(self.package["version"])

    def repository(self) -> bytes:
        """A repository of this package alone; the same files give the same bytes."""
        package = {
            **self.package,
            "packagingVersion": PACKAGING,
            "config": self.config,
            "marathon": {"v2AppMustacheTemplate": base64.b64encode(self.template.encode()).decode()},
        }
        if self.resource:
            package["resource"] = self.resource
        return canonical({"packages": [package]})

    def resolved(self, options: Options) -> dict[str, Any]:
        """Options over the defaults of config.json, as Cosmos merges them."""
        return merged(_defaults(self.config) or {}, options)

    def check(self, options: Options, *, where: str) -> None:
        """InputError unless the package's schema takes these options; nothing was sent."""
        problems = [_problem(error) for error in Draft4Validator(self.config).iter_errors(self.resolved(options))]
        if problems:
            raise InputError(
                f"the options do not fit the schema of {self.name} {self.version}: {'; '.join(problems)}",
                where=where,
                next_step="Correct the template or the values it is rendered with; nothing was sent.",
            )

    def app(self, options: Options, app_id: str) -> dict[str, Any]:
        """The Marathon app as Cosmos would render it, without the labels that it adds."""
        text = render(self.template, {**self.resolved(options), "resource": self.resource})
        try:
            app: dict[str, Any] = json.loads(text)
        except ValueError as error:
            raise InputError(
                f"it does not render to JSON: {error}", where=str(self.folder / "marathon.json.mustache")
            ) from error
        return {**app, "id": app_id}


def knows_option(config: Mapping[str, Any], dotted: str) -> bool:
    """Whether a config.json declares the option."""
    for part in dotted.split("."):
        config = config.get("properties", {}).get(part)
        if config is None:
            return False
    return True


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except ValueError as error:
        raise InputError(f"this is not JSON: {error}", where=str(path)) from error
    if not isinstance(value, dict):
        raise InputError("this is not a JSON object", where=str(path))
    return value


def _defaults(schema: Mapping[str, Any]) -> Any:
    """`default`, else the defaults inside; an object without any inside is left out."""
    if "default" in schema:
        return schema["default"]
    inside = {name: _defaults(below) for name, below in schema.get("properties", {}).items()}
    found = {name: value for name, value in inside.items() if value is not None}
    return found or None


def _problem(error: ValidationError) -> str:
    place = ".".join(map(str, error.absolute_path))
    instance: Any = error.instance
    if error.validator == "additionalProperties" and isinstance(error.schema, Mapping):
        known = error.schema.get("properties", {})
        inside = f"{place}." if place else ""
        return "; ".join(
            f"{inside}{key} is not a known option; {nearest(key, known)}" for key in instance if key not in known
        )
    return f"{place or 'options'}: {error.message}"
