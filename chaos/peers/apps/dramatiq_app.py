"""dramatiq with its Redis broker."""

import os
import sys
import urllib.request

import dramatiq
from dramatiq.brokers.redis import RedisBroker

dramatiq.set_broker(RedisBroker(url=os.environ["CHAOS_STORE"]))


@dramatiq.actor
def call(name: str) -> None:
    urllib.request.urlopen(os.environ["CHAOS_CALLS"] + name)


if __name__ == "__main__":
    for each in sys.argv[1:]:
        call.send(each)
