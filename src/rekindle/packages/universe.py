"""A Universe package from its four files: the private repository it goes into, its options, its app.

Formats: cosmos/universe-schema (v4 repository, packaging 4.0) and FACTS 7.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonschema import Draft4Validator
from jsonschema.exceptions import SchemaError, ValidationError
from pydantic import BaseModel, ConfigDict, Field
from referencing import Registry
from referencing.exceptions import Unresolvable

from rekindle.errors import InputError
from rekindle.packages.merging import merged
from rekindle.packages.mustache import NotMustache, render
from rekindle.parsing import CORRECT, NOT_RENDERED, json_value, mapping, nearest, parse, read_json, read_text, shown
from rekindle.plan import canonical

REPOSITORY_TYPE = "application/vnd.dcos.universe.repo+json;charset=utf-8;version=v4"
PACKAGING = "4.0"

SHOWN = 10  # mistakes in options that one error names

Options = Mapping[str, Any]


class PackageFile(BaseModel):
    """Of package.json, what Rekindle itself needs; Cosmos knows the rest."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")  # universe-schema, v40Package
    version: str = Field(min_length=1)


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
        package = _json(folder / "package.json")
        parse(PackageFile, package, where=str(folder / "package.json"))
        return cls(
            folder=folder,
            package=package,
            config=_schema(folder / "config.json"),
            template=read_text(template),
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
        problems = _misfits(self.config, self.resolved(options), where=str(self.folder / "config.json"))
        if problems:
            raise InputError(
                f"the options do not fit the schema of {self.name} {self.version}: {'; '.join(problems)}",
                where=where,
                next_step="Correct the template or the values it is rendered with; nothing was sent.",
            )

    def app(self, options: Options, app_id: str) -> dict[str, Any]:
        """The Marathon app as Cosmos would render it, without the labels that it adds."""
        where = str(self.folder / "marathon.json.mustache")
        try:
            text = render(self.template, {**self.resolved(options), "resource": self.resource})
        except NotMustache as error:
            raise InputError(str(error), where=where, next_step=CORRECT) from error
        app = json_value(text, where=f"{where} for {app_id}", unique=False, what=NOT_RENDERED)
        return {**mapping(app, where=where, what="what it renders to"), "id": app_id}


def knows_option(config: Mapping[str, Any], dotted: str) -> bool:
    """Whether a config.json declares the option."""
    for part in dotted.split("."):
        config = config.get("properties", {}).get(part)
        if config is None:
            return False
    return True


def _json(path: Path) -> Mapping[str, Any]:
    return mapping(read_json(path, unique=False), where=str(path))  # in published packages keys stand twice


def _schema(path: Path) -> Mapping[str, Any]:
    """A config.json: a JSON schema of draft 4, whose defaults are a mapping."""
    schema = _json(path)
    try:
        Draft4Validator.check_schema(schema)
    except SchemaError as error:
        place = ".".join(map(str, error.absolute_path))
        raise InputError(
            f"is not a JSON schema of draft 4: {shown(place) or 'the file'}: {shown(error.message)}",
            where=str(path),
            next_step=CORRECT,
        ) from error
    mapping(_defaults(schema) or {}, where=str(path), what="default")
    return schema


def _defaults(schema: Mapping[str, Any]) -> Any:
    """`default`, else the defaults inside; an object without any inside is left out."""
    if "default" in schema:
        return schema["default"]
    inside = {name: _defaults(below) for name, below in schema.get("properties", {}).items()}
    found = {name: value for name, value in inside.items() if value is not None}
    return found or None


def _misfits(schema: Mapping[str, Any], options: Options, *, where: str) -> list[str]:
    """What in the options does not fit; InputError if the schema itself cannot be followed."""
    try:
        found = [_problem(e) for e, _ in zip(_validator(schema).iter_errors(options), range(SHOWN), strict=False)]
    except Unresolvable as error:
        raise _not_followed(f"its $ref {shown(error.ref)} leads nowhere", where) from error
    except RecursionError as error:
        raise _not_followed("its $ref leads back to itself", where) from error
    except (re.error, ArithmeticError) as error:  # of a pattern, of multipleOf
        raise _not_followed(shown(error), where) from error
    return found


def _validator(schema: Mapping[str, Any]) -> Draft4Validator:
    """One that looks for what is referred to in the schema alone, and never on the network."""
    return Draft4Validator(schema, registry=Registry())


def _not_followed(why: str, where: str) -> InputError:
    return InputError(f"is a schema that cannot be followed: {why}", where=where, next_step=CORRECT)


def _problem(error: ValidationError) -> str:
    place = ".".join(map(str, error.absolute_path))
    instance: Any = error.instance
    if error.validator == "additionalProperties" and isinstance(error.schema, Mapping):
        known = error.schema.get("properties", {})
        inside = f"{place}." if place else ""
        return "; ".join(
            f"{inside}{key} is not a known option; {nearest(key, known)}" for key in instance if key not in known
        )
    return f"{place or 'options'}: {shown(error.message)}"
