"""A role rendered for one host: what should be true there, and the bytes that states name by digest."""

import hashlib
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

import jinja2

from rekindle.errors import InputError
from rekindle.inventory import Host, Inventory
from rekindle.plan import Declared, Key, State
from rekindle.roles import schema
from rekindle.roles.load import Roles
from rekindle.roles.settings import DcosSettings, HostSettings

I = TypeVar("I", bound=schema.Item)  # noqa: E741

MakeState: TypeAlias = Callable[[Any, dict[str, Any]], State | None]
"""The state of an item under the names that hold for it."""

SAFE_NAME = re.compile(r"^[^\s\x00-\x1f'\"\\]+$")  # names travel in tab-separated facts


@dataclass(frozen=True, kw_only=True)
class Variables:
    """What templates and expressions may name; docs/roles.md lists it."""

    inventory: Inventory
    dcos: DcosSettings
    settings: HostSettings
    config_yaml: str = ""  # genconf/config.yaml, whole
    bootstrap_url: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)  # of the environment

    def of(self, host: Host, os_names: Mapping[str, Any]) -> dict[str, Any]:
        """The names for one host."""
        return {
            "host": host,
            "inventory": self.inventory,
            "environment": self.inventory.environment,
            "dcos": self.dcos,
            "settings": self.settings,
            "config_yaml": self.config_yaml,
            "bootstrap_url": self.bootstrap_url,
            "values": self.values,
            "os": os_names,
        }


@dataclass(frozen=True)
class Rendered:
    """What should be true of hosts, and the content that states name by digest."""

    declared: tuple[Declared, ...]
    contents: Mapping[str, bytes] = field(repr=False)
    fixed: frozenset[Key] = frozenset()  # may not change once DC/OS is installed on the host

    def __add__(self, other: "Rendered") -> "Rendered":
        return Rendered(
            (*self.declared, *other.declared), {**self.contents, **other.contents}, self.fixed | other.fixed
        )


def render(roles: Roles, host: Host, variables: Variables) -> Rendered:
    """The host's role and all it includes; InputError names role, subject and what is wrong with it."""
    system = roles.system(variables.settings.os)
    rendering = _Rendering(roles, host, variables.of(host, system.names))
    rendering.declare("os", variables.settings.os, {})
    for part in roles.parts(host.role):
        rendering.render_part(part)
    return rendering.result()


def content_digest(content: bytes) -> str:
    """How states name plain content."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def inputs_digest(digests: Mapping[str, str]) -> str:
    """One digest of several files' digests, by path."""
    return content_digest("".join(f"{path} {digests[path]}\n" for path in sorted(digests)).encode())


