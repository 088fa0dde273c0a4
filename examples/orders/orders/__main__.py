"""Runs the service until SIGTERM, then drains: health checks fail first, requests in flight end."""

import signal
import threading
import time

from orders.book import Book
from orders.settings import Settings
from orders.web import Server

DRAIN_SECONDS = 3.0  # longer than a proxy takes to see two failed health checks


def main() -> None:
    settings = Settings.of()
    book = Book(settings.brokers, settings.topic, partitions=settings.partitions, replication=settings.replication)
    server = Server((settings.address, settings.port), book, settings.token)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=_drain, args=(server,)).start())
    threading.Thread(target=book.open, daemon=True).start()
    print(f"listening on {settings.address}:{settings.port}", flush=True)
    server.serve_forever(poll_interval=0.2)
    book.close()


def _drain(server: Server) -> None:
    server.draining = True
    time.sleep(DRAIN_SECONDS)
    server.shutdown()


if __name__ == "__main__":
    main()
