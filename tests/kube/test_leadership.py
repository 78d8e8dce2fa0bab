"""The election's loop where the API server is slow. Its answers are timed here, as no real server lets them be."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from taskfleet.controller.cluster.leadership import Leadership
from taskfleet.controller.cluster.lease import Lease
from taskfleet.core.errors import NotLeading
from taskfleet.core.leadership import Claim, Timing
from tests.support.waiting import eventually

QUICK = Timing(lease=1.0, give_up=0.3, renew=0.1, look=0.05, answer=5.0)


class SlowServer:
    """A Lease on a server that answers the second write only when it is told to."""

    def __init__(self) -> None:
        self.writes = 0
        self.answers = asyncio.Event()
        self._claim = Claim("", 1.0, "0")

    async def read(self) -> Claim:
        return self._claim

    async def write(self, holder: str, seconds: float) -> Claim:
        self.writes += 1
        if self.writes == 2:
            await self.answers.wait()
        self._claim = Claim(holder, seconds, str(self.writes))
        return self._claim


def may_act(check: Callable[[], None]) -> bool:
    try:
        check()
    except NotLeading:
        return False
    return True


async def test_a_renewal_that_comes_after_the_time_to_act_was_over_begins_another_time_and_does_not_end_all() -> None:
    server, stop = SlowServer(), asyncio.Event()
    terms: list[Callable[[], None]] = []

    async def work(check: Callable[[], None]) -> None:
        terms.append(check)
        await stop.wait()

    leading = asyncio.create_task(Leadership(cast(Lease, cast(Any, server)), QUICK).run(stop, work))
    await eventually(lambda: server.writes == 2, "a renewal to be on its way")
    assert may_act(terms[0])
    await eventually(lambda: not may_act(terms[0]), "the time to act to be over")

    server.answers.set()

    await eventually(lambda: len(terms) == 2, "the same controller to lead anew")
    assert may_act(terms[1])
    with pytest.raises(NotLeading):
        terms[0]()
    stop.set()
    await leading
