"""Which names a role may give things on a host: those that are safe in paths, shell and facts, whole and by kind.

Longer or stranger ones exist on real systems; none that DC/OS or its hosts need.
"""

import re

from rekindle.errors import InputError

_WORD = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}"
_ACCOUNT = r"[A-Za-z_][A-Za-z0-9_.-]{0,31}"  # shadow-utils: 32 characters
_PATH = r"(/(?!\.{1,2}(/|\Z))[A-Za-z0-9@%+=:,._~-]{1,255}){1,64}"

FORMS = {
    "os": re.compile(_WORD),
    "group": re.compile(_ACCOUNT),
    "user": re.compile(_ACCOUNT),
    "os_package": re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]{0,199}"),
    "directory": re.compile(_PATH),
    "file": re.compile(_PATH),
    "artifact": re.compile(_PATH),
    "sysctl": re.compile(r"[a-z0-9_]+(\.[A-Za-z0-9_-]+){1,15}"),
    "unit": re.compile(r"[A-Za-z0-9_][A-Za-z0-9:_.@-]{0,199}"),
    "command": re.compile(_WORD),
    "install": re.compile(_WORD),
    "gate": re.compile(_WORD),
    "url": re.compile(r"https?://[A-Za-z0-9][^\s\x00-\x1f\x7f-\x9f'\"\\\\`<>]*"),
    "sha256": re.compile(r"[0-9a-f]{64}"),
    "value of a sysctl": re.compile(r"[^\x00-\x1f\x7f-\x9f]{1,1000}"),
    "shell text": re.compile(r"[^\x00]{1,65536}"),  # one word of a command line holds 128 KiB at most (execve(2))
}


TEXTS = frozenset({"url", "sha256", "value of a sysctl", "shell text"})  # of what is no subject's name
SHOWN = 100  # characters of a name that an error quotes


def require(kind: str, name: str, *, where: str) -> None:
    """Returns if the whole name is one of this kind; InputError otherwise."""
    if not FORMS[kind].fullmatch(name):
        raise InputError(
            f"{name[:SHOWN]!r} is no {kind if kind in TEXTS else f'{kind} name'}",
            where=where,
            next_step="docs/roles.md says which characters names may have.",
        )
