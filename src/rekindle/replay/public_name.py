"""The public name: where it leads, and whether it is answered there."""

import http.client
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from rekindle.replay.serving import FIRST_SERVER_ERROR, addresses
from rekindle.replay.situation import Answer

PROBE_SECONDS = 3.0
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class PublicName:
    """A name that clients use, asked as they ask: an ordinary resolver, plain HTTP."""

    name: str
    port: int = 80
    resolve: Callable[[str], frozenset[str]] = addresses
    sleep: Callable[[float], None] = time.sleep

    def ask(self) -> Answer:
        """One request to each address of the name at once; what answers with an error of its own does not serve."""
        try:
            found = sorted(addresses(self.name))
        except OSError as error:
            return Answer(is_serving=False, is_known=False, said=f"its address cannot be found out: {error}")
        if not found:
            return Answer(is_serving=False, said="no answer: the name leads to no address")
        with ThreadPoolExecutor(len(found)) as pool:
            answers = list(pool.map(self._ask_at, found))
        return _worst(answers)

    def _ask_at(self, address: str) -> Answer:
        connection = http.client.HTTPConnection(address, self.port, timeout=PROBE_SECONDS)
        try:
            connection.request("GET", "/", headers={"Host": self.name})
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            return Answer(is_serving=False, said=f"no answer: {error or type(error).__name__}")
        finally:
            connection.close()
        return Answer(is_serving=status < FIRST_SERVER_ERROR, said=f"answered {status}")

    def leads_to(self, other: str) -> bool:
        """Whether both names have an address in common now; not while that cannot be found out."""
        try:
            return bool(self.resolve(self.name) & self.resolve(other))
        except OSError:
            return False


def _worst(answers: Sequence[Answer]) -> Answer:
    """Of several answers the one that forbids most: it serves, it cannot be told, it does not."""
    return max(reversed(answers), key=lambda answer: (answer.is_serving, not answer.is_known))
