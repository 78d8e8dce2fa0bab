"""The real scripts on a real server, with a clock that the test moves: in place of the line that reads the server's."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from taskfleet.core.task import QueueKey
from taskfleet.store import keys
from taskfleet.store.lua import Script

_REAL = "local clock = call('TIME')"
_OURS = "local clock = call('HMGET', P .. 'test-clock', 's', 'us')"


class UnderTestClock(Script):
    """A script of ours whose clock is the test's."""

    @cached_property
    def text(self) -> str:
        real = Script(self.name).text
        assert real.count(_REAL) == real.count("local now")
        return real.replace(_REAL, _OURS)


@dataclass
class TestClock:
    """``client`` is a plain client of the server; ``ms`` is the time that the scripts see."""

    __test__ = False
    client: Any
    queue: QueueKey
    ms: int = 1_800_000_000_000

    def __post_init__(self) -> None:
        self.advance(0)

    def advance(self, ms: int) -> None:
        self.ms += ms
        seconds, rest = divmod(self.ms, 1000)
        self.client.hset(keys.prefix(self.queue) + "test-clock", mapping={"s": seconds, "us": rest * 1000})
