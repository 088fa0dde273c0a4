"""A role rendered for one host: what should be true there, and the bytes that states name by digest."""

import hashlib
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from rekindle.errors import InputError
from rekindle.inventory import Host, Inventory
from rekindle.plan import Declared, Key, State
from rekindle.roles import schema
from rekindle.roles.load import Roles
from rekindle.roles.names import require
from rekindle.roles.settings import DcosSettings, HostSettings
from rekindle.templating import Sandbox, reason

I = TypeVar("I", bound=schema.Item)  # noqa: E741

MakeState: TypeAlias = Callable[[Any, dict[str, Any]], State | None]
"""The state of an item under the names that hold for it."""

SHOWN = 100  # characters of a text that an error quotes
EACH_LIMIT = 1000  # items of one `each`
SUBJECTS_LIMIT = 5000  # of one host
CONTENT_LIMIT = 4 * 1024 * 1024  # bytes of all files of one host


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
        self.sandbox = Sandbox(trim_blocks=True, lstrip_blocks=True)
        self.sandbox.filters["quote"] = lambda text: shlex.quote(str(text))

    def render_part(self, part: str) -> None:
        """Declares all subjects of one role file."""
        self.part = part
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
        require(kind, name, where=self._where)
        subject = f"{kind}:{name}"
        if subject in self.states and self.states[subject] != state:
            raise InputError(f"{subject} is declared twice, differently", where=self._where)
        self.states[subject] = state
        if len(self.states) > SUBJECTS_LIMIT:
            raise InputError(f"more than {SUBJECTS_LIMIT} subjects are declared", where=self._where)

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
            for value in [None] if item.each is None else self._each(item.each):
                names = self.names if item.each is None else {**self.names, "item": value}
                if item.when is None or self._expression(item.when, names):
                    yield item, names

    def _each(self, expression: str) -> Sequence[Any]:
        found = self._expression(expression, self.names)
        if not isinstance(found, list | tuple) or len(found) > EACH_LIMIT:
            raise InputError(
                f"each: {expression} is no list of at most {EACH_LIMIT}",
                where=self._where,
                next_step="docs/roles.md says what `each` is.",
            )
        return found

    def _named(self, kind: str, text: str, names: dict[str, Any]) -> str:
        """A rendered text that names a thing of this kind; InputError if it is no such name."""
        name = self._text(text, names)
        require(kind, name, where=self._where)
        return name

    def _user(self, item: schema.User, names: dict[str, Any]) -> State:
        groups = sorted(self._named("group", group, names) for group in item.groups)
        return {
            "home": self._named("directory", item.home, names),
            "shell": self._named("file", item.shell, names),
            "groups": groups,
        }

    def _owned(self, item: schema.Directory | schema.File) -> dict[str, str]:
        require("user", item.owner, where=self._where)
        require("group", item.group, where=self._where)
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
        if sum(map(len, self.contents.values())) > CONTENT_LIMIT:
            raise InputError(f"its files are larger than {CONTENT_LIMIT} bytes together", where=self._where)
        return {"content": name, **self._owned(item)}

    def _content(self, item: schema.File, names: dict[str, Any]) -> str:
        if item.content is not None:
            return self._text(item.content, names)
        assert item.template is not None
        name = item.template
        return str(self._tried(name, lambda: self.sandbox.text(self._template(name), names)))

    def _template(self, name: str) -> str:
        """The text of a template in the role's own folder; a link may lead nowhere else."""
        folder = (self.directory / self.part / "templates").resolve()
        path = (folder / name).resolve()
        if not path.is_relative_to(folder) or not path.is_file():
            raise InputError(f"there is no template {name}", where=self._where, next_step=f"Put it into {folder}.")
        return path.read_text(encoding="utf-8")

    def _artifact(self, item: schema.Artifact, names: dict[str, Any]) -> State:
        url, sha256 = self._named("url", item.url, names), self._named("sha256", item.sha256, names)
        return {"url": url, "sha256": sha256, "mode": item.mode}

    def _sysctl(self, item: schema.Sysctl, names: dict[str, Any]) -> State:
        value = self._named("value of a sysctl", item.value, names)
        return {"live": value, "boot": value}

    def _command(self, item: schema.Command, names: dict[str, Any]) -> State:
        return {
            "run": self._named("shell text", item.run, names),
            "guard": self._named("shell text", item.guard, names),
            "timeout": item.timeout,
            "long": item.long,
        }

    def _gate(self, item: schema.Gate, names: dict[str, Any]) -> State:
        return {
            "check": self._named("shell text", item.check, names),
            "timeout": item.timeout,
            "after": [role.value for role in item.after],
        }

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
        return str(self._tried(text, lambda: self.sandbox.text(text, names)))

    def _expression(self, text: str, names: dict[str, Any]) -> Any:
        return self._tried(text, lambda: self.sandbox.value(text, names))

    def _tried(self, what: str, render_it: Callable[[], Any]) -> Any:
        """What a template gives: a program of whoever wrote it, so whatever it raises is an error of its text."""
        try:
            value = render_it()
            str(value).encode()
            return value
        except InputError:
            raise
        except Exception as error:
            first = what.strip().partition("\n")[0][:SHOWN] or "an empty text"
            raise InputError(
                f"{first}: {reason(error)}",
                where=self._where,
                next_step="docs/roles.md lists the variables.",
            ) from error
