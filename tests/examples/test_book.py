"""The book over a cluster that the client library mocks: three brokers in this process, with no data on disk."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, Producer
from orders import writer as writers
from orders.book import Book
from orders.model import NotReady

PROJECT = Path(__file__).resolve().parents[2]
PARTITIONS = 4  # what the mocked cluster gives a topic that is asked for
PATIENCE = 20.0


class Cluster:
    """Three mocked brokers and a topic; they end when `end` is called."""

    def __init__(self) -> None:
        self._owner: Producer | None = Producer({"test.mock.num.brokers": 3, "log_level": 0})
        found = self._owner.list_topics("orders", timeout=PATIENCE)
        self.brokers = [f"{broker.host}:{broker.port}" for broker in found.brokers.values()]

    def end(self) -> None:
        self._owner = None


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    made = Cluster()
    yield made
    made.end()


@pytest.fixture
def book(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Book]:
    monkeypatch.setattr(writers, "DELIVERY_SECONDS", 1.0)
    monkeypatch.setitem(writers.PRODUCER, "delivery.timeout.ms", 1000)
    monkeypatch.setitem(writers.PRODUCER, "request.timeout.ms", 500)
    opened = Book(cluster.brokers, "orders", partitions=PARTITIONS, replication=3)
    assert not opened.ready
    opened.open()
    yield opened
    opened.close()


def batch(*names: str) -> list[dict[str, str]]:
    return [{"id": name} for name in names]


def until_true(question: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not question():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_what_is_acknowledged_is_read_back(book: Book) -> None:
    names = [f"order-{n}" for n in range(100)]
    receipts = book.write(batch(*names))
    assert [receipt.id for receipt in receipts] == names
    records = list(book.read())
    kept = {record.key.decode(): (record.partition, record.offset) for record in records}
    assert kept == {receipt.id: (receipt.partition, receipt.offset) for receipt in receipts}
    assert len(records) == len(names) == sum(book.ends().values())


def test_the_first_writing_is_as_fast_as_any(book: Book) -> None:
    assert book.ready
    started = time.monotonic()
    book.write(batch("a"))
    assert time.monotonic() - started < 1


def test_an_order_may_be_sent_again(book: Book) -> None:
    assert book.write(batch("a"))[0].partition == book.write(batch("a"))[0].partition
    assert [record.key for record in book.read()] == [b"a", b"a"]


def test_an_empty_book_is_read_at_once(book: Book) -> None:
    assert list(book.read()) == []


def test_a_producer_that_broke_is_replaced(book: Book) -> None:
    broken = book._writer
    assert broken is not None
    broken._note_error(KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, "a hole", fatal=True))
    book.write(batch("a"))
    until_true(lambda: book._writer is not broken)
    book.write(batch("b"))
    assert {record.key for record in book.read()} == {b"a", b"b"}


def test_an_error_that_passes_replaces_nothing(book: Book) -> None:
    kept = book._writer
    assert kept is not None
    kept._note_error(KafkaError(KafkaError._TRANSPORT, "a broker is gone"))
    book.write(batch("a"))
    assert (book._writer, book._is_renewing) == (kept, False)


def test_an_order_that_is_too_large_harms_no_other(book: Book) -> None:
    kept = book._writer
    with pytest.raises(NotReady):
        book.write([{"id": "a", "text": "x" * 2_000_000}])
    book.write(batch("b"))
    assert book._writer is kept


def test_nothing_is_acknowledged_without_brokers(book: Book, cluster: Cluster) -> None:
    cluster.end()
    with pytest.raises(NotReady):
        book.write(batch("a"))
    assert book.ready  # no reason to be restarted


def test_a_topic_with_other_partitions_is_waited_for(cluster: Cluster) -> None:
    other = Book(cluster.brokers, "orders", partitions=PARTITIONS + 1, replication=3)
    with pytest.raises(NotReady, match="4 of 5 partitions"):
        other._make_topic()


def test_the_client_that_is_tested_is_the_one_that_is_shipped() -> None:
    shipped = (PROJECT / "examples" / "orders" / "requirements.txt").read_text().splitlines()[-1]
    assert shipped in (PROJECT / "constraints.txt").read_text().splitlines()
