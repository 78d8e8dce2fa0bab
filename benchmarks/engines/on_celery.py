"""celery: prefork with one child, prefetch 64 (the default of 4 is slower), results ignored. It has no bulk call."""

import time

from adapter import URL, become, began, main
from celery import Celery

app = Celery("bench", broker=URL)
app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=64, broker_connection_retry_on_startup=True)


@app.task(name="noop")
def noop(payload: str) -> None:
    if seconds := began(payload):
        time.sleep(seconds)


class OnCelery:
    def open(self) -> None:
        pass

    def enqueue(self, payload: str) -> None:
        noop.delay(payload)

    def enqueue_many(self, payloads: list[str]) -> None:
        for payload in payloads:
            noop.delay(payload)

    def worker(self) -> None:
        become("celery", "-A", "on_celery", "worker", "-c", "1", "--loglevel", "ERROR", "-n", "%i-bench@%h")


if __name__ == "__main__":
    main(OnCelery())
