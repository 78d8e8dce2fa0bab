"""What comes due, in which order, and that nobody works on one thing twice at a time."""

import asyncio
import time

import pytest

from taskfleet.controller.agenda import Agenda


class Clock:
    """A clock that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


async def taken(agenda: Agenda[str]) -> str | None:
    """What is due now, None when nothing is."""
    try:
        async with asyncio.timeout(0.02):
            return await agenda.take()
    except TimeoutError:
        return None


async def test_keys_come_in_the_order_of_their_times_and_once_each() -> None:
    clock = Clock()
    agenda: Agenda[str] = Agenda(clock)
    agenda.mark("late", 99.0)
    agenda.mark("early", 98.0)
    agenda.mark("late", 97.0)
    agenda.mark("early", 99.9)
    assert [await taken(agenda) for _ in range(3)] == ["late", "early", None]


async def test_a_later_time_does_not_move_an_earlier_one() -> None:
    clock = Clock()
    agenda: Agenda[str] = Agenda(clock)
    agenda.mark("key", 100.0)
    agenda.mark("key", 500.0)
    assert await taken(agenda) == "key"
    assert await taken(agenda) is None


async def test_a_busy_key_comes_again_only_when_its_work_is_done() -> None:
    agenda: Agenda[str] = Agenda(Clock())
    agenda.mark("key")
    assert await taken(agenda) == "key"
    agenda.mark("key")
    agenda.mark("other")
    assert await taken(agenda) == "other"
    assert await taken(agenda) is None
    agenda.done("key")
    assert await taken(agenda) == "key"


async def test_a_dropped_key_does_not_come() -> None:
    agenda: Agenda[str] = Agenda(Clock())
    agenda.mark("key")
    agenda.drop("key")
    assert await taken(agenda) is None


async def test_who_waits_is_woken_by_an_earlier_time() -> None:
    agenda: Agenda[str] = Agenda(time.monotonic)
    agenda.mark("tomorrow", time.monotonic() + 86400)
    waiting = asyncio.create_task(agenda.take())
    await asyncio.sleep(0)
    agenda.mark("now")
    async with asyncio.timeout(5):
        assert await waiting == "now"


@pytest.mark.parametrize("delay", [0.0, 0.02])
async def test_a_time_to_come_is_waited_for(delay: float) -> None:
    agenda: Agenda[str] = Agenda(time.monotonic)
    due = time.monotonic() + delay
    agenda.mark("key", due)
    async with asyncio.timeout(5):
        assert await agenda.take() == "key"
    assert time.monotonic() >= due
