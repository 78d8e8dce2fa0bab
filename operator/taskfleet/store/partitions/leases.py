"""Leases in several partitions, renewed and ended where their tasks are."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from taskfleet.core.settlement import Heartbeat, Settlement
from taskfleet.core.task import LeasedTask, QueueKey
from taskfleet.store.partitions.asking import together
from taskfleet.store.partitions.home import Parts, place_of

_REMEMBERED = 10_000


class About(Protocol):
    """What is told of one task."""

    @property
    def task_id(self) -> str: ...


Told = TypeVar("Told", bound=About)


class Leases:
    """It remembers where tasks of sessions were claimed, which are not where their ids say. What is not where it should
    be is looked for everywhere."""

    def __init__(self) -> None:
        self._away: dict[tuple[QueueKey, str], int] = {}

    def note(self, queue: QueueKey, place: int, tasks: Iterable[LeasedTask]) -> None:
        """These were claimed there."""
        for task in tasks:
            if task.session is not None:
                self._away[queue, task.id] = place
        while len(self._away) > _REMEMBERED:
            del self._away[next(iter(self._away))]

    def _place(self, queue: QueueKey, task_id: str, number: int) -> int:
        place = self._away.get((queue, task_id), number)
        return place if place < number else place_of(task_id, number)

    async def renew(
        self,
        queue: QueueKey,
        parts: Parts,
        held: Mapping[str, int],
        ask: Callable[[QueueKey, Mapping[str, int]], Awaitable[Heartbeat]],
    ) -> Heartbeat:
        """Every partition hears of the worker: it is to know who died and who did not."""
        if len(parts) == 1:
            return await ask(parts[0], held)
        homes = {name: self._place(queue, name, len(parts)) for name in held}
        own = [{name: held[name] for name, home in homes.items() if home == place} for place in range(len(parts))]
        beats = await together(ask(part, leases) for part, leases in zip(parts, own, strict=True))
        lost = frozenset[str]().union(*(beat.lost for beat in beats))
        cancelled = frozenset[str]().union(*(beat.cancelled for beat in beats))
        if not lost:
            return Heartbeat(lost, cancelled)
        strange = [{name: held[name] for name in lost if homes[name] != place} for place in range(len(parts))]
        asked = [(part, leases) for part, leases in zip(parts, strange, strict=True) if leases]
        for (_, leases), beat in zip(asked, await together(ask(*each) for each in asked), strict=True):
            lost -= leases.keys() - beat.lost
            cancelled |= beat.cancelled
        return Heartbeat(lost, cancelled)

    async def settle(
        self,
        queue: QueueKey,
        parts: Parts,
        ends: Sequence[Settlement],
        ask: Callable[[QueueKey, Sequence[Settlement]], Awaitable[Sequence[bool]]],
    ) -> list[bool]:
        """For each end whether a partition accepted it."""
        accepted = await self.tell(queue, parts, ends, ask)
        for end in ends:
            self._away.pop((queue, end.task_id), None)
        return accepted

    async def tell(
        self,
        queue: QueueKey,
        parts: Parts,
        told: Sequence[Told],
        ask: Callable[[QueueKey, Sequence[Told]], Awaitable[Sequence[bool]]],
    ) -> list[bool]:
        """For each of what is told of running tasks, whether a partition accepted it."""
        if len(parts) == 1:
            return list(await ask(parts[0], told))
        accepted = [False] * len(told)
        homes = [self._place(queue, each.task_id, len(parts)) for each in told]

        async def ask_for(place: int, turns: Sequence[int]) -> None:
            for turn, answer in zip(turns, await ask(parts[place], [told[turn] for turn in turns]), strict=True):
                accepted[turn] |= answer

        own = [[turn for turn, home in enumerate(homes) if home == place] for place in range(len(parts))]
        await together(ask_for(place, turns) for place, turns in enumerate(own) if turns)
        refused = [turn for turn, answer in enumerate(accepted) if not answer]
        strange = [[turn for turn in refused if homes[turn] != place] for place in range(len(parts))]
        await together(ask_for(place, turns) for place, turns in enumerate(strange) if turns)
        return accepted
