"""The book of orders: a Kafka topic, written with acks=all and read back from its beginning."""

import threading
import time
from collections.abc import Iterator, Sequence

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from orders.model import NotReady, Order, Receipt, Record
from orders.writer import CLIENT, Setting, Writer

ANSWER_SECONDS = 5.0
ATTEMPT_SECONDS = 1.5
PAUSE_SECONDS = 0.1  # between two attempts
READ_SECONDS = 30.0
RETRY_SECONDS = 0.5
CONSUMER: dict[str, Setting] = {
    "group.id": "orders-readers",  # the client wants one; no offsets are kept under it
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
    "auto.offset.reset": "earliest",
    "fetch.wait.max.ms": 100,
    "queued.min.messages": 5000,
    "queued.max.messages.kbytes": 4096,
}


class Book:
    """Writes and reads orders; `ready` once every partition has a leader and a producer may write."""

    def __init__(self, brokers: Sequence[str], topic: str, *, partitions: int, replication: int) -> None:
        self._brokers = list(brokers)
        self._topic = topic
        self._partitions = partitions
        self._replication = replication
        self._admin = AdminClient(self._client())
        self._writer: Writer | None = None
        self._lock = threading.Lock()
        self._is_renewing = False
        self._is_closed = False

    @property
    def ready(self) -> bool:
        """Kafka was reached; that it is not at present is no reason to be restarted."""
        return self._writer is not None

    def open(self) -> None:
        """Waits for Kafka, makes the topic if it is new, and keeps a writer; returns when it has one."""
        while not self._is_closed:
            try:
                self._make_topic()
                self._writer = self._open_writer()
                return
            except (KafkaException, NotReady) as error:
                print(f"waiting for Kafka: {error!r}", flush=True)
                time.sleep(RETRY_SECONDS)

    def write(self, orders: Sequence[Order]) -> list[Receipt]:
        """Receipts of all orders once every in-sync replica has them; NotReady if one has none."""
        writer = self._writer
        if writer is None:
            raise NotReady("Kafka was not reached yet")
        try:
            return writer.write(orders)
        finally:
            if writer.is_broken:
                self._renew(writer)

    def ends(self) -> dict[int, int]:
        """The offset after the last one that every in-sync replica has, by partition."""
        until = time.monotonic() + ANSWER_SECONDS
        while True:
            try:
                return self._ask_ends()
            except (KafkaException, TimeoutError) as error:
                if time.monotonic() > until:
                    raise NotReady(f"no offsets: {error!r}") from error
                time.sleep(PAUSE_SECONDS)

    def read(self) -> Iterator[Record]:
        """A record for every order kept when the reading began; its value is the order as JSON."""
        ends = self.ends()
        consumer = Consumer({**self._client(), **CONSUMER})
        try:
            consumer.assign([TopicPartition(self._topic, number, OFFSET_BEGINNING) for number in ends])
            yield from _until(consumer, ends)
        finally:
            consumer.close()

    def close(self) -> None:
        """Sends what waits, then lets go."""
        self._is_closed = True
        if self._writer is not None:
            self._writer.close()

    def _renew(self, broken: Writer) -> None:
        """Another writer in its place, in the background; until there is one the broken one may still recover."""
        with self._lock:
            if self._is_renewing or self._writer is not broken:
                return
            self._is_renewing = True
        threading.Thread(target=self._replace, args=(broken,), daemon=True).start()

    def _ask_ends(self) -> dict[int, int]:
        """One attempt, at the leaders of this moment: a remembered one may have died."""
        self._admin.list_topics(self._topic, timeout=ATTEMPT_SECONDS)
        asked = {TopicPartition(self._topic, number): OffsetSpec.latest() for number in range(self._partitions)}
        found = self._admin.list_offsets(asked, request_timeout=ATTEMPT_SECONDS)
        return {at.partition: answer.result(2 * ATTEMPT_SECONDS).offset for at, answer in found.items()}

    def _replace(self, broken: Writer) -> None:
        try:
            self.open()
        finally:
            self._is_renewing = False
        broken.close()

    def _client(self) -> dict[str, Setting]:
        return {**CLIENT, "bootstrap.servers": ",".join(self._brokers)}

    def _make_topic(self) -> None:
        """The topic with a leader for every partition, made if it is new; NotReady or KafkaException otherwise."""
        known = self._admin.list_topics(timeout=ANSWER_SECONDS).topics
        if self._topic not in known:
            wanted = NewTopic(self._topic, num_partitions=self._partitions, replication_factor=self._replication)
            self._create(wanted)
            known = self._admin.list_topics(timeout=ANSWER_SECONDS).topics
        partitions = known[self._topic].partitions if self._topic in known else {}
        led = [number for number, partition in partitions.items() if partition.leader >= 0]
        if len(led) != self._partitions:
            raise NotReady(f"{len(led)} of {self._partitions} partitions of {self._topic} have a leader")

    def _create(self, topic: NewTopic) -> None:
        answers = self._admin.create_topics([topic], operation_timeout=ANSWER_SECONDS, request_timeout=ANSWER_SECONDS)
        try:
            answers[topic.topic].result(2 * ANSWER_SECONDS)
        except TimeoutError as error:
            raise NotReady("Kafka did not say whether it made the topic") from error
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise

    def _open_writer(self) -> Writer:
        writer = Writer(self._brokers, self._topic)
        try:
            writer.wait(ANSWER_SECONDS)
        except NotReady:
            writer.close()
            raise
        return writer


def _until(consumer: Consumer, ends: dict[int, int]) -> Iterator[Record]:
    """Every record before `ends`; NotReady if they stop coming."""
    missing = {partition for partition, end in ends.items() if end > 0}
    last_seen = time.monotonic()
    while missing:
        for message in consumer.consume(num_messages=1000, timeout=0.5):
            partition, offset, is_end = _place(message)
            if partition not in missing or offset is None:
                continue
            last_seen = time.monotonic()
            if offset < ends[partition] and not is_end:
                yield Record(message.key() or b"", message.value() or b"", partition, offset)
                offset += 1
            if offset >= ends[partition]:
                missing.remove(partition)
        if time.monotonic() - last_seen > READ_SECONDS:
            raise NotReady("orders stopped coming")


def _place(message: Message) -> tuple[int | None, int | None, bool]:
    """(partition, offset, whether it is the partition's end); no offset for an error the client retries itself."""
    error = message.error()
    if error is None:
        return message.partition(), message.offset(), False
    is_end = error.code() == KafkaError._PARTITION_EOF
    return message.partition(), message.offset() if is_end else None, is_end
