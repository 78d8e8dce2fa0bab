"""Which partitions a claim asks, in which order, and for how many tasks."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from taskfleet.core.errors import StoreError
from taskfleet.core.settlement import Claim
from taskfleet.core.task import LeasedTask, QueueKey

_AT_ONCE = 8  # partitions that are asked together: each may bring some megabytes
_ENOUGH_BYTES = 8 * 1024 * 1024  # no partition is asked for more than these

Ask = Callable[[int, int], Awaitable[Claim]]  # the partition of that number, for so many tasks


class _Turn:
    """Which partition is asked first: another one each time, so that none waits for ever. Where the last claim found
    nothing more anywhere, one that told of something new since."""

    def __init__(self) -> None:
        self._next = random.randrange(64)  # workers that start together do not go round together
        self._woken: set[int] = set()
        self.dry = False

    def woken(self, place: int) -> None:
        self._woken.add(place)

    def take(self, number: int) -> tuple[list[int], bool]:
        """The places in order, and whether the first of them has told of something."""
        woken = next((place for place in self._woken if place < number), None) if self.dry else None
        first = self._next % number if woken is None else woken
        if woken is None:
            self._next += 1
            self._woken.clear()
        else:
            self._woken.discard(woken)
        self.dry = False
        return [*range(first, number), *range(first)], woken is not None


class Claims:
    """Claims from queues with several partitions, and what was heard of these."""

    def __init__(self) -> None:
        self._turns: defaultdict[QueueKey, defaultdict[tuple[str, ...], _Turn]] = defaultdict(
            lambda: defaultdict(_Turn)
        )
        self._versions: defaultdict[QueueKey, int] = defaultdict(int)

    def woken(self, queue: QueueKey, place: int) -> None:
        """Something became claimable there."""
        for turn in self._turns[queue].values():
            turn.woken(place)

    async def claim(self, queue: QueueKey, number: int, models: Sequence[str], count: int, ask: Ask) -> Claim:
        """Up to ``count`` tasks of a queue with so many partitions: what the first has, and what lacks from the others.

        What a partition has that woke us is brought without asking the others, of which the answer says that they are.
        """
        turn = self._turns[queue][tuple(models)]
        places, was_woken = turn.take(number)
        round_ = _Round(count, ask)
        await round_.ask(places[:1])
        round_.unasked = places[1:]
        if not (was_woken and round_.tasks):
            while round_.lacking and (round_.unasked or round_.more) and round_.bytes < _ENOUGH_BYTES:
                await round_.ask_next()
            turn.dry = not (round_.unasked or round_.more or round_.errors)
        return replace(round_.answer(), policy_version=self._version(queue, round_.answers))

    def _version(self, queue: QueueKey, answers: Sequence[Claim]) -> int:
        """Each partition has its own, a time; the newest that was seen stands for all. 0: there is no queue."""
        newest = max(answer.policy_version for answer in answers)
        self._versions[queue] = max(self._versions[queue], newest) if newest else 0
        return self._versions[queue]


class _Round:
    """``more``: places that gave all that they were asked for, and may have more."""

    def __init__(self, count: int, ask: Ask) -> None:
        self._count = count
        self._claim = ask
        self.unasked: list[int] = []
        self.more: list[int] = []
        self.tasks: list[LeasedTask] = []
        self.bytes = 0
        self.answers: list[Claim] = []
        self.errors: list[StoreError] = []

    @property
    def lacking(self) -> int:
        return self._count - len(self.tasks)

    async def ask_next(self) -> None:
        """All that were not asked yet, each for its share; then those that may have more."""
        if not self.unasked:
            self.unasked, self.more = self.more, []
        places = self.unasked[: min(self.lacking, _AT_ONCE)]
        self.unasked = self.unasked[len(places) :]
        await self.ask(places)

    async def ask(self, places: Sequence[int]) -> None:
        share, rest = divmod(self.lacking, len(places))
        shares = [share + (turn < rest) for turn in range(len(places))]
        asked = (self._one(place, wanted) for place, wanted in zip(places, shares, strict=True))
        for place, wanted, answer in zip(places, shares, await asyncio.gather(*asked), strict=True):
            if isinstance(answer, StoreError):
                self.errors.append(answer)
                continue
            self.answers.append(answer)
            self.tasks += answer.tasks
            self.bytes += sum(len(task.body) for task in answer.tasks)
            if len(answer.tasks) == wanted:
                self.more.append(place)

    async def _one(self, place: int, wanted: int) -> Claim | StoreError:
        try:
            return await self._claim(place, wanted)
        except StoreError as error:
            return error

    def answer(self) -> Claim:
        """One answer of all. What one place has is brought although another is in trouble. Errors: StoreError when no
        place answered, or none had anything and one of them could not be asked."""
        if self.errors and not self.tasks:
            raise self.errors[0]
        due = [answer.next_due_in for answer in self.answers if answer.next_due_in is not None]
        return Claim(
            tasks=tuple(self.tasks),
            next_due_in=0.0 if self.unasked or self.more or self.errors else min(due, default=None),
            policy_version=0,
            stopped=all(answer.stopped for answer in self.answers),
        )
