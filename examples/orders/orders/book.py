"""The book of orders: a Kafka topic, written with acks=all and read back from its beginning."""

import json
import threading
import time
from collections.abc import Iterator, Sequence

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.consumer.fetcher import ConsumerRecord
from kafka.errors import KafkaError, TopicAlreadyExistsError

from orders.model import NotReady, Order, Receipt

ACK_SECONDS = 10.0
READ_SECONDS = 30.0
RETRY_SECONDS = 0.5


class Book:
    """Writes and reads orders; `ready` once the topic has a leader for every partition."""

    def __init__(self, brokers: Sequence[str], topic: str, *, partitions: int, replication: int) -> None:
        self._brokers = list(brokers)
        self._topic = topic
        self._partitions = partitions
        self._replication = replication
        self._producer: KafkaProducer | None = None
        self._producer_lock = threading.Lock()
        self._was_open = False
        self._ends_lock = threading.Lock()
        self._ends_consumer: KafkaConsumer | None = None

    @property
    def ready(self) -> bool:
        """Kafka was reached; that it is not at present is no reason to be restarted."""
        return self._was_open

    def open(self) -> None:
        """Waits for Kafka, makes the topic if it is new, and keeps a producer; returns when it has one."""
        while self._producer is None:
            try:
                self._make_topic()
                self._producer = self._open_producer()
                self._was_open = True
            except (KafkaError, AssertionError, OSError) as error:
                print(f"waiting for Kafka: {error!r}", flush=True)
                time.sleep(RETRY_SECONDS)

    def write(self, orders: Sequence[Order]) -> list[Receipt]:
        """Receipts of all orders once every in-sync replica has them; NotReady if one has none."""
        producer = self._producer
        if producer is None:
            raise NotReady("Kafka is not reached at present")
        try:
            futures = [producer.send(self._topic, key=o["id"].encode(), value=_encoded(o)) for o in orders]
            until = time.monotonic() + ACK_SECONDS
            kept = [future.get(timeout=max(0.01, until - time.monotonic())) for future in futures]
        except KafkaError as error:
            self._replace(producer)
            raise NotReady(f"not acknowledged: {error!r}") from error
        return [Receipt(o["id"], at.partition, at.offset) for o, at in zip(orders, kept, strict=True)]

    def ends(self) -> dict[int, int]:
        """The offset after the last one that every in-sync replica has, by partition."""
        with self._ends_lock:
            try:
                if self._ends_consumer is None:
                    self._ends_consumer = self._open_consumer()
                found = self._ends_consumer.end_offsets(self._all_partitions())
            except (KafkaError, AssertionError) as error:
                raise NotReady(f"no offsets: {error!r}") from error
        return {partition.partition: offset for partition, offset in found.items()}

    def read(self) -> Iterator[ConsumerRecord]:
        """A record for every order kept when the reading began; its value is the order as JSON."""
        ends = self.ends()
        consumer = self._open_consumer()
        try:
            yield from _until(consumer, self._topic, ends)
        finally:
            consumer.close()

    def close(self) -> None:
        """Sends what waits, then lets go."""
        if self._producer is not None:
            self._producer.close(timeout=ACK_SECONDS)

    def _replace(self, broken: KafkaProducer) -> None:
        """Another producer in its place: one that gave a batch up has a hole in its sequence numbers."""
        with self._producer_lock:
            if self._producer is not broken:
                return
            self._producer = None
        threading.Thread(target=broken.close, kwargs={"timeout": 0}, daemon=True).start()
        threading.Thread(target=self.open, daemon=True).start()

    def _all_partitions(self) -> list[TopicPartition]:
        return [TopicPartition(self._topic, number) for number in range(self._partitions)]

    def _make_topic(self) -> None:
        admin = KafkaAdminClient(bootstrap_servers=self._brokers)
        try:
            if self._topic not in admin.list_topics():
                admin.create_topics([NewTopic(self._topic, self._partitions, self._replication)])
        except TopicAlreadyExistsError:
            pass
        finally:
            admin.close()

    def _open_producer(self) -> KafkaProducer:
        producer = KafkaProducer(
            bootstrap_servers=self._brokers,
            acks="all",
            enable_idempotence=True,
            linger_ms=2,
            batch_size=65536,
            max_block_ms=int(ACK_SECONDS * 1000),
            delivery_timeout_ms=int(ACK_SECONDS * 1000),
            request_timeout_ms=int(ACK_SECONDS * 500),
            metadata_max_age_ms=5000,
            reconnect_backoff_ms=50,
            reconnect_backoff_max_ms=1000,
        )
        if len(producer.partitions_for(self._topic)) != self._partitions:
            producer.close(timeout=0)
            raise KafkaError(f"topic {self._topic} does not have {self._partitions} partitions")
        return producer

    def _open_consumer(self) -> KafkaConsumer:
        return KafkaConsumer(
            bootstrap_servers=self._brokers,
            enable_auto_commit=False,
            check_crcs=False,
            metadata_max_age_ms=5000,
            fetch_max_wait_ms=100,
        )


def _until(consumer: KafkaConsumer, topic: str, ends: dict[int, int]) -> Iterator[ConsumerRecord]:
    """Every record before `ends`; NotReady if they stop coming."""
    partitions = {n: TopicPartition(topic, n) for n in ends}
    consumer.assign(list(partitions.values()))
    consumer.seek_to_beginning(*partitions.values())
    last_seen = time.monotonic()
    while any(consumer.position(partitions[n]) < end for n, end in ends.items()):
        for found in consumer.poll(timeout_ms=500, max_records=5000).values():
            last_seen = time.monotonic()
            for record in found:
                if record.offset < ends[record.partition]:
                    yield record
        if time.monotonic() - last_seen > READ_SECONDS:
            raise NotReady("orders stopped coming")


def _encoded(order: Order) -> bytes:
    return json.dumps(order, separators=(",", ":")).encode()
