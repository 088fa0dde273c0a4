"""One entry of the library that takes what came from outside, and valid documents of it to make odd."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

import yaml
from tests.hostile.mutation import as_json, mutated_bytes, mutated_value


@dataclass(frozen=True)
class Parser:
    """Takes a document: returns for one that is accepted, and raises a RekindleError for one that is not."""

    name: str
    feed: Callable[[bytes], object]
    seeds: Sequence[bytes]
    form: Literal["json", "yaml", "text"] = "text"  # of what structure the documents are

    def odd(self, random: Random) -> bytes:
        """A seed made odd, in its structure where it has one, or in its bytes."""
        if self.form == "text" or random.random() < 0.4:
            return mutated_bytes(random, self.seeds)
        return as_json(mutated_value(random, self._value(random.choice(self.seeds))))

    def _value(self, seed: bytes) -> Any:
        return json.loads(seed) if self.form == "json" else yaml.safe_load(seed)


def documents(*values: Any) -> tuple[bytes, ...]:
    """Seeds of values."""
    return tuple(json.dumps(value).encode() for value in values)
