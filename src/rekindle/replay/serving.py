"""Whether an environment that is thought lost still serves: asked of every address and port of its public name.

Lost means silence or refusal everywhere. Whatever else is heard may be of a service that goes on taking
writes: an error on `/` says nothing of its other paths, a closed port nothing of the one beside it.
"""

import re
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import IntEnum
from itertools import product

from rekindle.environment import Origin, flows_into
from rekindle.replay.situation import Answer

PATIENCE = 10.0  # seconds for a connection, and as many for the first word on it: an impaired service is slow
PROBES = 3  # one silence is no outage
PAUSE = 1.0  # seconds between the beginnings of two probes
USUAL = (80, 443)
FIRST_SERVER_ERROR = 500
STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})\b")
TOLD = 3  # places named in one answer
NO_ADDRESS = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})  # the only words of a resolver that answer a question


class Reply(IntEnum):
    """How one port of one address replied, from what proves a loss to what forbids a replay."""

    SILENT = 0
    REFUSED = 1
    UNTOLD = 2  # nobody could be asked: no address, no route from here
    PRESENT = 3  # something is there: it accepted, but gave an error of its own, no HTTP, or nothing
    SERVED = 4


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What was heard at one place, in words too."""

    reply: Reply
    said: str


def judged(heard: Sequence[Heard]) -> Answer:
    """Not serving only where all is silence or refusal; where nothing was heard at all, it cannot be told."""
    worst = max((h.reply for h in heard), default=Reply.UNTOLD)
    said = list(dict.fromkeys(h.said for h in heard if h.reply == worst))[:TOLD]
    return Answer(
        is_serving=worst is Reply.SERVED,
        is_known=worst not in (Reply.UNTOLD, Reply.PRESENT),
        said="; ".join(said) or "nobody was asked",
    )


def ports() -> tuple[int, ...]:
    """Those of the web, and all that the table of flows opens to the internet."""
    public = [f.ports for f in flows_into(Origin.LOAD_BALANCER) if f.source is Origin.INTERNET and f.protocol == "tcp"]
    opened = [port for first, last in public for port in range(first, last + 1)]
    return tuple(sorted({*USUAL, *opened}))


def addresses(name: str) -> frozenset[str]:
    """All addresses of a name by the machine's own resolver, none while there are none; OSError if nobody can say."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(f"{name!r} is no name: {error}") from error
    except socket.gaierror as error:
        if error.errno not in NO_ADDRESS:
            raise
        return frozenset()
    return frozenset(str(address[0]) for *_, address in found)


@dataclass(frozen=True, kw_only=True)
class Prober:
    """Asks a name as clients do, several times over."""

    ports: Sequence[int] = ports()
    patience: float = PATIENCE
    probes: int = PROBES
    pause: float = PAUSE
    resolve: Callable[[str], frozenset[str]] = addresses
    sleep: Callable[[float], None] = time.sleep

    def __call__(self, name: str) -> Answer:
        """What was heard in all probes together; they overlap, for silence takes its time."""
        with ThreadPoolExecutor(self.probes) as pool:
            heard = pool.map(lambda number: self._probe(name, self.pause * number), range(self.probes))
            return judged([item for probe in heard for item in probe])

    def _probe(self, name: str, pause: float) -> list[Heard]:
        self.sleep(pause)
        try:
            found = sorted(self.resolve(name))
        except OSError as error:
            return [Heard(reply=Reply.UNTOLD, said=f"its address cannot be found out: {error}")]
        if not found:
            return [Heard(reply=Reply.UNTOLD, said=f"{name} leads to no address")]
        with ThreadPoolExecutor(len(found) * len(self.ports)) as pool:
            return list(pool.map(lambda place: self._ask(name, *place), product(found, self.ports)))

    def _ask(self, name: str, address: str, port: int) -> Heard:
        where = f"{address} port {port}"
        try:
            connection = socket.create_connection((address, port), timeout=self.patience)
        except TimeoutError:
            return Heard(reply=Reply.SILENT, said=f"no answer: {where} keeps silent")
        except ConnectionRefusedError:
            return Heard(reply=Reply.REFUSED, said=f"no answer: {where} refuses connections")
        except ConnectionError as error:
            return Heard(reply=Reply.PRESENT, said=f"{where}: {error}")
        except OSError as error:
            return Heard(reply=Reply.UNTOLD, said=f"{where} cannot be asked from here: {error}")
        with connection:
            return _greeted(connection, name, where)


def _greeted(connection: socket.socket, name: str, where: str) -> Heard:
    """What something that accepts says to a request; its first word is enough, and no drip of words is waited for."""
    try:
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode("ascii", "replace"))
        word = connection.recv(4096)
    except OSError as error:
        return Heard(reply=Reply.PRESENT, said=f"{where} accepts connections: {error}")
    status = STATUS.match(word)
    if status is None:
        return Heard(reply=Reply.PRESENT, said=f"{where} accepts connections, but speaks no HTTP")
    code = int(status[1])
    is_served = code < FIRST_SERVER_ERROR
    return Heard(reply=Reply.SERVED if is_served else Reply.PRESENT, said=f"{where} answered {code}")
