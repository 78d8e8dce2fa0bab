"""Asking several partitions, and making one answer of theirs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from taskfleet.core.task import QueueKey
from taskfleet.store.partitions.home import Parts, by_place

T = TypeVar("T")


async def together(asked: Iterable[Awaitable[T]]) -> list[T]:
    """The answers of all. Each is heard to its end before the first error is raised: one place in trouble keeps no
    other from what it was asked to do."""
    answers = await asyncio.gather(*asked, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return [answer for answer in answers if not isinstance(answer, BaseException)]


async def everywhere(parts: Parts, ask: Callable[[QueueKey], Awaitable[T]]) -> list[T]:
    """The answers of all partitions."""
    return [await ask(parts[0])] if len(parts) == 1 else await together(map(ask, parts))


async def find(
    parts: Parts,
    ids: Sequence[str],
    ask: Callable[[QueueKey, Sequence[str]], Awaitable[Mapping[str, T]]],
    missing: Callable[[T], bool],
) -> dict[str, T]:
    """What is said of each id: where it is at home, and of those that are missing there, wherever else they are, as a
    task of a session may be."""
    if len(parts) == 1:
        return dict(await ask(parts[0], ids))
    homes = by_place(ids, len(parts))
    answers: dict[str, T] = {}
    for said in await together(ask(parts[place], own) for place, own in homes.items()):
        answers.update(said)
    away = {place: lost for place, own in homes.items() if (lost := [name for name in own if missing(answers[name])])}
    if away:
        elsewhere = [(part, _others(away, place)) for place, part in enumerate(parts)]
        for said in await together(ask(part, lost) for part, lost in elsewhere if lost):
            answers.update({name: answer for name, answer in said.items() if not missing(answer)})
    return {name: answers[name] for name in ids}


def _others(away: Mapping[int, list[str]], place: int) -> list[str]:
    return [name for home, names in away.items() if home != place for name in names]


async def merged(found: Sequence[AsyncIterator[T]], order: Callable[[T], Any]) -> AsyncIterator[T]:
    """All that the iterators bring, each in its own order, the lowest by ``order`` first."""
    heads: dict[int, T] = {}

    async def draw(place: int) -> None:
        with suppress(StopAsyncIteration):
            heads[place] = await anext(found[place])

    for place in range(len(found)):
        await draw(place)
    while heads:
        place = min(heads, key=lambda number: (order(heads[number]), number))
        yield heads.pop(place)
        await draw(place)
