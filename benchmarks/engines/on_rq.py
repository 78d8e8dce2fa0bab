"""rq with its SimpleWorker: the default one forks for every job and is some four times slower."""

import time

from adapter import URL, become, began, main
from redis import Redis
from rq import Queue


def noop(payload: str) -> None:
    if seconds := began(payload):
        time.sleep(seconds)


class Rq:
    def open(self) -> None:
        self._queue = Queue("bench", connection=Redis.from_url(URL))

    def enqueue(self, payload: str) -> None:
        self._queue.enqueue("on_rq.noop", payload)

    def enqueue_many(self, payloads: list[str]) -> None:
        self._queue.enqueue_many([Queue.prepare_data("on_rq.noop", args=(payload,)) for payload in payloads])

    def worker(self) -> None:
        become("rq", "worker", "bench", "--url", URL, "--worker-class", "rq.SimpleWorker", "--quiet")


if __name__ == "__main__":
    main(Rq())
