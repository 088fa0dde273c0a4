"""What a resource type is to the provider, and the few things all types share."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

from botocore.exceptions import ClientError

from rehearsal.provider import signatures
from rehearsal.provider.aws import Aws, is_gone
from rehearsal.provider.signatures import Fault
from rehearsal.provider.values import Properties, aligned


class Resource(ABC):
    """A resource type of pulumi-aws over the AWS API. Property names are those on the wire (camelCase).

    `handles` are the inputs built here (region is added where the signature has it); any other that
    pulumi-aws knows is refused by name. `needs` are inputs that AWS wants though the signature leaves
    them optional. A change of one in `replaces` (dots reach inside) makes another resource. Of one that
    `is_known` AWS has nothing to tell after its making, so it is not asked.
    """

    kind: ClassVar[str]
    handles: ClassVar[frozenset[str]]
    needs: ClassVar[frozenset[str]] = frozenset()
    replaces: ClassVar[frozenset[str]] = frozenset()
    is_known: ClassVar[bool] = False

    @abstractmethod
    def create(self, aws: Aws, want: Properties) -> str:
        """Makes it and returns its id; whatever takes time is left to `settle`."""

    def settle(self, aws: Aws, id: str, want: Properties) -> None:
        """Waits until what was created can be used, and does what can only follow its making."""
        return None

    @abstractmethod
    def observe(self, aws: Aws, id: str, known: Properties) -> Properties | None:
        """Its properties as AWS tells them now; None or a not-found error if it does not exist."""

    def update(self, aws: Aws, id: str, old: Properties, new: Properties) -> None:
        """Makes it as the new inputs say; only for changes that need no replacement."""
        raise NotImplementedError(f"{self.kind}: no update in place is known here")

    @abstractmethod
    def delete(self, aws: Aws, id: str, state: Properties) -> None:
        """Ends it and returns once it is gone."""

    def faults(self, inputs: Properties) -> Iterator[Fault]:
        """What pulumi-aws, AWS or this provider would refuse in the inputs."""
        signature = signatures.of_token(self.kind)
        yield from signatures.faults(signature, inputs)
        for name in sorted(signature.names & set(inputs) - self.handles - {"region"}):
            yield Fault(path=name, reason="is not built in the rehearsal's provider")
        for name in sorted(self.needs - set(inputs)):
            yield Fault(path=name, reason="AWS needs this input")

    def is_regional(self) -> bool:
        """Whether the type takes a region, and so lives in one."""
        return "region" in signatures.of_token(self.kind).names

    def changed(self, old: Properties, new: Properties) -> frozenset[str]:
        """The inputs that differ, and, as dotted names, the parts of structures that differ."""
        return frozenset(_differences(old, new))

    def read(self, aws: Aws, id: str, known: Properties) -> Properties | None:
        """As `observe`, with a not-found error turned into None, and values in the order known."""
        try:
            seen = self.observe(aws, id, known)
        except ClientError as error:
            if is_gone(error):
                return None
            raise
        if seen is None:
            return None
        seen = {name: value for name, value in seen.items() if value is not None}
        return {name: aligned(known[name], value) if name in known else value for name, value in seen.items()}

    def remove(self, aws: Aws, id: str, state: Properties) -> None:
        """As `delete`, content when it is gone already."""
        try:
            self.delete(aws, id, state)
        except ClientError as error:
            if not is_gone(error):
                raise


def _differences(old: Properties, new: Properties) -> Iterator[str]:
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        yield name
        if isinstance(before, dict) and isinstance(after, dict):
            yield from (f"{name}.{part}" for part in _differences(before, after))


def tag_list(tags: dict[str, str] | None) -> list[dict[str, str]]:
    """Tags in AWS's form."""
    return [{"Key": key, "Value": value} for key, value in (tags or {}).items()]


def tag_map(tags: list[dict[str, Any]] | None) -> dict[str, str]:
    """Tags in Pulumi's form."""
    return {tag["Key"]: tag["Value"] for tag in tags or []}
