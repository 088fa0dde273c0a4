"""The public name: whether something answers behind it, and where it leads."""

import http.client
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from rekindle.aws import objects
from rekindle.aws.clients import Clients
from rekindle.environment import switch_key
from rekindle.errors import GateFailed
from rekindle.inventory import Inventory, Stores
from rekindle.progress import Tell
from rekindle.replay.situation import Answer

PROBE_SECONDS = 3.0
PROBES = 2  # one failed request is no outage, one answer is a service
POLL_SECONDS = 0.5
SWITCH_SECONDS = 300.0  # Route 53: three failed checks 30 s apart, then the record's TTL, and as much again
FIRST_SERVER_ERROR = 500
NO_ADDRESS = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})  # the only words of a resolver that answer a question


@dataclass(frozen=True)
class PublicName:
    """A name that clients use, asked as they ask: an ordinary resolver, plain HTTP."""

    name: str
    port: int = 80
    resolve: Callable[[str], frozenset[str]] = field(default_factory=lambda: addresses)
    sleep: Callable[[float], None] = time.sleep

    def probe(self) -> Answer:
        """Whether it takes requests; what answers with an error of its own does not."""
        with ThreadPoolExecutor(PROBES) as pool:  # silence of two takes little longer than of one
            answers = list(pool.map(self._ask_after, (POLL_SECONDS * number for number in range(PROBES))))
        return _worst(answers)

    def _ask_after(self, pause: float) -> Answer:
        if pause:
            self.sleep(pause)
        return self.ask()

    def ask(self) -> Answer:
        """One request to each address of the name at once: silence of many takes no longer than of one."""
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


def addresses(name: str) -> frozenset[str]:
    """IPv4 addresses by the machine's own resolver, none while there are none; OSError if it cannot find out."""
    try:
        found = socket.getaddrinfo(name, None, family=socket.AF_INET, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno not in NO_ADDRESS:
            raise
        return frozenset()
    return frozenset(str(address[0]) for *_, address in found)


def switch(clients: Clients, stores: Stores, environment: str, recovery: str) -> None:
    """The object that the public name's health check looks for is there: the recovery environment has taken over.

    Data plane only: no record is changed, since us-east-1 carries Route 53's control plane. It is empty,
    because everybody may read it. The lost environment's own goes, so that its region cannot take the
    name back when it returns.
    """
    client = clients.s3(stores.region)
    objects.put(client, stores.switch_bucket, switch_key(recovery), b"", "text/plain")
    objects.delete(client, stores.switch_bucket, switch_key(environment))


def await_switched(
    name: PublicName,
    inventory: Inventory,
    tell: Tell,
    *,
    timeout: float = SWITCH_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """The name leads to this environment's load balancer, and is answered; GateFailed when time is up."""
    target, deadline = inventory.load_balancer or "", clock() + timeout
    answer = Answer(is_serving=False, said="it was not asked")
    while clock() < deadline:
        if not name.leads_to(target):
            tell(f"{name.name} does not lead to {target} yet ({deadline - clock():.0f} s left)")
        else:
            answer = name.ask()
            if answer.is_serving:
                return
            tell(f"{name.name} leads to {target}: {answer.said}")
        name.sleep(POLL_SECONDS)
    raise GateFailed(
        f"{name.name} does not answer from {target} after {timeout:.0f} s: {answer.said}",
        next_step="See its health checks and failover records in the foundation, then run the same replay again.",
    )
