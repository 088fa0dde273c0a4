"""Several calls of which one failure stops none of the others."""

from collections.abc import Callable, Iterable

from rekindle.errors import Incomplete, RekindleError


def attempt_all(calls: Iterable[Callable[[], None]]) -> None:
    """Makes every call; then raises the one error there was, or Incomplete naming all."""
    errors: list[RekindleError] = []
    for call in calls:
        try:
            call()
        except RekindleError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise Incomplete("; ".join(error.what for error in errors), where=errors[0].where) from errors[0]
