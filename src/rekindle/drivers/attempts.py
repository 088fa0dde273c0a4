"""Several calls of which one failure stops none of the others."""

from collections.abc import Callable, Iterable

from rekindle.errors import Incomplete, RekindleError, next_steps


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
        said = "; ".join(error.what for error in errors)
        raise Incomplete(said, where=errors[0].where, next_step="\n".join(next_steps(errors))) from errors[0]
