"""dramatiq at default settings, one process of 8 threads. It has no bulk call: a loop of single ones."""

import time

import dramatiq
from adapter import URL, become, began, main
from dramatiq.brokers.redis import RedisBroker

dramatiq.set_broker(RedisBroker(url=URL))


@dramatiq.actor
def noop(payload: str) -> None:
    if seconds := began(payload):
        time.sleep(seconds)


class Dramatiq:
    def open(self) -> None:
        pass

    def enqueue(self, payload: str) -> None:
        noop.send(payload)

    def enqueue_many(self, payloads: list[str]) -> None:
        for payload in payloads:
            noop.send(payload)

    def worker(self) -> None:
        become("dramatiq", "on_dramatiq", "--processes", "1", "--threads", "8")


if __name__ == "__main__":
    main(Dramatiq())
