"""Subject `repository:<name>`: a package repository that Cosmos looks through. State: its URI."""

from collections.abc import Mapping, Sequence

from rekindle.dcos import Cosmos, Repository
from rekindle.plan import State, Step


class RepositoryDriver:
    """Adds, moves and removes repositories; those that others added stay."""

    def __init__(self, cosmos: Cosmos) -> None:
        self._cosmos = cosmos

    def read(self, target: str, subjects: Sequence[str]) -> Mapping[str, State | None]:
        found = {repository.name: repository.uri for repository in self._cosmos.repositories()}
        return {subject: _state(found.get(_name(subject))) for subject in subjects}

    def write(self, target: str, steps: Sequence[Step]) -> None:
        """A repository whose content changed has a new address: the old one goes, the new one comes."""
        for step in steps:
            name = _name(step.subject)
            if step.before is not None:
                self._cosmos.delete_repository(name)
            if step.after is not None:
                self._cosmos.add_repository(Repository(name, step.after["uri"]))


def _name(subject: str) -> str:
    return subject.partition(":")[2]


def _state(uri: str | None) -> State | None:
    return None if uri is None else {"uri": uri}
