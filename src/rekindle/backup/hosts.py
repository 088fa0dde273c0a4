"""What a backup asks of hosts."""

from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from typing import Protocol, TypeVar

from rekindle.errors import RekindleError
from rekindle.transport import Result

T = TypeVar("T")


class Hosts(Protocol):
    """Hosts reached; `rekindle.transport.Transport` is one."""

    def run(self, host: str, command: str, *, timeout: float = ..., check: bool = ...) -> Result: ...

    def facts(self, host: str, script: str) -> str: ...

    def each(self, hosts: Iterable[str], call: Callable[[str], T]) -> dict[str, T | RekindleError]: ...


def shell(name: str) -> str:
    """A shell text of this room."""
    return resources.files(__package__).joinpath(name).read_text()


def marked(mark: str, printed: str) -> list[list[str]]:
    """The words of each line after this mark; whatever else a shell printed is none of ours."""
    lines = (line.split(" ") for line in printed.split("\n"))
    return [words[1:] for words in lines if words[0] == mark and len(words) > 1]


def all_of(results: Mapping[str, T | RekindleError]) -> dict[str, T]:
    """Every host's result; else the first host's error."""
    done: dict[str, T] = {}
    for host, result in results.items():
        if isinstance(result, RekindleError):
            raise result
        done[host] = result
    return done
