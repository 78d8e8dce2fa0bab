"""What is looked up once a moment."""

import asyncio
from collections.abc import Iterator

import pytest

from taskfleet.core.errors import StoreUnreachable
from taskfleet.gateway import fresh
from taskfleet.gateway.fresh import Fresh
from tests.support.waiting import eventually


class Looks:
    """What is there, counted; and the time, in place of the module ``time``."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.count = 0
        self.away = False
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    def monotonic(self) -> float:
        return self.now

    async def look(self, key: str) -> str:
        self.count += 1
        said = f"{key}{self.count}"
        await self.may_answer.wait()
        if self.away:
            raise StoreUnreachable("away on purpose")
        return said


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    ours = Looks()
    monkeypatch.setattr(fresh, "time", ours)
    return ours


async def test_who_asks_while_it_is_looked_up_waits_for_the_same_look(looks: Looks) -> None:
    seen = Fresh(looks.look, 1.0)
    looks.may_answer.clear()
    waiting = [asyncio.ensure_future(seen.get("a")) for _ in range(3)]
    await eventually(lambda: looks.count == 1, "a look")
    looks.may_answer.set()
    assert await asyncio.gather(*waiting) == ["a1"] * 3


async def test_what_was_told_holds_for_its_time_and_no_longer(looks: Looks) -> None:
    seen = Fresh(looks.look, 1.0)
    told = []
    for _ in range(4):
        told.append(await seen.get("a"))
        looks.now += 0.5
    assert told == ["a1", "a1", "a2", "a2"]


@pytest.fixture
def kept(looks: Looks, runner: asyncio.Runner) -> Iterator[Fresh[str, str]]:
    """What is kept fresh, every half second."""
    seen = Fresh(looks.look, 1.0)

    async def start() -> asyncio.Task[None]:
        return asyncio.create_task(seen.keep())

    keeping = runner.run(start())
    yield seen
    keeping.cancel()


async def test_who_asks_again_and_again_never_waits_and_is_told_nothing_older(
    looks: Looks, kept: Fresh[str, str]
) -> None:
    await kept.get("a")
    looks.now += 0.6
    looks.may_answer.clear()
    assert await kept.get("a") == "a1"
    await eventually(lambda: looks.count == 2, "a look ahead of the end")
    assert await kept.get("a") == "a1"
    looks.may_answer.set()

    async def is_renewed() -> bool:
        return await kept.get("a") == "a2"

    await eventually(is_renewed, "what it told")
    looks.now += 0.99
    looks.may_answer.clear()
    assert await kept.get("a") >= "a2", "it holds from when it was looked up"


async def test_what_nobody_asks_for_again_is_not_looked_up(looks: Looks, kept: Fresh[str, str]) -> None:
    await kept.get("once")
    await kept.get("again")
    await kept.get("again")
    await eventually(lambda: looks.count == 3, "a look ahead of the end")
    assert await kept.get("once") == "once1"


async def test_a_look_ahead_that_fails_is_told_to_nobody_before_the_time_is_over(
    looks: Looks, kept: Fresh[str, str]
) -> None:
    await kept.get("a")
    looks.now += 0.6
    looks.away = True
    assert await kept.get("a") == "a1"
    await eventually(lambda: looks.count == 2, "a look ahead of the end")
    assert await kept.get("a") == "a1"
    looks.now += 0.5
    with pytest.raises(StoreUnreachable):
        await kept.get("a")
    looks.away = False
    assert (await kept.get("a"))[0] == "a"
