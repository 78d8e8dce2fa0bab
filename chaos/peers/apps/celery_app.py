"""celery on Redis with acks_late, without which it promises no rerun."""

import os
import sys
import urllib.request

from celery import Celery

app = Celery("chaos", broker=os.environ["CHAOS_STORE"])


@app.task(name="call", acks_late=True, ignore_result=True)
def call(name: str) -> None:
    urllib.request.urlopen(os.environ["CHAOS_CALLS"] + name)


if __name__ == "__main__":
    for each in sys.argv[1:]:
        call.delay(each)
