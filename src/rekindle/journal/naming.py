"""Keys of the journal's objects.

Stores list in ascending order only, so what is looked for newest first (locks, checkpoints) is numbered
downwards: its newest is the first key of a list, however long the history.
"""

import re

from rekindle.errors import JournalDamaged

LAST = 10**12 - 1
DIGITS = 12


def journal_prefix(environment: str) -> str:
    return f"journal/{environment}/"


def journal_key(environment: str, sequence: int) -> str:
    return f"{journal_prefix(environment)}{sequence:0{DIGITS}d}.json"


def checkpoint_prefix(environment: str) -> str:
    return f"checkpoints/{environment}/"


def checkpoint_key(environment: str, sequence: int) -> str:
    """Of the fold of all objects up to this one."""
    return f"{checkpoint_prefix(environment)}{_downwards(sequence)}.json"


def lock_prefix(environment: str) -> str:
    return f"lock/{environment}/"


def lock_key(environment: str, generation: int) -> str:
    return f"{lock_prefix(environment)}{_downwards(generation)}.json"


def renewal_key(environment: str, generation: int, number: int) -> str:
    """Sorts right after its generation, the newest renewal first."""
    return f"{lock_prefix(environment)}{_downwards(generation)}/{_downwards(number)}.json"


def sequence_of(key: str) -> int:
    """The number in a journal key; JournalDamaged if this is none."""
    number = re.fullmatch(rf"([0-9]{{{DIGITS}}})\.json", key.rpartition("/")[2])
    if number is None:
        raise JournalDamaged(
            "is no object of a journal", where=key, next_step="Find out who put it there, and move it away."
        )
    return int(number[1])


def place_of(key: str) -> int:
    """The number of a journal object, or of the last one in a checkpoint; 0 for what has no place in a journal."""
    top, _, rest = key.partition("/")
    number = rest.rpartition("/")[2].removesuffix(".json")
    if top not in ("journal", "checkpoints") or not (number.isascii() and number.isdecimal()):
        return 0
    return int(number) if top == "journal" else LAST - int(number)


def _downwards(number: int) -> str:
    return f"{LAST - number:0{DIGITS}d}"