class _Rendering:
    """One host's role on its way."""

    def __init__(self, roles: Roles, host: Host, names: dict[str, Any]) -> None:
        self.host, self.names, self.directory = host, names, roles.directory
        self.files = roles.files
        self.states: dict[str, State | None] = {}
        self.contents: dict[str, bytes] = {}
        self.watching: dict[str, tuple[str, ...]] = {}
        self.fixed: set[Key] = set()
        self.part = ""

    def render_part(self, part: str) -> None:
        """Declares all subjects of one role file."""
        self.part = part
        self.jinja = jinja2.Environment(
            loader=jinja2.FileSystemLoader(self.directory / part / "templates"),
            undefined=jinja2.StrictUndefined,
            keep_trailing_newline=True,
            trim_blocks=True,
            lstrip_blocks=True,
            autoescape=False,  # noqa: S701 - files of hosts, not HTML
        )
        self.jinja.filters["quote"] = lambda text: shlex.quote(str(text))
        role = self.files[part]
        for kind, items, state in self._kinds(role):
            for item, names in self._items(kind, items):
                name = self._text(item.name if hasattr(item, "name") else item.path, names)
                self.declare(kind, name, state(item, names))
                if watches := tuple(self._text(path, names) for path in getattr(item, "watches", ())):
                    self.watching[f"{kind}:{name}"] = watches
                if getattr(item, "fixed", False):
                    self.fixed.add((self.host.name, f"{kind}:{name}"))

        if role.install:
            dcos = {"version": self.names["dcos"].version, "bootstrap_url": self.names["bootstrap_url"]}
            self.declare("install", "dcos", {"role": role.install, **dcos})

    def declare(self, kind: str, name: str, state: State | None) -> None:
        """Notes what should be true; a later role in the chain may say the same of it, and no other."""
        if not SAFE_NAME.match(name):
            raise InputError(f"{kind} {name!r} has a name with spaces or quotes", where=self._where)
        subject = f"{kind}:{name}"
        if subject in self.states and self.states[subject] != state:
            raise InputError(f"{subject} is declared twice, differently", where=self._where)
        self.states[subject] = state

    def result(self) -> Rendered:
        """All subjects, with digests of the files they watch."""
        for subject, paths in self.watching.items():
            self.states[subject] = {**(self.states[subject] or {}), "inputs": self._inputs(subject, paths)}
        declared = (Declared(target=self.host.name, subject=s, state=state) for s, state in self.states.items())
        return Rendered(tuple(declared), self.contents, frozenset(self.fixed))

    @property
    def _where(self) -> str:
        return f"{self.directory / self.part / 'role.yaml'}, for {self.host.name}"

    def _kinds(
        self, role: schema.RoleFile
    ) -> Iterable[tuple[str, tuple[Any, ...], Callable[[Any, Any], State | None]]]:
        return (
            ("group", role.groups, lambda item, names: {}),
            ("user", role.users, self._user),
            ("os_package", role.os_packages, lambda item, names: {"installed": True}),
            ("directory", role.directories, lambda item, names: self._owned(item)),
            ("file", role.files, self._file),
            ("artifact", role.artifacts, self._artifact),
            ("sysctl", role.sysctls, self._sysctl),
            ("unit", role.units, lambda item, names: None if item.stopped else {"enabled": True, "active": True}),
            ("command", role.commands, self._command),
            ("gate", role.gates, self._gate),
        )

    def _items(self, kind: str, items: tuple[I, ...]) -> Iterator[tuple[I, dict[str, Any]]]:
        """Items that apply here, once for each of their `each`."""
        for item in items:
            for value in [None] if item.each is None else self._expression(item.each, self.names):
                names = self.names if item.each is None else {**self.names, "item": value}
                if item.when is None or self._expression(item.when, names):
                    yield item, names

    def _user(self, item: schema.User, names: dict[str, Any]) -> State:
        groups = sorted(self._text(group, names) for group in item.groups)
        return {"home": self._text(item.home, names), "shell": self._text(item.shell, names), "groups": groups}

    def _owned(self, item: schema.Directory | schema.File) -> dict[str, str]:
        return {"mode": item.mode, "owner": item.owner, "group": item.group}

    def _file(self, item: schema.File, names: dict[str, Any]) -> State | None:
        given = [item.template is not None, item.content is not None, item.absent]
        if given.count(True) != 1:
            raise InputError(f"file {item.path}: give one of template, content, absent", where=self._where)
        if item.absent:
            return None
        content = self._content(item, names).encode()
        name = content_digest(content)
        self.contents[name] = content
        return {"content": name, **self._owned(item)}

    def _content(self, item: schema.File, names: dict[str, Any]) -> str:
        if item.content is not None:
            return self._text(item.content, names)
        assert item.template is not None
        name = item.template
        return str(self._tried(name, lambda: self.jinja.get_template(name).render(names)))

    def _artifact(self, item: schema.Artifact, names: dict[str, Any]) -> State:
        return {"url": self._text(item.url, names), "sha256": self._text(item.sha256, names), "mode": item.mode}

    def _sysctl(self, item: schema.Sysctl, names: dict[str, Any]) -> State:
        value = self._text(item.value, names)
        return {"live": value, "boot": value}

    def _command(self, item: schema.Command, names: dict[str, Any]) -> State:
        return {
            "run": self._text(item.run, names),
            "guard": self._text(item.guard, names),
            "timeout": item.timeout,
            "long": item.long,
        }

    def _gate(self, item: schema.Gate, names: dict[str, Any]) -> State:
        return {"check": self._text(item.check, names), "timeout": item.timeout, "after": list(item.after)}

    def _inputs(self, subject: str, paths: tuple[str, ...]) -> str:
        digests = {}
        for path in paths:
            state = self.states.get(f"file:{path}") or self.states.get(f"artifact:{path}")
            if state is None:
                raise InputError(f"{subject} watches {path}, which no file here declares", where=self._where)
            digests[path] = str(state.get("content") or state.get("sha256"))
        return inputs_digest(digests)

    def _text(self, text: str, names: dict[str, Any]) -> str:
        if "{" not in text:
            return text
        return str(self._tried(text, lambda: self.jinja.from_string(text).render(names)))

    def _expression(self, text: str, names: dict[str, Any]) -> Any:
        return self._tried(text, lambda: self.jinja.compile_expression(text, undefined_to_none=False)(**names))

    def _tried(self, what: str, render_it: Callable[[], Any]) -> Any:
        try:
            value = render_it()
            if isinstance(value, jinja2.Undefined):
                str(value)  # raises, with the name
            return value
        except jinja2.TemplateNotFound as error:
            raise InputError(f"there is no template {error.name}", where=self._where) from error
        except (jinja2.TemplateError, TypeError) as error:
            raise InputError(
                f"{what.strip().splitlines()[0]}: {error}",
                where=self._where,
                next_step="docs/roles.md lists the variables.",
            ) from error
