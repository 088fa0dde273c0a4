"""One idempotent producer, and the thread that takes its acknowledgements."""

import json
import queue
import threading
import time
from collections.abc import Sequence
from functools import partial

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from orders.model import NotReady, Order, Receipt

DELIVERY_SECONDS = 8.0
MARGIN_SECONDS = 1.0  # what a failed delivery may take to be told
CLOSE_SECONDS = 4.0  # with the time to drain, less than a task is given to end
POLL_SECONDS = 0.1
STATISTICS_SECONDS = 0.5
Setting = str | int | float | bool
CLIENT: dict[str, Setting] = {
    "socket.timeout.ms": 3000,  # a broker that is gone without a word
    "socket.connection.setup.timeout.ms": 2000,
    "reconnect.backoff.ms": 50,
    "reconnect.backoff.max.ms": 1000,
    "topic.metadata.refresh.interval.ms": 5000,
    "log_level": 2,  # not a line for every attempt to connect
}
PRODUCER: dict[str, Setting] = {
    "acks": "all",
    "enable.idempotence": True,
    "delivery.timeout.ms": int(DELIVERY_SECONDS * 1000),
    "request.timeout.ms": 3000,
    "retry.backoff.max.ms": 500,
    "linger.ms": 2,
    "partitioner": "murmur2_random",  # the one of Kafka's own clients
    "queue.buffering.max.kbytes": 16384,
    "statistics.interval.ms": int(STATISTICS_SECONDS * 1000),
}

_Landing = tuple[int, KafkaError | None, int, int]


class Writer:
    """Sends orders; `is_broken` once it can have nothing acknowledged any more."""

    def __init__(self, brokers: Sequence[str], topic: str) -> None:
        self.is_broken = False
        self._topic = topic
        self._may_send = threading.Event()
        self._is_closed = False
        callbacks = {"error_cb": self._note_error, "stats_cb": self._note_state}
        self._producer = Producer({**CLIENT, **PRODUCER, **callbacks, "bootstrap.servers": ",".join(brokers)})
        self._polling = threading.Thread(target=self._poll, daemon=True)
        self._polling.start()

    def wait(self, seconds: float) -> None:
        """Returns once Kafka gave a producer id and the topic's leaders; NotReady if it does not in time."""
        if not self._may_send.wait(seconds):
            raise NotReady("Kafka gave no producer id")
        try:
            self._producer.list_topics(self._topic, timeout=seconds)
        except KafkaException as error:
            raise NotReady(f"no leaders: {error!r}") from error

    def write(self, orders: Sequence[Order]) -> list[Receipt]:
        """Receipts once every in-sync replica has all of them; NotReady if one is not acknowledged."""
        landings: queue.SimpleQueue[_Landing] = queue.SimpleQueue()
        for number, order in enumerate(orders):
            self._send(order, partial(_land, landings, number))
        until = time.monotonic() + DELIVERY_SECONDS + MARGIN_SECONDS
        receipts: dict[int, Receipt] = {}
        while len(receipts) < len(orders):
            number, error, at, offset = self._next(landings, until)
            if error is not None:
                self.is_broken |= _is_lasting(error)
                raise NotReady(f"not acknowledged: {error}")
            receipts[number] = Receipt(orders[number]["id"], at, offset)
        return [receipts[number] for number in range(len(orders))]

    def close(self) -> None:
        """Sends what waits if it can be sent soon, then lets go."""
        self._producer.flush(0 if self.is_broken else CLOSE_SECONDS)
        self._producer.purge()
        self._producer.flush(MARGIN_SECONDS)
        self._is_closed = True
        self._polling.join()

    def _send(self, order: Order, landed: "partial[None]") -> None:
        value = json.dumps(order, separators=(",", ":")).encode()
        try:
            self._producer.produce(self._topic, key=order["id"].encode(), value=value, on_delivery=landed)
        except BufferError as error:
            raise NotReady("too many orders wait to be acknowledged") from error
        except KafkaException as error:
            self.is_broken |= _is_lasting(error.args[0])
            raise NotReady(f"not sent: {error.args[0]}") from error

    def _next(self, landings: "queue.SimpleQueue[_Landing]", until: float) -> _Landing:
        try:
            return landings.get(timeout=max(0.01, until - time.monotonic()))
        except queue.Empty:
            self.is_broken = True
            raise NotReady("not acknowledged in time") from None

    def _poll(self) -> None:
        while not self._is_closed:
            self._producer.poll(POLL_SECONDS)

    def _note_error(self, error: KafkaError) -> None:
        self.is_broken |= _is_fatal(error)
        if self.is_broken or error.code() == KafkaError._ALL_BROKERS_DOWN:
            print(f"Kafka: {error}", flush=True)

    def _note_state(self, statistics: str) -> None:
        if not self._may_send.is_set() and json.loads(statistics).get("eos", {}).get("idemp_state") == "Assigned":
            self._may_send.set()


def _land(landings: "queue.SimpleQueue[_Landing]", number: int, error: KafkaError | None, message: Message) -> None:
    partition, offset = message.partition(), message.offset()
    landings.put((number, error, partition or 0, -1 if offset is None else offset))


def _is_fatal(error: KafkaError) -> bool:
    return bool(error.fatal()) or error.code() == KafkaError._FATAL


def _is_lasting(error: KafkaError) -> bool:
    """Another producer may do better: of a given-up batch nobody knows whether it left a hole in the sequence."""
    return error.code() != KafkaError.MSG_SIZE_TOO_LARGE
